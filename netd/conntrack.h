/*
 * conntrack: flows that the kernel remembers. One of UDP lives as long as its sender goes on, so it would miss a port
 * that is published after it began, and stay with a container that is gone.
 */
#ifndef POUCH_NETD_CONNTRACK_H
#define POUCH_NETD_CONNTRACK_H

#include "netd/firewall.h"

/* The port leads to its container now: flows to it that were translated to nobody are forgotten. Nothing but UDP is. */
int conntrack_opened(const struct firewall_port *p, struct err *e);
/* The port leads there no more: flows that were translated to the container are forgotten. */
int conntrack_closed(const struct firewall_port *p, struct err *e);

#endif
