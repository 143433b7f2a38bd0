/*
 * waiting: attaches that found an address taken by a container that has ended: its device is still being removed, and
 * until then the address is in use. They are tried again when a device has gone.
 */
#ifndef POUCH_NETD_WAITING_H
#define POUCH_NETD_WAITING_H

#include "netd/netd.h"

/* `req`, a network_attach, is answered later: by container_attach(), or with `why` when nothing has become free. */
void waiting_add(struct netd *d, struct ipc_request *req, const struct err *why);
/* An endpoint is free. */
void waiting_retry(struct netd *d);

#endif
