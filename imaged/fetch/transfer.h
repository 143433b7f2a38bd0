/*
 * transfer: one HTTP exchange by libcurl: one request, one response, no redirect followed, nothing tried again. What a
 * server can send is bounded: its headers, an answer kept in memory, and the time without a byte.
 */
#ifndef POUCH_IMAGE_FETCH_TRANSFER_H
#define POUCH_IMAGE_FETCH_TRANSFER_H

#include <stdint.h>

#include "imaged/fetch/worker.h"

#define TRANSFER_HEADERS 6
#define TRANSFER_TEXT	 256
#define CHALLENGES_MAX	 8

struct transfer;

struct transfer_request {
	const char *method;
	const struct url *url;
	const char *authorization;	       /* value of the header, NULL */
	const char *headers[TRANSFER_HEADERS]; /* "Name: value", up to the first NULL */
	const char *body;		       /* NULL: none */
	size_t body_len;
	int file; /* body of `file_size` bytes from its begin instead, -1: none */
	uint64_t file_size;
	size_t max_body; /* of an answer kept in memory */
	bool sink;	 /* a good answer's body goes to events->data */
};

struct response {
	int status;
	char type[TRANSFER_TEXT];	  /* Content-Type without parameters */
	char digest[TRANSFER_TEXT];	  /* Docker-Content-Digest */
	char *location;			  /* NULL */
	char *link;			  /* NULL */
	char *challenges[CHALLENGES_MAX]; /* WWW-Authenticate, one a header */
	size_t nchallenges;
	int64_t length;	     /* Content-Length, -1 */
	int64_t range_begin; /* Content-Range, -1 */
	int64_t range_total;
	long retry_after; /* seconds, -1 */
	char *body;	  /* with a NUL behind it; NULL when it went to the sink */
	size_t len;
};

enum transfer_taken { TRANSFER_GO_ON, TRANSFER_PAUSE, TRANSFER_REFUSE };

struct transfer_events {
	/* All of these bytes, or (PAUSE) none of them: they come again after transfer_resume(). */
	enum transfer_taken (*data)(void *arg, const struct response *r, const void *bytes, size_t n);
	/* Bytes of `file` that went out so far; may be NULL. */
	void (*sent)(void *arg, uint64_t bytes);
	/*
	 * The end, once unless freed before; the transfer is gone, `r` lives during the call. `e`: no whole answer
	 * came. -ECONNRESET, -ETIME: trying again may help; -ECONNREFUSED: nobody is there; -EPROTO: TLS failed.
	 */
	void (*done)(void *arg, struct response *r, const struct err *e);
};

/* Begin. What `request` points to is copied, but for `body` and `file`, which are borrowed until the end. */
struct transfer *transfer_new(struct worker *w, const struct transfer_request *request,
			      const struct transfer_events *events, void *arg, struct err *e);
/* Break it off without an event. Takes NULL. */
void transfer_free(struct transfer *t);
void transfer_resume(struct transfer *t);

#endif
