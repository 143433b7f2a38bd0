/* failure: what a registry's answer means, in an error for the client. What a server says is text from outside. */
#ifndef POUCH_IMAGE_FETCH_FAILURE_H
#define POUCH_IMAGE_FETCH_FAILURE_H

#include "imaged/fetch/transfer.h"

/* Printable UTF-8 of at most size - 1 bytes, the rest left out; returns `out`. */
char *text_clean(char *out, size_t size, const char *text, size_t len);

/* An answer with a status of failure: the first of its "errors" in Docker's words, and the status. */
int failure_of_response(const struct response *r, struct err *e);

#endif
