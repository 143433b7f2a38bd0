/* tar_walk: trees of a container as archives. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define DEPTH_MAX 450 /* each level holds two descriptors */

struct walk {
	struct tar *tar;
	enum tree_kind kind;
	uint64_t mount; /* TREE_ROOT: the mount to stay on */
	char *name;	/* of the entry in hand; grows */
	size_t len, size;
	unsigned depth;
};

static void name_set(struct walk *w, size_t len, const char *part)
{
	size_t n = strlen(part);

	if (len + n + 2 > w->size) {
		w->size = (len + n + 2) * 2;
		w->name = xrealloc(w->name, w->size, 1);
	}
	if (len && w->name[len - 1] != '/')
		w->name[len++] = '/';
	memcpy(w->name + len, part, n + 1);
	w->len = len + n;
}

static bool is_kernels(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
					 fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

/* 0 when the kernel cannot tell (before 5.8): then everything counts as one mount. */
static uint64_t mount_of(int at, const char *base)
{
	struct statx x = {0};

	if (syscall(SYS_statx, at, base, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_MNT_ID, &x) < 0)
		return 0;
	return x.stx_mask & STATX_MNT_ID ? x.stx_mnt_id : 0;
}

static bool is_foreign(const struct walk *w, int at, const char *base)
{
	return w->kind == TREE_ROOT && mount_of(at, base) != w->mount;
}

/* What is mounted over a file of the root is not its content, nor are ids that the container does not have its owners.
 */
static void hide(const struct walk *w, struct stat *st)
{
	const struct ids *ids = &w->tar->task->ids;

	if (S_ISREG(st->st_mode))
		st->st_size = 0;
	if (ids->size && st->st_uid - ids->base >= ids->size)
		st->st_uid = st->st_gid = ids->base;
}

static int put(struct walk *w, int at, const char *base, struct err *e);

/* What is in the directory `fd`, whose own entry has been written. */
static int put_content(struct walk *w, int fd, struct err *e)
{
	size_t len = w->len;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int r = 0;

	if (!d || w->depth >= DEPTH_MAX) {
		r = d ? err_set(e, -ELOOP, "%.200s…: more than %u directories in each other", w->name, DEPTH_MAX)
		      : err_sys(e, -errno, "read directory %s", w->name);
		if (d)
			closedir(d);
		else
			fd_close(&copy);
		return r;
	}
	w->depth++;
	while (r == 0 && (errno = 0, entry = readdir(d))) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		name_set(w, len, entry->d_name);
		r = put(w, fd, entry->d_name, e);
	}
	if (r == 0 && errno)
		r = err_sys(e, -errno, "read directory %.*s", (int)len, w->name);
	closedir(d);
	w->depth--;
	w->len = len;
	w->name[len] = '\0';
	return r;
}

static int put_opaque_mark(struct walk *w, int fd, struct err *e)
{
	if (w->kind != TREE_LAYER || !is_opaque(fd))
		return 0;
	AUTO_FREE char *mark = xasprintf("%s/.wh..wh..opq", w->name);
	return tar_put_mark(w->tar, mark, e);
}

static int put_whiteout(struct walk *w, const char *base, struct err *e)
{
	AUTO_FREE char *mark = xasprintf("%.*s.wh.%s", (int)(w->len - strlen(base)), w->name, base);

	return tar_put_mark(w->tar, mark, e);
}

/* Things of an upper directory that are no files of the layer. Returns 1 when that was all. */
static int put_special(struct walk *w, int at, const char *base, const struct stat *st, int fd, struct err *e)
{
	if (w->kind != TREE_LAYER)
		return 0;
	if (is_whiteout(st)) {
		int r = put_whiteout(w, base, e);
		return r < 0 ? r : 1;
	}
	return is_mountpoint(at, base, w->name, st) || (fd >= 0 && holds_mountpoints_only(fd, w->name));
}

static int put(struct walk *w, int at, const char *base, struct err *e)
{
	char target[4097] = "";
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (fstatat(at, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "stat %s", w->name);
	bool foreign = is_foreign(w, at, base);
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && !foreign)) {
		fd = openat(at, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		/* It may have become something else. */
		if (fd < 0 || fstat(fd, &st) < 0)
			return errno == ENOENT || errno == ELOOP || errno == ENXIO
				       ? 0
				       : err_sys(e, -errno, "open %s", w->name);
	}
	if (S_ISLNK(st.st_mode) && readlinkat(at, base, target, sizeof target - 1) < 0)
		return 0;
	if (S_ISSOCK(st.st_mode))
		return 0;
	int r = put_special(w, at, base, &st, fd, e);
	if (r)
		return r < 0 ? r : 0;
	if (foreign)
		hide(w, &st);
	const struct tar_entry x = {at, fd, base, w->name, target, &st};
	r = tar_put(w->tar, &x, e);
	if (r < 0 || !S_ISDIR(st.st_mode) || foreign || is_kernels(fd))
		return r;
	r = put_opaque_mark(w, fd, e);
	return r == 0 ? put_content(w, fd, e) : r;
}

int tar_tree(struct tar *t, enum tree_kind kind, int at, const char *base, const char *name, struct err *e)
{
	struct walk w = {.tar = t, .kind = kind, .mount = kind == TREE_ROOT ? mount_of(at, base) : 0};
	int r;

	name_set(&w, 0, name);
	if (*name) {
		r = put(&w, at, base, e);
	} else {
		AUTO_CLOSE int fd = openat(at, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? err_sys(e, -errno, "open the root") : put_content(&w, fd, e);
	}
	free(w.name);
	return r;
}
