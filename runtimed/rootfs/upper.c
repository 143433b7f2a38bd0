/* upper: what an overlay's upper directory says: the changes that a container made, and their size. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define DEPTH_MAX 250	      /* each level holds three descriptors */
#define TEXT_MAX  (12u << 20) /* of all changes, so that they fit into an answer */

/* Docker's numbers. */
enum kind { MODIFIED, ADDED, DELETED };

bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

bool is_opaque(int fd)
{
	char value = 0;

	return fgetxattr(fd, "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/* ---- what the engine has made ---- */

static const char *const mountpoints[] = {
	"dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf", ".dockerenv",
};

static bool is_known(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(mountpoints); i++)
		if (str_eq(mountpoints[i], path))
			return true;
	return false;
}

/* The next name, sorted out of the dots; NULL at the end. */
static const char *next_name(DIR *d)
{
	struct dirent *entry;

	while ((entry = readdir(d)))
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
			return entry->d_name;
	return NULL;
}

static DIR *open_names(int at, const char *base)
{
	int fd = openat(at, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		fd_close(&fd);
	return d;
}

bool is_mountpoint(int at, const char *base, const char *path, const struct stat *st)
{
	if (!is_known(path))
		return false;
	if (!S_ISDIR(st->st_mode))
		return S_ISREG(st->st_mode) && st->st_size == 0;
	DIR *d = open_names(at, base);
	bool empty = d && !next_name(d);
	if (d)
		closedir(d);
	return empty;
}

/* Was the directory `fd` changed by them? */
static bool holds_mountpoints(int fd, const char *path)
{
	size_t len = strlen(path);
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(mountpoints); i++) {
		const char *m = mountpoints[i], *base = m + len + 1;
		if (strncmp(m, path, len) == 0 && m[len] == '/' && fstatat(fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    is_mountpoint(fd, base, m, &st))
			return true;
	}
	return false;
}

bool holds_mountpoints_only(int fd, const char *path)
{
	bool only = str_eq(path, "etc");
	const char *name;
	struct stat st;
	DIR *d = only ? open_names(fd, ".") : NULL;

	while (d && only && (name = next_name(d))) {
		AUTO_FREE char *below = xasprintf("%s/%s", path, name);
		only = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_mountpoint(fd, name, below, &st);
	}
	if (d)
		closedir(d);
	return only;
}

/* ---- changes ---- */

struct changes {
	const struct task *task;
	json_t *list;
	size_t bytes;
	unsigned depth;
};

/* JSON knows UTF-8 alone: other bytes of a name become question marks. */
static json_t *path_json(const char *path)
{
	json_t *o = json_sprintf("/%s", path);

	if (o)
		return o;
	AUTO_FREE char *plain = xasprintf("/%s", path);
	for (char *p = plain; *p; p++)
		*p = (char)((unsigned char)*p < 0x80 ? *p : '?');
	return json_string(plain);
}

static int note(struct changes *c, const char *path, enum kind kind, struct err *e)
{
	c->bytes += strlen(path) + 32;
	if (c->bytes > TEXT_MAX)
		return err_http(e, 500, "the container has too many changes to be listed");
	return json_array_append_new(c->list, json_pack("{s:o s:i}", "Path", path_json(path), "Kind", (int)kind));
}

static bool same_kind(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_rdev == b->st_rdev;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return same_kind(a, b) && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       (S_ISDIR(a->st_mode) || a->st_size == b->st_size);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **v;
	size_t n, size;
};

static void names_add(struct names *list, int at, const char *base)
{
	DIR *d = open_names(at, base);
	const char *name;

	while (d && (name = next_name(d))) {
		if (list->n == list->size) {
			list->size = list->size ? list->size * 2 : 32;
			list->v = xrealloc(list->v, list->size, sizeof *list->v);
		}
		list->v[list->n++] = xstrdup(name);
	}
	if (d)
		closedir(d);
}

static void names_free(struct names *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
}

static int compare_entry(struct changes *c, int upper, int lower, const char *name, const char *path, bool opaque,
			 struct err *e);

/* What is in a directory; `lower` -1 when the image has none there. */
static int compare_content(struct changes *c, int upper, int lower, const char *path, struct err *e)
{
	bool opaque = is_opaque(upper);
	struct names list = {0};
	int r = task_wanted(c->task, e);

	if (r == 0 && c->depth >= DEPTH_MAX)
		r = err_set(e, -ELOOP, "%.200s…: more than %u directories in each other", path, DEPTH_MAX);
	if (r < 0)
		return r;
	c->depth++;
	names_add(&list, upper, ".");
	/* An opaque directory hides what the image has: what is not there again is deleted. */
	if (opaque && lower >= 0)
		names_add(&list, lower, ".");
	if (list.n)
		qsort(list.v, list.n, sizeof *list.v, by_name);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		if (i && str_eq(list.v[i - 1], list.v[i]))
			continue;
		AUTO_FREE char *below = xasprintf("%s%s%s", path, *path ? "/" : "", list.v[i]);
		r = compare_entry(c, upper, lower, list.v[i], below, opaque, e);
	}
	names_free(&list);
	c->depth--;
	return r;
}

/* `old`, `lower`: what the image has there; NULL, -1 for nothing. */
static int compare_dir(struct changes *c, int upper, int lower, const char *name, const char *path,
		       const struct stat *st, const struct stat *old, struct err *e)
{
	AUTO_CLOSE int up = openat(upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int low = lower < 0 ? -1 : openat(lower, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	size_t at = json_array_size(c->list);

	if (up < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open %s", path);
	int r = note(c, path, old ? MODIFIED : ADDED, e);
	if (r == 0)
		r = compare_content(c, up, low, path, e);
	if (r < 0 || json_array_size(c->list) > at + 1)
		return r;
	if (old ? same(st, old) || (same_kind(st, old) && holds_mountpoints(up, path))
		: holds_mountpoints_only(up, path))
		json_array_remove(c->list, at);
	return 0;
}

static int compare_entry(struct changes *c, int upper, int lower, const char *name, const char *path, bool opaque,
			 struct err *e)
{
	struct stat st, old;
	bool there = fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	bool known = lower >= 0 && fstatat(lower, name, &old, AT_SYMLINK_NOFOLLOW) == 0;

	if (!there || is_whiteout(&st))
		return known && (there || opaque) ? note(c, path, DELETED, e) : 0;
	if (!known && is_mountpoint(upper, name, path, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return compare_dir(c, upper, known ? lower : -1, name, path, &st, known ? &old : NULL, e);
	if (known && same(&st, &old))
		return 0;
	return note(c, path, known ? MODIFIED : ADDED, e);
}

int upper_changes(const struct task *t, int lower, json_t **out, struct err *e)
{
	struct changes c = {.task = t, .list = json_array()};
	AUTO_CLOSE int upper = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int low = openat(lower, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = upper < 0 || low < 0 ? err_sys(e, -errno, "open the container's files")
				     : compare_content(&c, upper, low, "", e);

	if (r < 0)
		json_decref(c.list);
	else
		*out = c.list;
	return r;
}

/* ---- size ---- */

struct measure {
	const struct task *task;
	uint64_t bytes;
	void *seen; /* inodes with several names */
	unsigned depth;
};

static int by_inode(const void *a, const void *b)
{
	const ino_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure_file(struct measure *m, const struct stat *st)
{
	if (st->st_nlink > 1) {
		ino_t *ino = xmemdup(&st->st_ino, sizeof st->st_ino);
		ino_t **found = tsearch(ino, &m->seen, by_inode);
		if (*found != ino) {
			free(ino);
			return;
		}
	}
	m->bytes += (uint64_t)st->st_size;
}

static int measure_dir(struct measure *m, int at, const char *base, struct err *e)
{
	DIR *d = open_names(at, base);
	int r = task_wanted(m->task, e);
	const char *name;
	struct stat st;

	if (!d)
		return r;
	if (r == 0 && ++m->depth >= DEPTH_MAX)
		r = err_set(e, -ELOOP, "more than %u directories in each other", DEPTH_MAX);
	while (r == 0 && (name = next_name(d))) {
		if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			r = measure_dir(m, dirfd(d), name, e);
		else
			measure_file(m, &st);
	}
	m->depth--;
	closedir(d);
	return r;
}

int upper_size(const struct task *t, uint64_t *bytes, struct err *e)
{
	struct measure m = {.task = t};
	int r = measure_dir(&m, AT_FDCWD, "/", e);

	tdestroy(m.seen, free);
	*bytes = m.bytes;
	return r;
}
