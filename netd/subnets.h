/*
 * subnets: which subnet a network gets, and may have: none of another network of ours, none that the host itself is on.
 * Several engines on a host choose at the same time: a subnet is had only when the kernel has it on our bridge and on
 * nothing else.
 */
#ifndef POUCH_NETD_SUBNETS_H
#define POUCH_NETD_SUBNETS_H

#include "netd/network.h"

/* Can hosts have its addresses, and one beside the gateway? 400 that says why not. */
int subnets_for_hosts(const struct subnet *s, struct err *e);

/* Has another network of ours than `except` (may be NULL) a part of it? 403 naming that. */
int subnets_of_others(struct networks *all, const struct network *except, const struct subnet *s, struct err *e);

/*
 * A subnet that was asked for: 403 when the host is on a network that overlaps with it; n->warning when it only has a
 * route to one.
 */
int subnets_of_host(struct links *links, struct network *n, const struct subnet *s, struct err *e);

/* A free one of the config's pools, at random among the first few: others choose, too. 503 when there is none. */
int subnets_choose(struct networks *all, const struct config *config, struct links *links, struct subnet *out,
		   struct err *e);

/* The bridge is up with its addresses: has somebody else a part of the network's subnets? 1, 0 or a failure. */
int subnets_contested(struct links *links, const struct network *n, struct err *e);

#endif
