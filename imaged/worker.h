/* worker: calls to worker processes: one call to a fresh worker, which ends with it, or many to one worker. */
#ifndef POUCH_IMAGED_WORKER_H
#define POUCH_IMAGED_WORKER_H

#include "imaged/imaged.h"

struct worker_call;
struct worker_session;

struct worker_events {
	/* Bytes so far; may be NULL. */
	void (*progress)(void *arg, uint64_t bytes);
	/* The reply's struct, valid during the call, or NULL and why. The worker_call is gone. */
	void (*done)(void *arg, void *reply, const struct err *e);
};

/* `events` static. NULL when it cannot be sent. Descriptors in `msg` stay the caller's. */
struct worker_call *worker_call(struct imaged *d, uint16_t number, void *msg, const struct worker_events *events,
				void *arg, struct err *e);
/* End the worker, or within a session only the call; no event. Takes NULL. */
void worker_cancel(struct worker_call *w);

/* A worker of this kind that lives until the session is freed. When it dies, calls fail, and so do later ones. */
struct worker_session *worker_session_new(struct imaged *d, enum process_id kind);
/* All its calls must have ended or been cancelled. Takes NULL. */
void worker_session_free(struct worker_session *s);
struct worker_call *worker_session_call(struct worker_session *s, uint16_t number, void *msg,
					const struct worker_events *events, void *arg, struct err *e);

#endif
