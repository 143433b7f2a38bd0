/* hostconfig: what the fields of HostConfig mean together: defaults, and combinations that cannot be. */
#ifndef POUCH_RUNTIMED_HOSTCONFIG_H
#define POUCH_RUNTIMED_HOSTCONFIG_H

#include "runtimed/container.h"

/* What only the request may not say, while the image may: before the image's config is merged in. 400. */
int hostconfig_check_asked(const struct container *c, struct err *e);
/* Fill in defaults of c->host and of host names in c->config; check both. 400 by name and reason. */
int hostconfig_complete(struct container *c, json_t *warnings, struct err *e);

/* Limits alone, for create and update: `host` is the whole HostConfig. Fills in MemorySwap. */
int resources_check(json_t *host, struct err *e);
int restart_policy_check(const json_t *host, struct err *e);

/*
 * Which ids the container has: RANGE_NONE, a range of its own (taken here), or that of the containers it joins (held
 * here), into c->range.
 */
int hostconfig_range(struct container *c, json_t *warnings, struct err *e);

#endif
