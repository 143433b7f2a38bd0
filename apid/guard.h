/*
 * guard: the strict reader of a request's head, before llhttp sees it. It takes bytes as they come
 * and finds the head's end; what RFC 9112 leaves to leniency is refused here: a bare CR or LF,
 * control bytes, folded lines, space before a colon, any target but an absolute path.
 */
#ifndef POUCH_APID_GUARD_H
#define POUCH_APID_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct head_guard {
	unsigned char state;
	unsigned char version; /* bytes of "HTTP/1.x" seen */
	bool blank;	       /* the one empty line before the request line has been skipped */
	size_t seen;	       /* bytes of the head */
	const char *why;       /* of GUARD_BAD */
};

enum guard_result { GUARD_MORE, GUARD_DONE, GUARD_BAD, GUARD_LARGE };

/*
 * Look at the next `len` bytes. GUARD_DONE: *used of them belong to the head, the rest follows it.
 * GUARD_LARGE: the head has more than `max` bytes. A zeroed struct starts a head.
 */
enum guard_result head_guard_feed(struct head_guard *g, const char *data, size_t len, size_t max, size_t *used);

/* tchar of RFC 9110, 5.6.2. */
bool http_token_char(unsigned char c);

#endif
