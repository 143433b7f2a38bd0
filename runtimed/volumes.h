/* volumes: what runtimed asks of volumed for a container. */
#ifndef POUCH_RUNTIMED_VOLUMES_H
#define POUCH_RUNTIMED_VOLUMES_H

#include "runtimed/container.h"

typedef void (*volumes_done)(struct container *c, int rc, const struct err *e, void *arg);

/* At creation: hold the volumes of c->mounts, making what is missing, and fill in Name, Driver, Source. */
void volumes_acquire(struct container *c, volumes_done done, void *arg);
/* At a start: have them mounted; Source is what volumed says then. */
void volumes_use(struct container *c, volumes_done done, void *arg);
void volumes_unuse(struct container *c);
/* The container is gone; with `anonymous` its anonymous volumes too. done may be NULL. */
void volumes_release(struct container *c, bool anonymous, volumes_done done, void *arg);
/* volumed is connected anew: what it is owed, and who is there. */
void volumes_reconcile(struct runtimed *rt);
bool volumes_any(const struct container *c);

#endif
