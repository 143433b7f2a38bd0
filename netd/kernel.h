/* kernel: networks and attachments made real: devices, addresses, routes, the firewall. */
#ifndef POUCH_NETD_KERNEL_H
#define POUCH_NETD_KERNEL_H

#include "netd/netd.h"
#include "netd/ports.h"

#define CLAIM_TRIES 16 /* engines that choose at the same moment choose at random */

/* The bridge of a network, or the parent that its devices are on; also when it is there already. */
int kernel_network_up(struct netd *d, const struct network *n, struct err *e);
/* The same; 1 when its subnet was ours to choose, and somebody else has taken it meanwhile: it is down again then. */
int kernel_network_claim(struct netd *d, const struct network *n, struct err *e);
/*
 * What the firewall has for a network that is among the records: in one transaction with no other network's, or, when
 * the table is not what the records say (somebody has changed it), by all of it anew.
 */
int kernel_network_open(struct netd *d, const struct network *n, struct err *e);
int kernel_network_down(struct netd *d, const struct network *n, struct err *e);

/* Devices and addresses of one endpoint, in the container's namespace. */
int kernel_endpoint_up(struct netd *d, struct endpoint *ep, struct link_space *space, int netns, struct err *e);
/* Default routes by the endpoint with the highest GwPriority that leads outside. */
int kernel_routes(struct attachment *a, struct link_space *space, struct err *e);
/* The endpoint by which the container reaches the outside, and is reached by published ports; NULL: there is none. */
struct endpoint *kernel_gateway_endpoint(const struct attachment *a);

/* Reserve what the container's spec publishes, by its gateway endpoint; not in the firewall yet. See ports_open(). */
int kernel_ports_open(struct netd *d, struct attachment *a, struct port_conflict *conflict, struct err *e);
/* Another endpoint leads outside now: published ports lead to it, or open, or close when there is none. */
int kernel_ports_move(struct netd *d, struct attachment *a, struct err *e);
int kernel_ports_up(struct netd *d, const struct attachment *a, struct err *e);
int kernel_ports_down(struct netd *d, const struct attachment *a, struct err *e);

/* The whole table of the firewall as the records say. */
int kernel_firewall(struct netd *d, struct err *e);
/* At start: all bridges, the firewall; devices on our bridges that no endpoint has go. */
int kernel_restore(struct netd *d, struct err *e);
/* At the end: bridges and firewall go, unless a container has a device. */
void kernel_leave(struct netd *d);

#endif
