/* endpoint_options: what an endpoint has besides its addresses: DriverOpts (the name of its device, sysctls of that),
 * LinkLocalIPs. */
#ifndef POUCH_NETD_ENDPOINT_OPTIONS_H
#define POUCH_NETD_ENDPOINT_OPTIONS_H

#include "netd/network.h"

/* Of IPAMConfig.LinkLocalIPs. */
#define LINK_LOCAL_MAX 16

/* 400 that names the option. */
int endpoint_options_check(const struct network *n, const json_t *settings, struct err *e);
/*
 * A name for the device in `space`: the one that is asked for, or the first free one with the network's prefix. 400
 * when the container has a device of that name.
 */
int endpoint_options_name(const struct endpoint *ep, struct link_space *space, char name[LINK_NAME_MAX + 1],
			  struct err *e);
/* IPAMConfig.LinkLocalIPs, with their prefixes; how many. */
unsigned endpoint_options_link_local(const json_t *settings, struct subnet out[LINK_LOCAL_MAX]);
/* Set the sysctls of the device ep->device. */
int endpoint_options_sysctls(struct links *l, const struct endpoint *ep, int netns, struct err *e);

#endif
