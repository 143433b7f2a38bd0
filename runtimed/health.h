/* health: a container's health test: when it runs, what it said, and what follows for the container's health. */
#ifndef POUCH_RUNTIMED_HEALTH_H
#define POUCH_RUNTIMED_HEALTH_H

#include "runtimed/container.h"

/* The container runs: begin, when it has a test. Again after a restart of runtimed. */
void health_start(struct container *c);
/* It does not run any more: no further test; what was found stays to be shown. */
void health_stop(struct container *c);
void health_free(struct health *h);

/* "starting", "healthy", "unhealthy"; "none" without a test. */
const char *health_status(const struct container *c);
/* State.Health of inspect; a new reference, NULL without a test. */
json_t *health_shown(const struct container *c);

#endif
