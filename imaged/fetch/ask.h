/*
 * ask: one question to a registry, and everything that it takes to get it answered: mirrors, plain HTTP where that is
 * allowed, credentials and tokens, redirects, attempts with growing pauses.
 *
 * Credentials go to the registry's own origin only: not to mirrors, not behind a redirect to another origin.
 */
#ifndef POUCH_IMAGE_FETCH_ASK_H
#define POUCH_IMAGE_FETCH_ASK_H

#include "imaged/fetch/transfer.h"

#define ASK_HEADERS 4

struct ask;

struct ask_request {
	const char *method;
	const char *path;      /* below the site's base, "v2/"; or NULL and … */
	const struct url *url; /* … an absolute URL */
	const char *scope;     /* of the token; NULL: none is got, credentials are not sent */
	const char *headers[ASK_HEADERS];
	const char *body; /* borrowed to the end */
	size_t body_len;
	int file; /* borrowed to the end; -1 */
	uint64_t file_size;
	size_t max_body;
	bool sink;    /* a good answer goes to events->data */
	bool mirrors; /* a mirror may answer */
	bool once;    /* not to be tried again: it changes something */
};

struct ask_events {
	/* Bytes that have arrived so far: an attempt goes on behind them. With `sink`. */
	uint64_t (*begin)(void *arg);
	enum transfer_taken (*data)(void *arg, const struct response *r, const void *bytes, size_t n);
	void (*sent)(void *arg, uint64_t bytes);
	/*
	 * The end, once unless ask_free() comes before. `r`: the answer, also one of failure; NULL when there was none.
	 * `e`: NULL for 2xx. `url`: who answered.
	 */
	void (*done)(void *arg, struct response *r, const struct url *url, const struct err *e);
};

/* Texts are copied. `events` static. Failures come by the event, which is never called from within. */
struct ask *ask_new(struct worker *w, const struct ask_request *request, const struct ask_events *events, void *arg);
/* Without the event. Takes NULL. */
void ask_free(struct ask *a);
/* After data() has paused. */
void ask_resume(struct ask *a);

#endif
