/* worker: one call to a fresh worker process, which ends with it. */
#ifndef POUCH_IMAGED_WORKER_H
#define POUCH_IMAGED_WORKER_H

#include "imaged/imaged.h"

struct worker_call;

struct worker_events {
	/* Bytes so far; may be NULL. */
	void (*progress)(void *arg, uint64_t bytes);
	/* The reply's struct, valid during the call, or NULL and why. The worker_call is gone. */
	void (*done)(void *arg, void *reply, const struct err *e);
};

/* `events` static. NULL when it cannot be sent. Descriptors in `msg` stay the caller's. */
struct worker_call *worker_call(struct imaged *d, uint16_t number, void *msg, const struct worker_events *events,
				void *arg, struct err *e);
/* End the worker; no event. Takes NULL. */
void worker_cancel(struct worker_call *w);

#endif
