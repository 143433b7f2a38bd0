/* files: what a rootfs worker does in a container's files: sizes, archives, export, changes. */
#ifndef POUCH_RUNTIMED_FILES_H
#define POUCH_RUNTIMED_FILES_H

#include "runtimed/container.h"

struct launch_root;

/*
 * A turn at a container's files. While it is being started, or ends, it is waited for; one that does not run is mounted
 * for the purpose, with its volumes in use, and starts when nobody looks at it any more.
 */
struct files_turn;
/* `root` is valid during the call; with `e` there is none. Comes from the event loop. */
typedef void (*files_ready)(void *arg, const struct launch_root *root, const struct err *e);
/* Ended by files_turn_end(), at any time. */
struct files_turn *files_turn(struct container *c, files_ready ready, void *arg);
void files_turn_end(struct files_turn *t);

/* Bytes in its own layer, and in all its layers together. e is NULL on success. May come from within files_size(). */
typedef void (*files_sized)(struct container *c, int64_t rw, int64_t root, const struct err *e, void *arg);
void files_size(struct container *c, files_sized done, void *arg);
/* It starts, or something is written into it: what was measured before is not true any more. */
void files_changed(struct container *c);

#endif
