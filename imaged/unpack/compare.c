#include "imaged/unpack/compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "imaged/unpack/place.h"
#include "imaged/unpack/reach.h"
#include "lib/fd.h"
#include "lib/tree.h"

#define BLOCK (64u << 10)

/* Directories that are still to be looked into: paths from the layer's root, never a descriptor each. */
struct walk {
	struct compare *c;
	int dir, fresh; /* the roots */
	char **todo;
	size_t n, size;
};

/* One directory of both trees. */
struct pair {
	const char *path;
	int live, fresh;
	bool changed; /* by a repair: its time must be set again */
};

static void walk_clean(struct walk *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->todo[i]);
	free(w->todo);
}

static void push(struct walk *w, char *take_path)
{
	if (w->n == w->size)
		w->todo = xrealloc(w->todo, w->size = w->size ? 2 * w->size : 64, sizeof *w->todo);
	w->todo[w->n++] = take_path;
}

static char *below(const char *path, const char *name)
{
	return *path ? xasprintf("%s/%s", path, name) : xstrdup(name);
}

static const char another_time[] = "another time";

/* A time is told when there is nothing better: a directory's changes with what is in it. */
static void differs(struct compare *c, const char *path, const char *name, const char *what)
{
	AUTO_FREE char *full = below(path, name);
	bool better = c->only_times && what != another_time;

	c->only_times = (c->differences == 0 || c->only_times) && what == another_time;
	if (c->differences++ == 0 || better)
		snprintf(c->first, sizeof c->first, "%s: %s", *full ? reach_shown(full) : "/", what);
}

/* ---- two files ---- */

static bool wanted_xattr(const char *name)
{
	return place_xattr_allowed(name) || str_eq(name, "user.overlay.opaque");
}

/* Are the attributes of `a`, those that a layer can have, on `b`, too? */
static bool xattrs_within(int a, int b)
{
	char names[16384], value[2][8192];
	ssize_t len = flistxattr(a, names, sizeof names);

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		if (!wanted_xattr(names + at))
			continue;
		ssize_t n = fgetxattr(a, names + at, value[0], sizeof value[0]);
		if (n < 0 || fgetxattr(b, names + at, value[1], sizeof value[1]) != n ||
		    memcmp(value[0], value[1], (size_t)n) != 0)
			return false;
	}
	return len >= 0;
}

static bool same_content(int a, int b)
{
	char block[2][BLOCK] UNINITIALIZED;

	for (;;) {
		ssize_t n = fd_read_full(a, block[0], BLOCK, NULL);
		if (n < 0 || fd_read_full(b, block[1], BLOCK, NULL) != n || memcmp(block[0], block[1], (size_t)n) != 0)
			return false;
		if (n < (ssize_t)BLOCK)
			return true;
	}
}

static bool same_target(const struct pair *p, const char *name)
{
	char target[2][4097];
	ssize_t n = readlinkat(p->live, name, target[0], sizeof target[0]);

	return n >= 0 && readlinkat(p->fresh, name, target[1], sizeof target[1]) == n &&
	       memcmp(target[0], target[1], (size_t)n) == 0;
}

/* What is wrong, NULL for nothing. */
static const char *compare_status(const struct stat *a, const struct stat *b)
{
	if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT))
		return "another type";
	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
		return "another owner";
	if (a->st_mode != b->st_mode && !S_ISLNK(a->st_mode))
		return "another mode";
	if (a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)
		return another_time;
	if (S_ISDIR(a->st_mode))
		return NULL;
	if (a->st_nlink != b->st_nlink)
		return "another number of links";
	if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
		return "another device";
	return S_ISREG(a->st_mode) && a->st_size != b->st_size ? "another size" : NULL;
}

static const char *compare_inside(const struct pair *p, const char *name, mode_t mode)
{
	if (S_ISLNK(mode))
		return same_target(p, name) ? NULL : "another target";
	if (!S_ISREG(mode) && !S_ISDIR(mode))
		return NULL;
	AUTO_CLOSE int live = reach_open(p->live, name, O_RDONLY), fresh = reach_open(p->fresh, name, O_RDONLY);
	if (live < 0 || fresh < 0)
		return "cannot be opened";
	if (!xattrs_within(live, fresh) || !xattrs_within(fresh, live))
		return "other extended attributes";
	return S_ISREG(mode) && !same_content(live, fresh) ? "another content" : NULL;
}

/* ---- repair ---- */

static int take_over(struct pair *p, const char *name, struct err *e)
{
	int rc = tree_remove(p->live, name, NULL, e);

	if (rc == 0 && renameat(p->fresh, name, p->live, name) < 0)
		rc = err_sys(e, -errno, "%s", reach_shown(name));
	p->changed = true;
	return rc;
}

static int set_times(int fd, const struct stat *st, struct err *e)
{
	const struct timespec times[2] = {st->st_mtim, st->st_mtim};

	return futimens(fd, times) < 0 ? err_sys(e, -errno, "time of a directory") : 0;
}

static void drop_xattrs(int fd)
{
	char names[16384];
	ssize_t len = flistxattr(fd, names, sizeof names);

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1)
		if (wanted_xattr(names + at))
			fremovexattr(fd, names + at);
}

static int copy_xattrs(int from, int to, struct err *e)
{
	char names[16384], value[8192];
	ssize_t len = flistxattr(from, names, sizeof names);

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t n = wanted_xattr(names + at) ? fgetxattr(from, names + at, value, sizeof value) : -1;
		if (n >= 0 && fsetxattr(to, names + at, value, (size_t)n, 0) < 0)
			return err_sys(e, -errno, "%s", names + at);
	}
	return 0;
}

/* A directory stays where it is, for what is mounted: it gets the attributes. */
static int repair_directory(const struct pair *p, const char *name, const struct stat *want, struct err *e)
{
	AUTO_CLOSE int live = reach_open(p->live, name, O_RDONLY), fresh = reach_open(p->fresh, name, O_RDONLY);

	if (live < 0 || fresh < 0)
		return err_sys(e, live < 0 ? live : fresh, "%s", reach_shown(name));
	if (fchown(live, want->st_uid, want->st_gid) < 0 || fchmod(live, want->st_mode & 07777) < 0)
		return err_sys(e, -errno, "%s", reach_shown(name));
	drop_xattrs(live);
	int rc = copy_xattrs(fresh, live, e);
	return rc < 0 ? rc : set_times(live, want, e);
}

/* ---- directories ---- */

static int each_name(int dir, int (*fn)(struct walk *w, struct pair *p, const char *name, struct err *e),
		     struct walk *w, struct pair *p, struct err *e)
{
	int fd = reach_open(dir, "", O_RDONLY | O_DIRECTORY);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (!list)
		return err_sys(e, fd < 0 ? fd : -errno, "list %s", reach_shown(p->path));
	while (rc == 0 && (entry = readdir(list)))
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
			rc = fn(w, p, entry->d_name, e);
	closedir(list);
	return rc;
}

/* A name of the layer's directory: does the tar have it? */
static int look_for_extra(struct walk *w, struct pair *p, const char *name, struct err *e)
{
	struct stat st;

	if (fstatat(p->fresh, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	differs(w->c, p->path, name, "is not in the layer");
	if (!w->c->repair)
		return 0;
	int rc = tree_remove(p->live, name, NULL, e);
	p->changed = true;
	w->c->repaired += rc == 0;
	return rc;
}

static int compare_one(struct walk *w, struct pair *p, const char *name, struct err *e)
{
	struct stat live, fresh;
	const char *what;
	bool missing = fstatat(p->live, name, &live, AT_SYMLINK_NOFOLLOW) < 0;

	if (fstatat(p->fresh, name, &fresh, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "%s", reach_shown(name));
	what = missing ? "is missing" : compare_status(&live, &fresh);
	if (!what)
		what = compare_inside(p, name, fresh.st_mode);
	bool directories = !missing && S_ISDIR(live.st_mode) && S_ISDIR(fresh.st_mode);
	if (what)
		differs(w->c, p->path, name, what);
	if (directories)
		push(w, below(p->path, name));
	if (!what || !w->c->repair)
		return 0;
	int rc = directories ? repair_directory(p, name, &fresh, e) : take_over(p, name, e);
	w->c->repaired += rc == 0;
	return rc;
}

static int compare_directory(struct walk *w, const char *path, struct err *e)
{
	AUTO_CLOSE int live = reach_open(w->dir, path, O_RDONLY | O_DIRECTORY);
	AUTO_CLOSE int fresh = reach_open(w->fresh, path, O_RDONLY | O_DIRECTORY);
	struct pair p = {.path = path, .live = live, .fresh = fresh};
	struct stat st;

	if (live < 0 || fresh < 0 || fstat(fresh, &st) < 0)
		return err_sys(e, live < 0 ? live : fresh < 0 ? fresh : -errno, "%s", reach_shown(path));
	int rc = each_name(live, look_for_extra, w, &p, e);
	if (rc == 0)
		rc = each_name(fresh, compare_one, w, &p, e);
	return rc == 0 && p.changed ? set_times(live, &st, e) : rc;
}

/* The root has no name to be looked up by: it is compared as "." of itself. */
static int compare_root(struct walk *w, struct err *e)
{
	struct pair p = {.path = "", .live = w->dir, .fresh = w->fresh};
	struct stat live, fresh;

	if (fstat(w->dir, &live) < 0 || fstat(w->fresh, &fresh) < 0)
		return err_sys(e, -errno, "the layer's directory");
	const char *what = compare_status(&live, &fresh);
	if (!what)
		what = compare_inside(&p, "", fresh.st_mode);
	if (what)
		differs(w->c, "", "", what);
	if (!what || !w->c->repair)
		return 0;
	int rc = repair_directory(&p, "", &fresh, e);
	w->c->repaired += rc == 0;
	return rc;
}

int compare_trees(struct compare *c, int dir, int fresh, struct err *e)
{
	CLEANUP(walk_clean) struct walk w = {.c = c, .dir = dir, .fresh = fresh};
	int rc = compare_root(&w, e);

	push(&w, xstrdup(""));
	while (rc == 0 && w.n) {
		AUTO_FREE char *path = w.todo[--w.n];
		rc = compare_directory(&w, path, e);
	}
	return rc;
}
