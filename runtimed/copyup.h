/* copyup: the first use of an empty volume: it gets what the image has at its place. */
#ifndef POUCH_RUNTIMED_COPYUP_H
#define POUCH_RUNTIMED_COPYUP_H

#include "runtimed/container.h"

typedef void (*copyup_done)(struct container *c, int rc, const struct err *e, void *arg);

/*
 * For a container that is being created and holds its volumes: each that is empty, but for those that are not to be
 * copied to (nocopy, a Subpath, VolumesFrom). As dockerd does it: at the creation, so that what is copied into the
 * container before its first start finds the image's files.
 */
void copyup(struct container *c, copyup_done done, void *arg);

#endif
