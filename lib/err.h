/*
 * err: the explanation that goes with a failing return.
 *
 * A function that can fail returns 0 or -errno and takes a last `struct err *`.
 * The number says what kind of failure it is, the text says it to a person, and
 * the HTTP status (when set) is what a client of the API is told.
 */
#ifndef POUCH_LIB_ERR_H
#define POUCH_LIB_ERR_H

#include <stdarg.h>

#define ERR_TEXT_MAX 1024

struct err {
	int code;		 /* -errno, 0 when nothing is set */
	int status;		 /* HTTP status; 0: derive it from code, see err_status() */
	char text[ERR_TEXT_MAX]; /* one sentence, no newline, valid UTF-8, always terminated */
};

/*
 * Record a failure and return `code`, so that `return err_set(e, -EPERM, "kill %s", id);`
 * reads as one step. `e` may be NULL. Never records secrets: the caller keeps them out.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_setv(struct err *e, int code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* As err_set(), with ": " and strerror(-code) behind the text; for failed system calls. */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Record a failure by the HTTP status the API's specification names for it; returns the
 * -errno that belongs to the status (404 → -ENOENT, 409 → -EEXIST, 503 → -EBUSY, …).
 */
int err_http(struct err *e, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "prefix: " before the text of an error that is already set; returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The HTTP status to answer with: e->status, or what e->code maps to (500 when nothing fits). */
int err_status(const struct err *e);

/* The -errno that stands for an HTTP status >= 400 (-EIO when nothing fits). */
int err_code_of_status(int status);

#endif
