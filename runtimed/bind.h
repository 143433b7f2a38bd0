/* bind: one bind mount: what the user wrote, what the host resolves it to, and what the policy said about it. */
#ifndef POUCH_RUNTIMED_BIND_H
#define POUCH_RUNTIMED_BIND_H

#include <jansson.h>

#include "lib/err.h"
#include "runtimed/launch/launch.h"

struct ipc_request;

/* "source:target[:options]" as a MountPoint: of type bind when the source is a path, else volume. *out is fresh. */
int bind_parse(const char *text, json_t **out, struct err *e);
/* A Mount of type bind as a MountPoint. */
int bind_from_mount(const json_t *mount, json_t **out, struct err *e);

/* Resolve the source and ask the policy; what was resolved is remembered in `point`. A missing source that may be made
 * is. */
int bind_admit(struct ipc_request *req, json_t *point, struct err *e);

/*
 * For a start: the descriptor of what bind_admit() has seen. -EPERM when the path leads elsewhere by now, unless the
 * creator may bind anything.
 */
int bind_open(const json_t *point, struct err *e);
/* The directory of a volume, from its Source as volumed gave it, with the Subpath inside. */
int volume_open(const json_t *point, struct err *e);

enum launch_propagation bind_propagation(const char *name);

#endif
