/*
 * secret: passwords and tokens. The struct is not declared to anybody, so that no format, log line, error text or JSON
 * can take one; only who asks for the bytes in so many words gets them. The memory is cleared when it is freed.
 */
#ifndef POUCH_LIB_SECRET_H
#define POUCH_LIB_SECRET_H

#include <stddef.h>

struct secret;

/* A copy of `len` bytes, with a NUL behind it. */
struct secret *secret_new(const char *text, size_t len);
/* A copy of `len` bytes; the caller's own text is cleared. */
struct secret *secret_take(char *text, size_t len);
/* The bytes, ended by NUL, for handing them to the one who must have them. *len may be NULL. */
const char *secret_reveal(const struct secret *s, size_t *len);
/* NULL is fine. */
void secret_free(struct secret *s);

#endif
