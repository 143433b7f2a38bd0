/* dialect: what other API versions than the newest see: Pouch's below /v1.24, Docker's older ones. */
#ifndef POUCH_APID_DIALECT_H
#define POUCH_APID_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct exchange;

/*
 * Rewrite a whole JSON answer for the client's version. True: *status may have changed and *out is the new text
 * (the caller's to free; NULL: no body). False: it goes through untouched.
 */
bool dialect_rewrite(const struct exchange *x, int *status, const char *text, size_t len, char **out);

/*
 * What older versions meant by the same request, before it goes to its owner. -EINVAL with status 400 for what they
 * could say and the newest cannot.
 */
int dialect_request(struct exchange *x, struct err *e);

/* The content type of a hijacked stream: before 1.42 there was only one. */
const char *dialect_stream_type(const struct exchange *x, const char *content_type);

#endif
