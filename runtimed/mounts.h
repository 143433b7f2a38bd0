/*
 * mounts: what a container sees of the host's files and of volumes: Binds, Mounts, Volumes, VolumesFrom. At creation
 * they become MountPoint objects of the record; at a start each source is resolved again, and the descriptor that the
 * policy has seen is the one that is mounted. Tmpfs is launch's, from HostConfig itself.
 *
 * Beside Docker's members a stored MountPoint has "_": {"recursive","top_only","plain","create","subpath",
 * "policy"}.
 */
#ifndef POUCH_RUNTIMED_MOUNTS_H
#define POUCH_RUNTIMED_MOUNTS_H

#include "runtimed/container.h"
#include "runtimed/launch/launch.h"

struct ipc_request;

/*
 * Read the documents of a container that is being created into c->mounts; binds are resolved and asked of the policy
 * for `req`. Volumes get Name "" where they are anonymous; volumes_acquire() fills in what volumed says.
 */
int mounts_read(struct container *c, struct ipc_request *req, json_t *warnings, struct err *e);

/*
 * At creation, when the container's ids are known: what this host cannot do about a mount, 400 by name. What
 * userns.bind-fallback has bound with plain ids is noted, with a warning.
 */
int mounts_check(struct container *c, const struct launch_ids *ids, json_t *warnings, struct err *e);

/* For a start: open all sources. *out and the descriptors in it are the caller's: mounts_close(). */
int mounts_open(struct container *c, struct launch_mount **out, size_t *n, struct err *e);
void mounts_close(struct launch_mount *mounts, size_t n);

/* The mounts for inspect and list, without "_"; a new reference. */
json_t *mounts_shown(const struct container *c);

#endif
