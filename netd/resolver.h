/*
 * resolver: the place in a container's network namespace where its names are answered: 127.0.0.11, as in Docker. The
 * sockets are on ports of their own, and rules of the namespace lead port 53 there, so that a container can have a name
 * server itself. Nothing of it can be reached from outside the namespace.
 */
#ifndef POUCH_NETD_RESOLVER_H
#define POUCH_NETD_RESOLVER_H

#include "netd/link.h"

#define RESOLVER_ADDRESS "127.0.0.11"

/* Make sockets and rules; what an earlier call made there is replaced. The sockets are the caller's. */
int resolver_open(struct links *l, int netns, int *udp, int *tcp, struct err *e);
/* Take the rules away. The sockets are closed by who has them. */
int resolver_close(struct links *l, int netns, struct err *e);

#endif
