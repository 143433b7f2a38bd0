/*
 * jobs: one thread for file work that blocks (deleting, measuring trees), so that the event loop does not.
 * Jobs run one after the other, in order. The thread is made by the first job, so behind the sandbox.
 * Where none can be made (a limit of processes or memory), an error is logged and jobs_add() runs the job itself.
 */
#ifndef POUCH_LIB_JOBS_H
#define POUCH_LIB_JOBS_H

#include <event2/event.h>
#include <stdatomic.h>

#include "lib/err.h"

struct jobs;

struct job_kind {
	/* In the thread. It may look only at `arg`, and ends soon when *stop becomes true. */
	void (*run)(void *arg, const atomic_bool *stop);
	/* On the event loop, when run() has returned. Not called by jobs_free(), which calls `drop` instead. */
	void (*done)(void *arg);
	void (*drop)(void *arg);
};

int jobs_new(struct event_base *base, struct jobs **out, struct err *e);
/* Stops the running job and drops the rest. */
void jobs_free(struct jobs *j);
/* `kind` is static; `take_arg` belongs to the job until done() or drop(). */
void jobs_add(struct jobs *j, const struct job_kind *kind, void *take_arg);

#endif
