/* show: parts of answers that several operations give. */
#ifndef POUCH_RUNTIMED_SHOW_H
#define POUCH_RUNTIMED_SHOW_H

#include "runtimed/container.h"

struct ipc_request;

/* State of inspect; a new reference. */
json_t *state_shown(const struct container *c);
/* Hide the values in `config`'s Env from a caller without the permission for them; the list itself is not changed. */
void show_env(json_t *config, const struct ipc_request *req);

/* The item of a list, complete but for the sizes; a new reference. */
json_t *item_shown(struct container *c);

#endif
