/*
 * copy: what an image has at a path, into a new volume, which is the process's root. It is copied into a directory of
 * its own first and then moved up, so that a copy that is cut is no half volume.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define DEPTH_MAX 250
#define STAGED	  TREE_COPY_NAME

struct copy {
	const struct task *task;
	void *links; /* files with several names that have been copied */
	unsigned depth;
};

struct link {
	dev_t dev;
	ino_t ino;
	char *path; /* below the root */
};

static int compare(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void link_free(void *p)
{
	free(((struct link *)p)->path);
	free(p);
}

/* The path of the same file's first name; NULL when this is it. */
static const char *linked(struct copy *c, const struct stat *st, const char *path)
{
	struct link *l = XNEW(struct link);

	*l = (struct link){st->st_dev, st->st_ino, xstrdup(path)};
	struct link **found = tsearch(l, &c->links, compare);
	if (*found == l)
		return NULL;
	link_free(l);
	return (*found)->path;
}

static int set_attr(void *arg, const char *name, const void *value, size_t len)
{
	int fd = *(const int *)arg;

	return fsetxattr(fd, name, value, len, 0) < 0 && errno != EOPNOTSUPP ? -errno : 0;
}

/* Owner, mode, attributes, times of `base` in `from` for `fd`. */
static int set_all(int fd, int from, const char *base, const struct stat *st, struct err *e)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	int r = 0;

	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0)
		r = -errno;
	if (r == 0)
		r = attr_each(from, base, set_attr, &fd);
	if (r == 0 && futimens(fd, times) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, r, "give %s its owner and mode", base) : 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st, struct err *e)
{
	AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int out = openat(to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (in < 0 || out < 0)
		return err_sys(e, -errno, "copy %s", name);
	while ((n = sendfile(out, in, NULL, 1u << 30)) > 0)
		;
	return n < 0 ? err_sys(e, -errno, "copy %s", name) : set_all(out, from, name, st, e);
}

static int copy_node(int from, int to, const char *name, const struct stat *st, struct err *e)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	char target[4097] = "";
	int r = 0;

	if (S_ISLNK(st->st_mode))
		r = readlinkat(from, name, target, sizeof target - 1) < 0 ? -1 : symlinkat(target, to, name);
	else
		r = mknodat(to, name, S_IFIFO | (st->st_mode & 07777), 0);
	if (r < 0 || fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "copy %s", name);
	return 0;
}

static int copy_content(struct copy *c, int from, int to, const char *path, struct err *e);

static int copy_dir(struct copy *c, int from, int to, const char *name, const char *path, const struct stat *st,
		    struct err *e)
{
	AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return err_sys(e, -errno, "copy %s", name);
	AUTO_CLOSE int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return err_sys(e, -errno, "copy %s", name);
	int r = copy_content(c, in, out, path, e);
	return r == 0 ? set_all(out, in, ".", st, e) : r;
}

static int copy_entry(struct copy *c, int from, int to, const char *name, const char *path, struct err *e)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "stat %s", name);
	if (S_ISDIR(st.st_mode))
		return copy_dir(c, from, to, name, path, &st, e);
	/* A volume's devices could not be used; sockets belong to who listens. */
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISSOCK(st.st_mode))
		return 0;
	const char *first = st.st_nlink > 1 ? linked(c, &st, path) : NULL;
	if (first)
		return linkat(AT_FDCWD, first, to, name, 0) < 0 ? err_sys(e, -errno, "link %s", name) : 0;
	return S_ISREG(st.st_mode) ? copy_file(from, to, name, &st, e) : copy_node(from, to, name, &st, e);
}

static int copy_content(struct copy *c, int from, int to, const char *path, struct err *e)
{
	int copied = fcntl(from, F_DUPFD_CLOEXEC, 3);
	DIR *d = copied < 0 ? NULL : fdopendir(copied);
	int r = d ? task_wanted(c->task, e) : err_sys(e, -errno, "read %s", path);
	struct dirent *entry;

	if (!d)
		fd_close(&copied);
	if (r == 0 && ++c->depth >= DEPTH_MAX)
		r = err_set(e, -ELOOP, "more than %u directories in each other", DEPTH_MAX);
	while (r == 0 && (errno = 0, entry = readdir(d))) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		AUTO_FREE char *below = xasprintf("%s/%s", path, entry->d_name);
		r = copy_entry(c, from, to, entry->d_name, below, e);
	}
	if (d)
		closedir(d);
	c->depth--;
	return r;
}

/* ---- the whole ---- */

static bool is_empty(void)
{
	DIR *d = opendir("/");
	struct dirent *entry;
	bool empty = d != NULL;

	while (d && (entry = readdir(d)))
		empty = empty &&
			(str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") || str_eq(entry->d_name, STAGED));
	if (d)
		closedir(d);
	return empty;
}

static int move_up(int staged, struct err *e)
{
	DIR *d = fdopendir(fcntl(staged, F_DUPFD_CLOEXEC, 3));
	AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int r = d ? 0 : err_sys(e, -errno, "read the copy");

	while (r == 0 && (entry = readdir(d)))
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..") &&
		    renameat(staged, entry->d_name, root, entry->d_name) < 0)
			r = err_sys(e, -errno, "move %s", entry->d_name);
	if (d)
		closedir(d);
	return r;
}

static int copy_into(struct copy *c, int from, int root, const struct stat *st, struct err *e)
{
	if (mkdirat(root, STAGED, 0700) < 0)
		return err_sys(e, -errno, "copy into the volume");
	AUTO_CLOSE int staged = openat(root, STAGED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = staged < 0 ? err_sys(e, -errno, "copy into the volume") : copy_content(c, from, staged, "/" STAGED, e);
	if (r == 0)
		r = move_up(staged, e);
	if (r < 0)
		return r;
	unlinkat(root, STAGED, AT_REMOVEDIR);
	return set_all(root, from, ".", st, e);
}

int copy_up(const struct task *t, int image, const char *path, struct err *e)
{
	AUTO_CLOSE int from =
		fd_open_within(image, path, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	AUTO_CLOSE int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct copy c = {.task = t};
	struct stat st;

	if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP)
		return 0;
	if (from < 0 || root < 0 || fstat(from, &st) < 0)
		return err_sys(e, from < 0 ? from : -errno, "open %s of the image", path);
	if (!is_empty())
		return 0;
	int r = tree_remove(root, STAGED, NULL, e);
	if (r == 0)
		r = copy_into(&c, from, root, &st, e);
	tdestroy(c.links, link_free);
	if (r < 0)
		tree_remove(root, STAGED, NULL, NULL);
	return r;
}
