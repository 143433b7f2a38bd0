/* remove: the end of a container: its files, its record, its id range, what it held of others. */
#ifndef POUCH_RUNTIMED_REMOVE_H
#define POUCH_RUNTIMED_REMOVE_H

#include "runtimed/container.h"

typedef void (*remove_done)(struct container *c, int rc, const struct err *e, void *arg);

/*
 * With `force` a running one is killed first. done() is called when the record is gone for good (rc 0), or with the
 * reason; `c` lives during the call. A removal that fails half-way leaves a dead container, which can be removed again.
 */
void remove_container(struct container *c, bool force, bool volumes, remove_done done, void *arg);

/* As AutoRemove does, from the event loop: with anonymous volumes; a failure is logged. */
void remove_later(struct container *c);

#endif
