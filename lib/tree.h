/* tree: whole directory trees, beneath a descriptor, never through a symbolic link, never onto another file system. */
#ifndef POUCH_LIB_TREE_H
#define POUCH_LIB_TREE_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/err.h"

/* A copy into a new volume that is not whole yet: the worker rootfs makes it, to volumed such a volume is empty. */
#define TREE_COPY_NAME ".pouch-copy"

/*
 * Remove `name` below `dir`, whatever it is, and all that is in it. Mount points in it make it fail (-EBUSY).
 * Ends with -ECANCELED when *stop (may be NULL) becomes true. 0 also when there is nothing of that name.
 */
int tree_remove(int dir, const char *name, const atomic_bool *stop, struct err *e);

/* Bytes that `name` below `dir` takes on the disk; a file with several links counts once. */
int tree_size(int dir, const char *name, const atomic_bool *stop, uint64_t *bytes, struct err *e);

#endif
