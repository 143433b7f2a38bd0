/*
 * tar_unpack: an archive into a directory of the container. Names that would lead out are refused; a file appears
 * under its name when it is whole, so that what is cut leaves the old one as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "lib/fd.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define TAKE_BYTES (128u << 10)
#define STAGED	   ".pouch-new" /* a name for the moment between a file's link and its rename */

/* A directory whose times are set when its last file has been written. */
struct level {
	char *name;
	int64_t mtime;
};

struct unpack {
	struct stream *in;
	const struct put_options *how;
	const struct ids *ids;
	int dir;
	char *parent; /* path below `dir`, and its descriptor: most files follow their neighbours */
	int parent_fd;
	struct level *levels;
	size_t nlevels;
};

/* In place: without leading and double slashes and dots; false when it leads out. */
static bool clean(char *name)
{
	char *to = name, *from = name, *rest = NULL;

	for (char *part = strtok_r(from, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		if (str_eq(part, "."))
			continue;
		if (str_eq(part, ".."))
			return false;
		size_t n = strlen(part);
		/* Behind a part that was taken stands its slash already, or the end of what has been read. */
		if (to > name)
			*to++ = '/';
		memmove(to, part, n);
		to += n;
	}
	*to = '\0';
	return true;
}

/* ---- directories ---- */

static int open_dir(const struct unpack *u, const char *path)
{
	return path_open(u->dir, *path ? path : ".", O_PATH | O_DIRECTORY);
}

/* A directory that the archive names only as a part of others'. */
static int make_dir(struct unpack *u, char *path)
{
	char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	AUTO_CLOSE int at = -1;

	if (slash)
		*slash = '\0';
	at = open_dir(u, slash ? path : "");
	if (at == -ENOENT && slash) {
		at = make_dir(u, path);
	}
	if (at >= 0 && mkdirat(at, base, 0755) == 0)
		(void)!fchownat(at, base, (uid_t)ids_on_disk(u->ids, u->how->uid >= 0 ? u->how->uid : 0),
				(gid_t)ids_on_disk(u->ids, u->how->gid >= 0 ? u->how->gid : 0), AT_SYMLINK_NOFOLLOW);
	if (slash)
		*slash = '/';
	return at < 0 ? at : open_dir(u, path);
}

/* Puts the directory of `name` into u->parent_fd and returns the name in it; NULL on failure. */
static const char *enter_parent(struct unpack *u, const char *name, struct err *e)
{
	const char *slash = strrchr(name, '/');
	AUTO_FREE char *path = xstrndup(name, slash ? (size_t)(slash - name) : 0);

	if (u->parent_fd < 0 || !str_eq(path, u->parent)) {
		fd_close(&u->parent_fd);
		int fd = open_dir(u, path);
		if (fd == -ENOENT)
			fd = make_dir(u, path);
		if (fd < 0) {
			err_sys(e, fd, "open %s", path);
			return NULL;
		}
		u->parent_fd = fd;
		free(u->parent);
		u->parent = STEAL(path);
	}
	return slash ? slash + 1 : name;
}

static void set_times(int fd, int64_t mtime)
{
	const struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};

	futimens(fd, times);
}

static void leave_level(struct unpack *u)
{
	struct level *l = &u->levels[--u->nlevels];
	AUTO_CLOSE int fd = path_open(u->dir, l->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (fd >= 0)
		set_times(fd, l->mtime);
	free(l->name);
}

/* Those that `name` is not in are done. */
static void leave_levels(struct unpack *u, const char *name)
{
	while (u->nlevels) {
		const char *top = u->levels[u->nlevels - 1].name;
		size_t n = strlen(top);
		if (name && strncmp(name, top, n) == 0 && name[n] == '/')
			return;
		leave_level(u);
	}
}

static void enter_level(struct unpack *u, const struct tar_header *x)
{
	u->levels = xrealloc(u->levels, u->nlevels + 1, sizeof *u->levels);
	u->levels[u->nlevels++] = (struct level){xstrdup(x->name), x->mtime};
}

/* ---- owners, modes, attributes ---- */

static int owner(const struct unpack *u, const struct tar_header *x, uid_t *uid, gid_t *gid, struct err *e)
{
	int64_t user = ids_on_disk(u->ids, u->how->uid >= 0 ? u->how->uid : x->uid);
	int64_t group = ids_on_disk(u->ids, u->how->gid >= 0 ? u->how->gid : x->gid);

	if (user < 0 || group < 0)
		return err_http(e, 400, "%s belongs to an id outside the container's range", x->name);
	*uid = (uid_t)user;
	*gid = (gid_t)group;
	return 0;
}

static int set_attributes(const struct unpack *u, const struct tar_header *x, int fd, struct err *e)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int r = owner(u, x, &uid, &gid, e);

	if (r < 0)
		return r;
	/* In this order: a change of owner takes set-user-id bits and capabilities away. */
	if (fchown(fd, uid, gid) < 0)
		return err_sys(e, -errno, "chown %s", x->name);
	if (fchmod(fd, x->mode) < 0)
		return err_sys(e, -errno, "chmod %s", x->name);
	for (size_t i = 0; i < x->nattrs; i++) {
		char value[ATTR_VALUE];
		size_t len = attr_on_disk(u->ids, &x->attrs[i], value);
		if (fsetxattr(fd, x->attrs[i].key, value, len, 0) < 0 && errno != EOPNOTSUPP)
			return err_sys(e, -errno, "set %s of %s", x->attrs[i].key, x->name);
	}
	set_times(fd, x->mtime);
	return 0;
}

/* ---- what is there already ---- */

/* What stands in the way goes, but for a file that a file is to replace. */
static int make_room(struct unpack *u, const struct tar_header *x, const char *base, bool file, struct err *e)
{
	bool dir = x->type == '5';
	struct stat st;

	if (fstatat(u->parent_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISDIR(st.st_mode) ? dir : file)
		return 0;
	if (u->how->keep_kinds && dir != S_ISDIR(st.st_mode))
		return err_http(e, 400,
				dir ? "cannot overwrite non-directory \"%s\" with directory \"%s\""
				    : "cannot overwrite directory \"%s\" with non-directory \"%s\"",
				x->name, x->name);
	return tree_remove(u->parent_fd, base, NULL, e);
}

/* ---- files ---- */

static int skip(struct unpack *u, int64_t size, struct err *e)
{
	const char *data;
	ssize_t n;

	for (int64_t left = (size + 511) / 512 * 512; left > 0; left -= n) {
		n = stream_take(u->in, &data, left < TAKE_BYTES ? (size_t)left : TAKE_BYTES, e);
		if (n <= 0)
			return n < 0 ? (int)n : err_http(e, 400, "unexpected end of the archive");
	}
	return 0;
}

static int write_content(struct unpack *u, const struct tar_header *x, int fd, struct err *e)
{
	char padding[512];
	const char *data;
	ssize_t n;

	for (int64_t left = x->size; left > 0; left -= n) {
		n = stream_take(u->in, &data, left < TAKE_BYTES ? (size_t)left : TAKE_BYTES, e);
		if (n <= 0)
			return n < 0 ? (int)n : err_http(e, 400, "unexpected end of the archive");
		int r = fd_write_all(fd, data, (size_t)n, e);
		if (r < 0)
			return err_prefix(e, "%s", x->name);
	}
	ssize_t rest = (ssize_t)((512 - x->size % 512) % 512);
	n = stream_get(u->in, padding, (size_t)rest, e);
	return n == rest ? 0 : n < 0 ? (int)n : err_http(e, 400, "unexpected end of the archive");
}

/* Something is mounted on the file, as on /etc/hosts: it stays the same file and gets the content. */
static int overwrite(int from, int at, const char *base, int64_t size, struct err *e)
{
	AUTO_CLOSE int fd = openat(at, base, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	off_t offset = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || ftruncate(fd, 0) < 0)
		return err_sys(e, -EBUSY, "replace %s", base);
	while (offset < size) {
		ssize_t n = sendfile(fd, from, &offset, (size_t)(size - offset));
		if (n <= 0)
			return err_sys(e, n < 0 ? -errno : -EIO, "write %s", base);
	}
	return 0;
}

static int publish(struct unpack *u, const struct tar_header *x, const char *base, int fd, struct err *e)
{
	int at = u->parent_fd;

	if (linkat(fd, "", at, base, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(e, -errno, "create %s", x->name);
	unlinkat(at, STAGED, 0);
	if (linkat(fd, "", at, STAGED, AT_EMPTY_PATH) < 0)
		return err_sys(e, -errno, "create %s", x->name);
	if (renameat(at, STAGED, at, base) == 0)
		return 0;
	int error = errno;
	unlinkat(at, STAGED, 0);
	return error == EBUSY ? overwrite(fd, at, base, x->size, e) : err_sys(e, -error, "replace %s", x->name);
}

static int put_file(struct unpack *u, const struct tar_header *x, const char *base, struct err *e)
{
	AUTO_CLOSE int fd = openat(u->parent_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool named = fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);

	if (named) { /* a file system without unnamed files */
		unlinkat(u->parent_fd, base, 0);
		fd = openat(u->parent_fd, base, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return err_sys(e, -errno, "create %s", x->name);
	int r = write_content(u, x, fd, e);
	if (r == 0)
		r = set_attributes(u, x, fd, e);
	if (r == 0 && !named)
		r = publish(u, x, base, fd, e);
	return r;
}

/* ---- everything else ---- */

static int put_dir(struct unpack *u, const struct tar_header *x, const char *base, struct err *e)
{
	if (mkdirat(u->parent_fd, base, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "create %s", x->name);
	AUTO_CLOSE int fd = openat(u->parent_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "open %s", x->name);
	enter_level(u, x);
	return set_attributes(u, x, fd, e);
}

static int put_link(struct unpack *u, struct tar_header *x, const char *base, struct err *e)
{
	if (!clean(x->link) || !*x->link)
		return err_http(e, 400, "the archive links %s to a place outside", x->name);
	char *slash = strrchr(x->link, '/');
	if (slash)
		*slash = '\0';
	AUTO_CLOSE int from = open_dir(u, slash ? x->link : "");
	if (from < 0 || linkat(from, slash ? slash + 1 : x->link, u->parent_fd, base, 0) < 0)
		return err_sys(e, from < 0 ? from : -errno, "link %s", x->name);
	return 0;
}

static int put_node(struct unpack *u, const struct tar_header *x, const char *base, struct err *e)
{
	const struct timespec times[2] = {{.tv_sec = x->mtime}, {.tv_sec = x->mtime}};
	uid_t uid = 0;
	gid_t gid = 0;
	int r = owner(u, x, &uid, &gid, e);

	if (r < 0)
		return r;
	if (x->type == '2' ? symlinkat(x->link, u->parent_fd, base) : mknodat(u->parent_fd, base, S_IFIFO | x->mode, 0))
		return err_sys(e, -errno, "create %s", x->name);
	if (fchownat(u->parent_fd, base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "chown %s", x->name);
	utimensat(u->parent_fd, base, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int put_entry(struct unpack *u, struct tar_header *x, struct err *e)
{
	bool file = x->type == '0' || x->type == '7' || x->type == '\0';

	if (!clean(x->name))
		return err_http(e, 400, "the archive has a name that leads out of it");
	if (x->type == '3' || x->type == '4')
		return err_http(e, 400, "%s is a device: devices are given to a container when it is created", x->name);
	if (!*x->name)
		return skip(u, x->size, e);
	leave_levels(u, x->name);
	const char *base = enter_parent(u, x->name, e);
	int r = base ? make_room(u, x, base, file, e) : e->code;
	if (r < 0)
		return r;
	if (file)
		return put_file(u, x, base, e);
	if (x->type == '5')
		r = put_dir(u, x, base, e);
	else if (x->type == '1')
		r = put_link(u, x, base, e);
	else if (x->type == '2' || x->type == '6')
		r = put_node(u, x, base, e);
	else
		r = err_http(e, 400, "the archive has an entry of unknown kind '%c'", x->type);
	return r == 0 ? skip(u, x->size, e) : r;
}

static int open_target(const char *path, struct err *e)
{
	AUTO_CLOSE int dir = path_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
	struct statvfs fs, root;

	if (dir < 0)
		return dir == -ENOENT	 ? err_http(e, 404, "Could not find the file %s in container", path)
		       : dir == -ENOTDIR ? err_http(e, 400, "extraction point is not a directory")
					 : err_sys(e, dir, "open %s", path);
	if (fstatvfs(dir, &fs) == 0 && (fs.f_flag & ST_RDONLY))
		return err_http(e, 403,
				statvfs("/", &root) == 0 && root.f_fsid == fs.f_fsid && (root.f_flag & ST_RDONLY)
					? "container rootfs is marked read-only"
					: "mounted volume is marked read-only");
	return STEAL_FD(dir);
}

int tar_unpack(struct stream *in, const char *path, const struct put_options *how, struct err *e)
{
	struct unpack u = {.in = in, .how = how, .ids = &in->task->ids, .dir = open_target(path, e), .parent_fd = -1};
	struct tar_header x = {.size = -1, .uid = -1, .gid = -1, .mtime = -1};
	int r = u.dir < 0 ? u.dir : 1;

	while (r > 0 && (r = tar_next(in, &x, e)) > 0) {
		int rc = put_entry(&u, &x, e);
		tar_header_clean(&x);
		r = rc < 0 ? rc : 1;
	}
	leave_levels(&u, NULL);
	tar_header_clean(&x);
	free(u.levels);
	free(u.parent);
	fd_close(&u.parent_fd);
	fd_close(&u.dir);
	return r;
}
