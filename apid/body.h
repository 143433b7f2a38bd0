/*
 * body: the framing of a request's body: how much of the connection's bytes belongs to it, and which of them are
 * content. Chunked by the letter of RFC 9112, 7.1, without extensions and without trailers.
 */
#ifndef POUCH_APID_BODY_H
#define POUCH_APID_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apid/head.h"

struct http_body {
	enum http_framing framing;
	unsigned char state;
	unsigned char digits; /* of the chunk's size */
	bool done;
	uint64_t left;	/* bytes of content still to come: of the body, or of this chunk */
	uint64_t total; /* bytes of content so far */
	uint64_t max;
};

void http_body_init(struct http_body *b, enum http_framing framing, uint64_t length, uint64_t max);

/*
 * Read on in `data`. *used bytes belong to the body; of these the last *piece_len, from *piece, are content.
 * To be called until b->done, or *used is `len`. On failure e->status is 400 or 413 and the connection is of no more
 * use.
 */
int http_body_feed(struct http_body *b, const char *data, size_t len, size_t *used, const char **piece,
		   size_t *piece_len, struct err *e);

#endif
