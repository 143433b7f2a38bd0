/*
 * text: writing text piece by piece into a buffer that is known to have the room, where printf(3) would be most of
 * the work. Each returns the place behind what it wrote; none writes a NUL.
 */
#ifndef POUCH_LIB_TEXT_H
#define POUCH_LIB_TEXT_H

#include <stdint.h>
#include <string.h>

static inline char *text_put_bytes(char *to, const char *s, size_t n)
{
	if (n)
		memcpy(to, s, n);
	return to + n;
}

static inline char *text_put(char *to, const char *s)
{
	return text_put_bytes(to, s, strlen(s));
}

/* Lower-case hexadecimal, with zeros in front up to `digits`; at most 16 bytes. */
char *text_put_hex(char *to, uint64_t v, unsigned digits);
/* At most 20 bytes. */
char *text_put_number(char *to, uint64_t v);

#endif
