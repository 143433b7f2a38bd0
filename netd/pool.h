/*
 * pool: the addresses of one subnet: which are taken, and which comes next. An address that has been given back is
 * not given out again before all others have been, so that peers' caches do not find somebody else there.
 */
#ifndef POUCH_NETD_POOL_H
#define POUCH_NETD_POOL_H

#include "lib/err.h"
#include "netd/address.h"

struct pool;

/* `range`: where pool_next() looks; its family 0: the whole subnet. */
struct pool *pool_new(const struct subnet *subnet, const struct subnet *range);
void pool_free(struct pool *p);
const struct subnet *pool_subnet(const struct pool *p);

/* The next free one. -ENOSPC (503) when there is none. Never the network's own or broadcast address. */
int pool_next(struct pool *p, struct address *out, struct err *e);
/* This one. -EADDRINUSE (409) when it is taken, -EINVAL when it is not in the subnet or no host's address. */
int pool_take(struct pool *p, const struct address *a, struct err *e);
void pool_give_back(struct pool *p, const struct address *a);

#endif
