/*
 * events: what has happened, to those who follow GET /events. The last EVENTS_KEPT are kept for `since`; they are of
 * this run of runtimed.
 */
#ifndef POUCH_RUNTIMED_EVENTS_H
#define POUCH_RUNTIMED_EVENTS_H

#include "runtimed/container.h"

#define EVENTS_KEPT 1024

struct events;

struct events *events_new(struct runtimed *rt);

/*
 * An event of a container: Docker's attributes (image, name, labels), and `extra`, NULL-ended pairs of name and value.
 */
void event_container(struct container *c, const char *action, const char *const *extra);

/* "kill": a signal was sent on request, by stop, kill or a removal by force. */
void event_kill(struct container *c, int sig);

/* Any event. `take_attributes` may be NULL; `owner` is who may see it besides those who see everything. */
void event_add_any(struct events *all, const char *type, const char *action, const char *id, json_t *take_attributes,
		   const char *owner, int64_t time);

#endif
