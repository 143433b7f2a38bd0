/*
 * run: a container's process from the start to its end: starting, ending, what follows by the restart policy, and
 * finding everything again after a restart of runtimed.
 */
#ifndef POUCH_RUNTIMED_RUN_H
#define POUCH_RUNTIMED_RUN_H

#include "runtimed/container.h"

/*
 * Begin a start. 0: under way, CE_SETTLED follows, and then the container is alive or its state has the error.
 * -EALREADY: it runs (304). Otherwise why not.
 */
int run_start(struct container *c, struct err *e);

/* launch_config's found: restarts go on, and so do requests. */
void run_found(void *rt);
/* launch_config's view_ended: volumes are let go, and a start that has waited for this goes on. */
void run_view_ended(void *rt, const char *id);
/* launch_config's left: the same, for a start that has waited for the end of an earlier run. */
void run_left(void *rt, const char *id);

/* Ends a start under way; CE_SETTLED follows. */
void run_cancel_start(struct container *c);

/* Ends what the restart policy has planned, as stop, kill and remove do: the container is exited. */
void run_cancel_restart(struct container *c);

/* After db_load(): find the shims of what was running, apply restart policies, finish removals. */
void run_reattach_all(struct runtimed *rt);

/* Why the last start failed: valid behind CE_SETTLED until the next start. */
const struct err *run_start_error(const struct container *c);

#endif
