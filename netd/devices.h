/*
 * devices: removal of network devices by a thread of its own: the kernel takes 14 to 41 ms for each, and netd has
 * others to serve meanwhile.
 */
#ifndef POUCH_NETD_DEVICES_H
#define POUCH_NETD_DEVICES_H

#include "netd/netd.h"

typedef void (*devices_done)(void *arg, const struct err *e);

/*
 * The device of an endpoint that has left its container (endpoint_leave()), in the container's namespace; its address
 * is given back when the kernel has removed it. Then `done`, which may be NULL, with e->code 0 or what went
 * wrong; not when netd ends before.
 */
void devices_remove(struct netd *d, struct endpoint *ep, struct link_space *take_space, devices_done done, void *arg);

#endif
