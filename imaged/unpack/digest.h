/* digest: SHA-256 of a stream, by libcrypto. */
#ifndef POUCH_IMAGE_UNPACK_DIGEST_H
#define POUCH_IMAGE_UNPACK_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/util.h"

#define DIGEST_TEXT 72 /* "sha256:", 64 digits, NUL */

struct digest {
	struct evp_md_ctx_st *ctx;
};

void digest_begin(struct digest *d);
void digest_add(struct digest *d, const void *data, size_t len);
/* Ends the digest. */
void digest_text(struct digest *d, char out[DIGEST_TEXT]);
/* Releases; takes one that has not begun. */
void digest_free(struct digest *d);
#define AUTO_DIGEST CLEANUP(digest_free)

#endif
