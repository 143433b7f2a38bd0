/* head: a request's line and headers, parsed by llhttp from bytes that the guard has passed; its body's framing. */
#ifndef POUCH_APID_HEAD_H
#define POUCH_APID_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define HTTP_HEADERS_MAX 100

enum http_framing { FRAMED_NONE, FRAMED_LENGTH, FRAMED_CHUNKED };

struct http_header {
	const char *name, *value; /* into the text, NUL-terminated; the value without surrounding space */
};

struct http_head {
	char *text; /* owned; everything below points into it */
	const char *method, *target;
	unsigned minor;		     /* of HTTP/1.x */
	struct http_header *headers; /* owned */
	size_t nheaders;
	enum http_framing framing;
	uint64_t length; /* FRAMED_LENGTH */
	bool keep_alive;
	bool upgrade; /* Connection: Upgrade, and an Upgrade header */
	bool expect_continue;
};

/*
 * Parse a whole head (as head_guard_feed() has delimited it). On failure e->status is what to answer (400, 417, 431).
 * Refused beyond the guard: a second Content-Length, Transfer-Encoding or Host, both kinds of framing, any coding
 * but `chunked`, no Host in HTTP/1.1.
 */
int http_head_parse(const char *bytes, size_t len, struct http_head *h, struct err *e);
void http_head_clean(struct http_head *h);

/* Value of a header (names compare without case), NULL when absent. */
const char *http_header(const struct http_head *h, const char *name);
/* Is `token` one of the words of a comma-separated value? Without case. */
bool http_has_token(const char *value, const char *token);

#endif
