/*
 * configuration: networks that are nothing but what other networks are made from (ConfigOnly, ConfigFrom): subnets and
 * options of one host, say the parent device of a macvlan network, under one name on many hosts.
 */
#ifndef POUCH_NETD_CONFIGURATION_H
#define POUCH_NETD_CONFIGURATION_H

#include "netd/network.h"

/* Make a network that is one. 403 for what only networks have that containers are on. */
int configuration_plan(struct network *n, struct err *e);
/*
 * The body of a network that is made from `from`, with all that this has; a new reference. 403 when it says anything
 * itself that the configuration is to say.
 */
int configuration_apply(const json_t *body, const struct network *from, json_t **out, struct err *e);
/* Is another network made from it? NULL or that one. */
const struct network *configuration_user(const struct networks *all, const struct network *n);

#endif
