/*
 * tar: reads a tar archive from a feed: ustar, PAX (POSIX.1-2001), GNU long names, base-256 numbers, GNU and PAX
 * sparse files. Every header's checksum is verified. Names are handed out as they stand there: who writes files
 * must not trust them.
 */
#ifndef POUCH_IMAGE_UNPACK_TAR_H
#define POUCH_IMAGE_UNPACK_TAR_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "imaged/unpack/feed.h"
#include "lib/util.h"

#define TAR_XATTRS_MAX 64

enum tar_type { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_CHAR, TAR_BLOCK, TAR_DIR, TAR_FIFO };

struct tar_xattr {
	char *name;
	void *value;
	size_t len;
};

/* A piece of a sparse file that has data. */
struct tar_piece {
	uint64_t offset, len;
};

struct tar_entry {
	enum tar_type type;
	char *path;		  /* never empty; no NUL, anything else may be in it */
	char *link;		  /* TAR_HARDLINK, TAR_SYMLINK; else NULL */
	uint64_t size;		  /* bytes of data in the archive; 0 for all but files */
	uint64_t real_size;	  /* of the file; differs for sparse ones */
	struct tar_piece *pieces; /* sparse: where the data goes, in order; NULL otherwise */
	size_t npieces;
	uint32_t mode; /* permission bits and set-id, 07777 */
	uint32_t uid, gid;
	struct timespec mtime;
	uint32_t major, minor;
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	size_t nxattrs;
};

struct tar {
	struct feed from;
	const unsigned char *in;
	size_t in_len;
	uint64_t left, pad; /* of the present entry's data, and behind it */
	size_t max_path;    /* bytes; longer is an error */
	bool ended;
	struct tar_entry entry;
	struct tar_pax *pax; /* of the entry that comes */
};

void tar_begin(struct tar *t, struct feed from, size_t max_path);
/* 1: *out is the next entry, valid until the next call; 0: the end of the archive; -EBADMSG, or what the feed said. */
int tar_next(struct tar *t, const struct tar_entry **out, struct err *e);
/* The entry's data: 1 and a piece of at most `max` bytes; 0 at its end. What is not read is skipped by tar_next(). */
int tar_data(struct tar *t, uint64_t max, const unsigned char **data, size_t *len, struct err *e);
/* Read on to the end of the feed: what stands behind the archive belongs to its digest. */
int tar_drain(struct tar *t, struct err *e);
void tar_free(struct tar *t);

#endif
