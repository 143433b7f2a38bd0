/* space: room on the store's file system while a worker fills it: it stops while there is still some. */
#ifndef POUCH_IMAGE_UNPACK_SPACE_H
#define POUCH_IMAGE_UNPACK_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct space {
	int dir;	   /* borrowed: on that file system */
	uint64_t min_free; /* bytes that must stay; 0: none */
	uint64_t since;	   /* written since it was last asked */
};

/* `len` more bytes are about to be written. -ENOSPC: less than min_free would be left. */
int space_take(struct space *s, uint64_t len, struct err *e);

#endif
