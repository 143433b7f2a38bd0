/* files: what a rootfs worker does in a container's files: sizes, archives, export, changes. */
#ifndef POUCH_RUNTIMED_FILES_H
#define POUCH_RUNTIMED_FILES_H

#include "runtimed/container.h"

/* Bytes in its own layer, and in all its layers together. e is NULL on success. */
typedef void (*files_sized)(struct container *c, int64_t rw, int64_t root, const struct err *e, void *arg);
void files_size(struct container *c, files_sized done, void *arg);

#endif
