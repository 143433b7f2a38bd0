#include "imaged/unpack/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "imaged/unpack/reach.h"
#include "imaged/unpack/space.h"
#include "imaged/unpack/writeback.h"
#include "lib/fd.h"
#include "lib/tree.h"

#define WHITEOUT ".wh."
#define OPAQUE	 ".wh..wh..opq"

/* A hard link whose target has not come yet. */
struct late_link {
	char *path, *target;
};

/* A directory's time is set when nothing is put into it any more. */
struct late_time {
	char *path;
	struct timespec mtime;
};

struct place {
	struct place_config config;
	uint32_t entries;
	uint64_t bytes;
	struct space space;
	char *parent_path; /* of the parent that is open, NULL: none */
	int parent;
	struct late_link *links;
	size_t nlinks;
	struct late_time *times;
	size_t ntimes;
};

static void forget_parent(struct place *p)
{
	free(STEAL(p->parent_path));
	fd_close(&p->parent);
}

void place_free(struct place *p)
{
	if (!p)
		return;
	forget_parent(p);
	for (size_t i = 0; i < p->nlinks; i++) {
		free(p->links[i].path);
		free(p->links[i].target);
	}
	for (size_t i = 0; i < p->ntimes; i++)
		free(p->times[i].path);
	free(p->links);
	free(p->times);
	free(p);
}

uint32_t place_entries(const struct place *p)
{
	return p->entries;
}

uint64_t place_bytes(const struct place *p)
{
	return p->bytes;
}

/* ---- times ---- */

static void remember_time(struct place *p, const char *path, const struct timespec *mtime)
{
	if ((p->ntimes & (p->ntimes - 1)) == 0)
		p->times = xrealloc(p->times, p->ntimes ? 2 * p->ntimes : 1, sizeof *p->times);
	p->times[p->ntimes++] = (struct late_time){.path = xstrdup(path), .mtime = *mtime};
}

void place_begin(struct place **out, const struct place_config *config)
{
	struct place *p = XNEW(struct place);

	p->config = *config;
	p->space = (struct space){.dir = config->dir, .min_free = config->min_free};
	p->parent = -1;
	remember_time(p, "", &(struct timespec){0});
	*out = p;
}

/* ---- parents ---- */

/* Directories that the archive does not name: their time is always the same, so that equal layers are equal. */
static int make_parent(struct place *p, const char *path, struct err *e)
{
	int made = reach_make(p->config.dir, path, e);
	AUTO_FREE char *copy = xstrdup(path);

	for (int left = made; left > 0; left--) {
		remember_time(p, copy, &(struct timespec){0});
		char *slash = strrchr(copy, '/');
		if (slash)
			*slash = '\0';
	}
	return made;
}

/* The directory `path` ("": the layer's root), made when it is missing; the descriptor is the place's. */
static int open_parent(struct place *p, const char *path, struct err *e)
{
	if (p->parent_path && strcmp(p->parent_path, path) == 0)
		return p->parent;
	forget_parent(p);
	int fd = reach_open(p->config.dir, path, O_PATH | O_DIRECTORY);
	if (fd == -ENOENT) {
		int rc = make_parent(p, path, e);
		if (rc < 0)
			return rc;
		fd = reach_open(p->config.dir, path, O_PATH | O_DIRECTORY);
	}
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV)
		return err_set(e, -EBADMSG, "%s: lies behind something that is no directory of the layer",
			       reach_shown(path));
	if (fd < 0)
		return err_sys(e, fd, "%s", reach_shown(path));
	p->parent = fd;
	p->parent_path = xstrdup(path);
	return fd;
}

/* ---- attributes ---- */

bool place_xattr_allowed(const char *name)
{
	static const char *const exact[] = {"security.capability", "system.posix_acl_access",
					    "system.posix_acl_default"};

	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (str_eq(name, exact[i]))
			return true;
	return str_starts(name, "user.") && name[5] && !str_starts(name, "user.overlay.");
}

/* Behind fchown(), which clears set-id bits and capabilities. `fd` is open for reading or writing. */
static int set_attributes(int fd, const struct tar_entry *x, bool time, struct err *e)
{
	const struct timespec times[2] = {x->mtime, x->mtime};

	if (fchown(fd, x->uid, x->gid) < 0)
		return err_sys(e, -errno, "owner of %s", reach_shown(x->path));
	if (fchmod(fd, x->mode) < 0)
		return err_sys(e, -errno, "mode of %s", reach_shown(x->path));
	for (size_t i = 0; i < x->nxattrs; i++) {
		const struct tar_xattr *a = &x->xattrs[i];
		if (place_xattr_allowed(a->name) && fsetxattr(fd, a->name, a->value, a->len, 0) < 0)
			return err_sys(e, -errno, "%s of %s", reach_shown(a->name), reach_shown(x->path));
	}
	if (time && futimens(fd, times) < 0)
		return err_sys(e, -errno, "time of %s", reach_shown(x->path));
	return 0;
}

/* Of what cannot be opened: symbolic links, devices, fifos. */
static int set_attributes_at(int parent, const char *name, const struct tar_entry *x, struct err *e)
{
	const struct timespec times[2] = {x->mtime, x->mtime};

	if (fchownat(parent, name, x->uid, x->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "owner of %s", reach_shown(x->path));
	if (x->type != TAR_SYMLINK && fchmodat(parent, name, x->mode, 0) < 0)
		return err_sys(e, -errno, "mode of %s", reach_shown(x->path));
	if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "time of %s", reach_shown(x->path));
	return 0;
}

static int set_opaque(int dir, struct err *e)
{
	return fsetxattr(dir, "user.overlay.opaque", "y", 1, 0) < 0 ? err_sys(e, -errno, "user.overlay.opaque") : 0;
}

/* ---- what is there already ---- */

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* Make way for an entry: later ones of an archive win. *hid: a whiteout was there. */
static int make_way(struct place *p, int parent, const char *name, bool *hid, struct err *e)
{
	struct stat st;

	*hid = false;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", reach_shown(name));
	*hid = is_whiteout(&st);
	if (!S_ISDIR(st.st_mode))
		return unlinkat(parent, name, 0) < 0 ? err_sys(e, -errno, "%s", reach_shown(name)) : 0;
	/* It may be the parent that is kept open for the next entry, or lie above it. */
	AUTO_CLOSE int kept = reach_open(parent, "", O_RDONLY | O_DIRECTORY);
	forget_parent(p);
	if (kept < 0)
		return err_sys(e, kept, "%s", reach_shown(name));
	return tree_remove(kept, name, NULL, e);
}

/* ---- kinds of entries ---- */

static int write_piece(struct place *p, int fd, struct tar *t, uint64_t len, struct err *e)
{
	uint64_t written = 0;

	while (len) {
		const unsigned char *data;
		size_t n;
		int rc = tar_data(t, len, &data, &n, e);
		if (rc <= 0)
			return rc < 0 ? rc : err_set(e, -EBADMSG, "tar: truncated");
		rc = space_take(&p->space, n, e);
		if (rc == 0)
			rc = fd_write_all(fd, data, n, e);
		if (rc < 0)
			return rc;
		writeback_begin(&written, fd, n);
		len -= n;
	}
	return 0;
}

static int write_data(struct place *p, int fd, struct tar *t, const struct tar_entry *x, struct err *e)
{
	if (!x->pieces)
		return write_piece(p, fd, t, x->size, e);
	for (size_t i = 0; i < x->npieces; i++) {
		if (lseek(fd, (off_t)x->pieces[i].offset, SEEK_SET) < 0)
			return err_sys(e, -errno, "%s", reach_shown(x->path));
		int rc = write_piece(p, fd, t, x->pieces[i].len, e);
		if (rc < 0)
			return rc;
	}
	return ftruncate(fd, (off_t)x->real_size) < 0 ? err_sys(e, -errno, "%s", reach_shown(x->path)) : 0;
}

static int put_file(struct place *p, int parent, const char *name, struct tar *t, const struct tar_entry *x,
		    struct err *e)
{
	AUTO_CLOSE int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, -errno, "%s", reach_shown(x->path));
	int rc = write_data(p, fd, t, x, e);
	if (rc < 0)
		return rc;
	p->bytes += x->size;
	return set_attributes(fd, x, true, e);
}

static int put_dir(struct place *p, const char *parent_path, int parent, const char *name, const struct tar_entry *x,
		   struct err *e)
{
	struct stat st;
	bool hid = false;

	if (*name && !(fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))) {
		int rc = make_way(p, parent, name, &hid, e);
		if (rc < 0)
			return rc;
		if (mkdirat(parent, name, 0700) < 0)
			return err_sys(e, -errno, "%s", reach_shown(x->path));
	}
	AUTO_CLOSE int fd = reach_open(parent, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return err_sys(e, fd, "%s", reach_shown(x->path));
	/* What the whiteout hid stays hidden. */
	int rc = hid ? set_opaque(fd, e) : 0;
	if (rc == 0)
		rc = set_attributes(fd, x, false, e);
	AUTO_FREE char *path = *parent_path ? xasprintf("%s/%s", parent_path, name) : xstrdup(name);
	if (rc == 0)
		remember_time(p, path, &x->mtime);
	return rc;
}

static int link_to(struct place *p, const char *target, int parent, const char *name, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(target);
	char *target_parent, *target_name;
	int rc = reach_split(copy, &target_parent, &target_name, e);

	if (rc < 0)
		return rc;
	AUTO_CLOSE int dir = reach_open(p->config.dir, target_parent, O_PATH | O_DIRECTORY);
	if (dir == -ENOENT)
		return -ENOENT;
	if (dir < 0 || !*target_name)
		return err_set(e, -EBADMSG, "hard link to %s: lies behind something that is no directory of the layer",
			       reach_shown(target));
	if (linkat(dir, target_name, parent, name, 0) == 0)
		return 0;
	return errno == ENOENT ? -ENOENT : err_sys(e, -errno, "hard link to %s", reach_shown(target));
}

static int put_link(struct place *p, int parent, const char *name, const struct tar_entry *x, struct err *e)
{
	int rc = link_to(p, x->link, parent, name, e);

	if (rc != -ENOENT)
		return rc;
	if ((p->nlinks & (p->nlinks - 1)) == 0)
		p->links = xrealloc(p->links, p->nlinks ? 2 * p->nlinks : 1, sizeof *p->links);
	p->links[p->nlinks++] = (struct late_link){xstrdup(x->path), xstrdup(x->link)};
	return 0;
}

static int put_special(int parent, const char *name, const struct tar_entry *x, struct err *e)
{
	int rc;

	switch (x->type) {
	case TAR_SYMLINK:
		rc = symlinkat(x->link, parent, name);
		break;
	case TAR_CHAR:
		rc = mknodat(parent, name, S_IFCHR | 0600, makedev(x->major, x->minor));
		break;
	case TAR_BLOCK:
		rc = mknodat(parent, name, S_IFBLK | 0600, makedev(x->major, x->minor));
		break;
	default:
		rc = mkfifoat(parent, name, 0600);
	}
	return rc < 0 ? err_sys(e, -errno, "%s", reach_shown(x->path)) : set_attributes_at(parent, name, x, e);
}

/* ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" all that they have in this directory. */
static int put_whiteout(int parent, const char *name, const struct tar_entry *x, struct err *e)
{
	const struct timespec times[2] = {x->mtime, x->mtime};
	struct stat st;

	if (str_eq(name, OPAQUE)) {
		AUTO_CLOSE int dir = reach_open(parent, "", O_RDONLY | O_DIRECTORY);
		return dir < 0 ? err_sys(e, dir, OPAQUE) : set_opaque(dir, e);
	}
	name += strlen(WHITEOUT);
	if (str_starts(name, WHITEOUT)) /* aufs' own bookkeeping */
		return 0;
	if (!*name || str_eq(name, ".") || str_eq(name, ".."))
		return err_set(e, -EBADMSG, "a whiteout without a name");
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		/* This layer has it, too: only what is below is meant. */
		if (!S_ISDIR(st.st_mode))
			return 0;
		AUTO_CLOSE int dir = reach_open(parent, name, O_RDONLY | O_DIRECTORY);
		return dir < 0 ? err_sys(e, dir, "%s", reach_shown(name)) : set_opaque(dir, e);
	}
	if (mknodat(parent, name, S_IFCHR, makedev(0, 0)) < 0 ||
	    utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "whiteout of %s", reach_shown(name));
	return 0;
}

int place_entry(struct place *p, struct tar *t, const struct tar_entry *x, struct err *e)
{
	AUTO_FREE char *path = xstrdup(x->path);
	char *parent_path, *name;
	bool hid;

	p->entries++;
	if (p->config.max_entries && p->entries > p->config.max_entries)
		return err_set(e, -EFBIG, "more than the %" PRIu32 " files that the configuration allows",
			       p->config.max_entries);
	/* A directory takes a block, and a file its inode. */
	int rc = space_take(&p->space, 4096, e);
	if (rc < 0)
		return rc;
	rc = reach_split(path, &parent_path, &name, e);
	if (rc < 0)
		return err_prefix(e, "%s", reach_shown(x->path));
	int parent = open_parent(p, parent_path, e);
	if (parent < 0)
		return parent;
	if (x->type == TAR_DIR)
		return put_dir(p, parent_path, parent, name, x, e);
	if (!*name)
		return err_set(e, -EBADMSG, "%s: the root must be a directory", reach_shown(x->path));
	if (str_starts(name, WHITEOUT))
		return put_whiteout(parent, name, x, e);
	rc = make_way(p, parent, name, &hid, e);
	if (rc == 0)
		parent = open_parent(p, parent_path, e);
	if (rc < 0 || parent < 0)
		return rc < 0 ? rc : parent;
	if (x->type == TAR_FILE)
		return put_file(p, parent, name, t, x, e);
	return x->type == TAR_HARDLINK ? put_link(p, parent, name, x, e) : put_special(parent, name, x, e);
}

/* A link may lead to a link that is late itself: rounds, until one brings nothing. */
static int finish_links(struct place *p, struct err *e)
{
	size_t left = p->nlinks, before;

	do {
		before = left;
		for (size_t i = 0; i < p->nlinks; i++) {
			struct late_link *l = &p->links[i];
			char *parent_path, *name;
			if (!l->path)
				continue;
			AUTO_FREE char *path = xstrdup(l->path);
			int rc = reach_split(path, &parent_path, &name, e);
			int parent = rc < 0 ? rc : open_parent(p, parent_path, e);
			rc = parent < 0 ? parent : link_to(p, l->target, parent, name, e);
			if (rc < 0 && rc != -ENOENT)
				return rc;
			if (rc == 0) {
				free(STEAL(l->path));
				left--;
			}
		}
	} while (left && left < before);
	for (size_t i = 0; i < p->nlinks; i++)
		if (p->links[i].path)
			return err_set(e, -EBADMSG, "hard link to %s, which the layer does not have",
				       reach_shown(p->links[i].target));
	return 0;
}

int place_finish(struct place *p, struct err *e)
{
	int rc = finish_links(p, e);

	/* In the archive's order: the last one of a name counts. */
	for (size_t i = 0; rc == 0 && i < p->ntimes; i++) {
		const struct timespec times[2] = {p->times[i].mtime, p->times[i].mtime};
		AUTO_CLOSE int fd = reach_open(p->config.dir, p->times[i].path, O_RDONLY | O_DIRECTORY);
		/* A later entry of the same name has taken its place: nothing to do. */
		if (fd >= 0 && futimens(fd, times) < 0)
			rc = err_sys(e, -errno, "time of a directory");
	}
	return rc;
}
