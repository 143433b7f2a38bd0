/* stop: ending a container's process: the stop signal, patience, then SIGKILL to all of its cgroup. */
#ifndef POUCH_RUNTIMED_STOP_H
#define POUCH_RUNTIMED_STOP_H

#include "runtimed/container.h"

/* rc 0: it does not run any more. Called once. */
typedef void (*stop_done)(struct container *c, int rc, const struct err *e, void *arg);

/*
 * `sig` 0: the container's own stop signal. `seconds` < 0: wait for ever; STOP_DEFAULT: the container's or the
 * config's. done() comes at once when nothing runs. A start under way is waited for.
 */
#define STOP_DEFAULT INT32_MIN
void stop_container(struct container *c, int sig, int64_t seconds, stop_done done, void *arg);

/* The container's stop signal. */
int stop_signal(const struct container *c);

#endif
