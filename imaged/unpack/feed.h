/* feed: where bytes come from: each stage of an unpack pulls from the one before it. */
#ifndef POUCH_IMAGE_UNPACK_FEED_H
#define POUCH_IMAGE_UNPACK_FEED_H

#include <stddef.h>

#include "lib/err.h"

struct feed {
	/*
	 * 1: the next bytes, at least one, valid until the next call but one, so that they can be hashed while more is
	 * read; 0: the end (and again 0); -errno.
	 */
	int (*next)(void *arg, const unsigned char **data, size_t *len, struct err *e);
	void *arg;
};

static inline int feed_next(const struct feed *f, const unsigned char **data, size_t *len, struct err *e)
{
	return f->next(f->arg, data, len, e);
}

#endif
