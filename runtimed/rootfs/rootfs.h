/*
 * rootfs: a process for one request about a container's files. Its root is the container's; it acts with the
 * container's ids on disk; it loads nothing there. What the container does meanwhile can only hurt the container.
 */
#ifndef POUCH_RUNTIMED_ROOTFS_ROOTFS_H
#define POUCH_RUNTIMED_ROOTFS_ROOTFS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

struct stat;

struct ids {
	uint32_t base, size;
};

/* What every step of a request may need: the container's ids, and who waits for the answer. */
struct task {
	struct ids ids;
	int peer; /* connection to runtimed; anything from there, or its end, means that nobody waits */
};

/* An id on disk as the container sees it, 65534 for what is outside its range; and back, -1 for what is outside. */
int64_t ids_inside(const struct ids *ids, uint32_t id);
int64_t ids_on_disk(const struct ids *ids, int64_t id);

/* -ECANCELED when nobody waits any more. */
int task_wanted(const struct task *t, struct err *e);

/* ---- path.c: what a client's path means ---- */

/* open(2) that follows no magic link of a /proc in the container; the process's root bounds all others. */
int path_open(int dir, const char *path, int flags);

/*
 * A client's path as Docker reads it: absolute, without "." and ".." but for a trailing "/" or "/.", which ask for a
 * symbolic link's target, or a directory's content. `dir` has its symbolic links resolved, `base` has not.
 */
struct place {
	char *path;	  /* the whole, cleaned */
	int dir;	  /* O_PATH */
	const char *base; /* below `dir`, in `path`; "." for the directory itself */
	const char *name; /* the last component: what it is called in an archive and in its stat object */
};

/* 404 when the directory is not there. */
int place_find(const char *path, struct place *out, struct err *e);
void place_clean(struct place *p);
#define AUTO_PLACE CLEANUP(place_clean)

/* {"name","size","mode","mtime","linkTarget"}; a new reference. 404 when there is nothing. */
int place_stat(const struct place *p, json_t **out, struct err *e);

/* ---- stream.c: the pipe of a request ---- */

struct inflate;

struct stream {
	int fd; /* borrowed */
	const struct task *task;
	char *buf;
	size_t from, to;
	struct inflate *inflate; /* of an archive that comes compressed */
	char *packed;		 /* its bytes as they came */
	const char *rest;
	size_t rest_len;
};

/* Everything of it fails with -ECANCELED when nobody waits any more. */
int stream_begin(struct stream *s, int fd, const struct task *t, struct err *e);
void stream_clean(struct stream *s);
int stream_put(struct stream *s, const void *data, size_t len, struct err *e);
/* `size` bytes of the file; zeros for what it has not. */
int stream_put_file(struct stream *s, int fd, uint64_t size, struct err *e);
int stream_flush(struct stream *s, struct err *e);
/* Look at the first bytes of what comes in: when they are compressed, all others are, and are given inflated. */
int stream_unpack(struct stream *s, struct err *e);
/* Up to `len` bytes, fewer only at the end. */
ssize_t stream_get(struct stream *s, void *to, size_t len, struct err *e);
/* Whatever still comes behind the archive's end is of no interest, but its sender is not to be cut off. */
void stream_drain(struct stream *s);
/* The bytes that are there, at least one but at the end, at most `len`; valid until the next call. */
ssize_t stream_take(struct stream *s, const char **data, size_t len, struct err *e);

/* ---- inflate.c: compressed archives ---- */

#define INFLATE_MAGIC 6 /* bytes that tell the format */

/* By the first bytes; NULL: not compressed. */
struct inflate *inflate_new(const char *first, size_t len);
/* Moves `in` on and returns how much of `out` was filled, perhaps nothing. 400: the bytes are damaged. */
ssize_t inflate_some(struct inflate *x, const char **in, size_t *in_len, char *out, size_t len, struct err *e);
/* No bytes come any more: 400 when there should. */
int inflate_end(const struct inflate *x, struct err *e);
void inflate_free(struct inflate *x);

/* ---- attr.c: extended attributes that archives and copies carry ---- */

#define ATTR_NAME  256
#define ATTR_VALUE 4096

/*
 * Call `fn` for each attribute of `base` in `dir` that belongs to the file and not to the machinery: capabilities and
 * user.*, without overlayfs's own.
 */
typedef int (*attr_fn)(void *arg, const char *name, const void *value, size_t len);
int attr_each(int dir, const char *base, attr_fn fn, void *arg);
bool attr_carried(const char *name);

/* ---- tar_entry.c: one entry of an archive: ustar, with pax headers where that cannot say it ---- */

struct tar {
	struct stream out;
	const struct task *task;
	void *links; /* of files with several names: those that have been written */
	char *pax;
	size_t pax_len, pax_size;
};

int tar_begin(struct tar *t, int out, const struct task *task, struct err *e);
int tar_end(struct tar *t, struct err *e);
void tar_clean(struct tar *t);
/*
 * `base` in `at` as an entry called `name`. `fd`: the opened file or directory, else -1; `target`: of a symbolic link.
 * A name of a file that has been written already becomes a link to it.
 */
struct tar_entry {
	int at, fd;
	const char *base, *name, *target;
	const struct stat *st;
};
int tar_put(struct tar *t, const struct tar_entry *x, struct err *e);
/* An empty file that says something by its name (OCI image specification, layers: whiteouts). */
int tar_put_mark(struct tar *t, const char *name, struct err *e);

/* ---- tar_walk.c: trees as archives ---- */

enum tree_kind {
	TREE_PATH,  /* with all that is mounted in it */
	TREE_ROOT,  /* without what is mounted in it */
	TREE_LAYER, /* an overlay's upper directory as the layer of an image */
};

/* What is at `base` in `at`, as entries that begin with `name`. */
int tar_tree(struct tar *t, enum tree_kind kind, int at, const char *base, const char *name, struct err *e);

/* ---- tar_read.c: the entries of an archive ---- */

struct tar_header {
	char type;
	char *name, *link;
	int64_t size, uid, gid, mtime;
	unsigned mode, major, minor;
	struct tar_attr {
		char key[ATTR_NAME];
		char *value;
		size_t len;
	} attrs[16];
	size_t nattrs;
};

/* An attribute as it is set on a file of the container: capabilities are good for its own root. Returns the length. */
size_t attr_on_disk(const struct ids *ids, const struct tar_attr *a, char to[ATTR_VALUE]);

/* Returns 1 with a header, 0 at the end of the archive. */
int tar_next(struct stream *in, struct tar_header *x, struct err *e);
void tar_header_clean(struct tar_header *x);

/* ---- tar_unpack.c ---- */

struct put_options {
	bool keep_kinds;  /* a directory is not replaced by something else, nor the other way round */
	int64_t uid, gid; /* owner of everything; -1: as the tar says */
};
/* Unpack into the directory `path`. */
int tar_unpack(struct stream *in, const char *path, const struct put_options *how, struct err *e);

/* ---- upper.c: what an overlay's upper directory says ---- */

bool is_whiteout(const struct stat *st);
bool is_opaque(int fd);
/*
 * A path below the container's root that the engine itself has made to mount something there, and that is still as it
 * was made: not the container's doing.
 */
bool is_mountpoint(int at, const char *base, const char *path, const struct stat *st);
/* Is there nothing in the directory `fd`, called `path`, but such? */
bool holds_mountpoints_only(int fd, const char *path);

/* [{"Path","Kind"}] of the root against the image's files in `lower`; a new reference. */
int upper_changes(const struct task *t, int lower, json_t **out, struct err *e);
/* Bytes of the files in the root. */
int upper_size(const struct task *t, uint64_t *bytes, struct err *e);

/* ---- copy.c ---- */

/*
 * Copy what `image` has in the directory `path` into the root, which is empty, and give that the owner, mode and
 * attributes of `path`. Nothing when the image has no directory there, or the root is not empty.
 */
int copy_up(const struct task *t, int image, const char *path, struct err *e);

#endif
