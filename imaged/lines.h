/* lines: a streamed answer of JSON objects, one a line, at the client's speed. */
#ifndef POUCH_IMAGED_LINES_H
#define POUCH_IMAGED_LINES_H

#include <stdarg.h>

#include "imaged/imaged.h"

struct lines;

/* `gone` (may be NULL) is called when the client has left; lines_end() or lines_fail() must still follow. */
struct lines *lines_new(struct ipc_request *req, void (*gone)(void *arg), void *arg);
/* Takes the object. */
void lines_put(struct lines *l, json_t *take_line);
/* The same for progress: left out while the client is slow. */
void lines_hint(struct lines *l, json_t *take_line);
/* {"status": …} and {"status": …, "id": …}; a fresh reference, and put at once. */
json_t *lines_status_of(const char *id, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void lines_status(struct lines *l, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The end; `l` is gone for the caller. What is buffered still goes out. */
void lines_end(struct lines *l);
/* The end with a failure: its status when nothing was sent yet, else a line as Docker writes them. */
void lines_fail(struct lines *l, const struct err *e);

#endif
