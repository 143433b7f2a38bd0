#include "lib/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"

/*
 * Descriptors are limited and trees may be deep: below this many levels a tree is first moved up to its top, for
 * removal, and not measured.
 */
#define DEPTH_MAX 256

static void dir_close(DIR **d)
{
	if (*d)
		closedir(*d);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Never onto another mount: what is mounted in a tree is not the tree's. */
static int open_below(int dir, const char *name)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);

	return fd < 0 ? -errno : fd;
}

static int open_dir(int dir, const char *name, DIR **out)
{
	int fd = open_below(dir, name);

	if (fd < 0)
		return fd;
	*out = fdopendir(fd);
	if (!*out) {
		int code = -errno;

		close(fd);
		return code;
	}
	return 0;
}

struct removal {
	int top;	/* where what is too deep goes */
	bool moved;	/* in this pass */
	unsigned names; /* given there, never twice */
	const atomic_bool *stop;
	struct err *e;
};

static int remove_entry(struct removal *r, int dir, const char *name, unsigned depth);

static int remove_content(struct removal *r, int dir, const char *name, unsigned depth)
{
	CLEANUP(dir_close) DIR *d = NULL;
	struct dirent *entry;
	int rc = open_dir(dir, name, &d);

	if (rc == -ENOENT)
		return 0;
	if (rc == -EXDEV)
		return err_set(r->e, -EBUSY, "remove %s: something is mounted on it", name);
	if (rc < 0)
		return err_sys(r->e, rc, "open %s", name);
	while (errno = 0, (entry = readdir(d))) {
		if (r->stop && *r->stop)
			return err_set(r->e, -ECANCELED, "stopped");
		if (is_dots(entry->d_name))
			continue;
		rc = remove_entry(r, dirfd(d), entry->d_name, depth + 1);
		if (rc < 0)
			return rc;
	}
	return errno ? err_sys(r->e, -errno, "read %s", name) : 0;
}

static int remove_entry(struct removal *r, int dir, const char *name, unsigned depth)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(r->e, -errno, "remove %s", name);
	if (depth > DEPTH_MAX) {
		char deep[32];

		snprintf(deep, sizeof deep, ".deep-%u", r->names++);
		r->moved = true;
		return renameat(dir, name, r->top, deep) ? err_sys(r->e, -errno, "move %s", name) : 0;
	}
	int rc = remove_content(r, dir, name, depth);
	if (rc < 0)
		return rc;
	if (unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT)
		return err_sys(r->e, -errno, "remove directory %s", name);
	return 0;
}

int tree_remove(int dir, const char *name, const atomic_bool *stop, struct err *e)
{
	struct removal r = {
		.top = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), .stop = stop, .e = e};
	int rc = 0;

	/* A pass that has moved something up leaves the top not empty, and needs another. */
	do {
		r.moved = false;
		rc = r.top < 0 ? remove_entry(&r, dir, name, 0) : remove_content(&r, dir, name, 0);
	} while (rc == 0 && r.moved);
	if (r.top >= 0) {
		close(r.top);
		if (rc == 0 && unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT)
			rc = err_sys(e, -errno, "remove directory %s", name);
	}
	return rc;
}

/* Inodes with several links that have been counted. */
struct seen {
	ino_t ino;
};

static int seen_compare(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

struct measure {
	uint64_t bytes;
	dev_t device;
	void *seen;
	const atomic_bool *stop;
	struct err *e;
};

static void measure_file(struct measure *m, const struct stat *st)
{
	if (st->st_nlink > 1 && !S_ISDIR(st->st_mode)) {
		struct seen *s = XNEW(struct seen);

		s->ino = st->st_ino;
		struct seen **found = tsearch(s, &m->seen, seen_compare);
		if (!found || *found != s) {
			free(s);
			return;
		}
	}
	m->bytes += (uint64_t)st->st_blocks * 512;
}

static int measure_entry(struct measure *m, int dir, const char *name, unsigned depth);

/* Without a DIR, which would ask for two more facts of each directory: most are empty. */
static int measure_content(struct measure *m, int dir, unsigned depth)
{
	_Alignas(struct dirent64) char block[2048];
	ssize_t n;

	while ((n = getdents64(dir, block, sizeof block)) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(block + at);
			at += entry->d_reclen;
			if (m->stop && *m->stop)
				return err_set(m->e, -ECANCELED, "stopped");
			int rc = is_dots(entry->d_name) ? 0 : measure_entry(m, dir, entry->d_name, depth);
			if (rc < 0)
				return rc;
		}
	return n < 0 && errno != ENOENT ? err_sys(m->e, -errno, "read a directory") : 0;
}

static int measure_entry(struct measure *m, int dir, const char *name, unsigned depth)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : err_sys(m->e, -errno, "stat %s", name);
	if (!m->device)
		m->device = st.st_dev;
	if (st.st_dev != m->device)
		return 0;
	measure_file(m, &st);
	if (!S_ISDIR(st.st_mode) || depth > DEPTH_MAX)
		return 0;
	AUTO_CLOSE int fd = open_below(dir, name);
	if (fd < 0)
		return fd == -ENOENT || fd == -EXDEV ? 0 : err_sys(m->e, fd, "open %s", name);
	return measure_content(m, fd, depth + 1);
}

int tree_size(int dir, const char *name, const atomic_bool *stop, uint64_t *bytes, struct err *e)
{
	struct measure m = {.stop = stop, .e = e};
	int rc = measure_entry(&m, dir, name, 0);

	tdestroy(m.seen, free);
	*bytes = m.bytes;
	return rc;
}
