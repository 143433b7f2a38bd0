/*
 * digest: SHA-256 of a stream, by libcrypto, in a thread beside whoever goes on with the bytes. Hashing costs more than
 * all that is done with them else.
 */
#ifndef POUCH_IMAGE_UNPACK_DIGEST_H
#define POUCH_IMAGE_UNPACK_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/util.h"

#define DIGEST_TEXT 72 /* "sha256:", 64 digits, NUL */

struct digest {
	struct evp_md_ctx_st *ctx;
	struct digest_thread *thread; /* from the first large piece on, so made behind the sandbox */
	bool alone;		      /* there can be no thread */
};

/* A stream begins; where another has ended the thread is kept. */
void digest_begin(struct digest *d);
/* The next bytes, which stay as they are until there are more, the end, or digest_wait(), and may be read meanwhile. */
void digest_add(struct digest *d, const void *data, size_t len);
/* Until what was added is hashed: its memory is needed. */
void digest_wait(struct digest *d);
/* Ends the stream. */
void digest_text(struct digest *d, char out[DIGEST_TEXT]);
/* Releases; takes one that has not begun. */
void digest_free(struct digest *d);
#define AUTO_DIGEST CLEANUP(digest_free)

#endif
