/* holder: the process of the host that has a port. */
#ifndef POUCH_NETD_HOLDER_H
#define POUCH_NETD_HOLDER_H

#include "netd/netd.h"
#include "netd/ports.h"

/* Answer `req` with `e`, which says that the port is taken, and by whom. */
void holder_reply(struct netd *d, struct ipc_request *req, const struct port_conflict *conflict, const struct err *e);

#endif
