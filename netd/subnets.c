#include "netd/subnets.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/config.h"
#include "lib/util.h"
#include "netd/link.h"

/* How many free subnets are passed over at most. */
#define SPREAD 4

int subnets_for_hosts(const struct subnet *s, struct err *e)
{
	/* RFC 6890; what is reserved but can be used is left to the admin. */
	static const struct {
		const char *subnet, *what;
	} others[] = {
		{"0.0.0.0/8", "no addresses of hosts"},
		{"127.0.0.0/8", "a host's loopback"},
		{"224.0.0.0/4", "multicast"},
		{"255.255.255.255/32", "broadcast"},
		{"::/127", "no addresses of hosts"},
		{"::ffff:0:0/96", "IPv4 addresses"},
		{"ff00::/8", "multicast"},
	};
	char text[ADDRESS_TEXT];
	struct subnet other;

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (subnet_parse(others[i].subnet, &other) && subnet_overlaps(&other, s))
			return err_http(e, 400, "IPAM: the subnet %s overlaps with %s: %s", subnet_text(s, text),
					others[i].subnet, others[i].what);
	if (s->prefix == 8 * address_size(&s->address))
		return err_http(e, 400, "IPAM: the subnet %s has no address for a container", subnet_text(s, text));
	return 0;
}

int subnets_of_others(struct networks *all, const struct network *except, const struct subnet *s, struct err *e)
{
	struct network *n;
	char text[ADDRESS_TEXT];

	TAILQ_FOREACH(n, &all->list, next)
		for (unsigned i = 0; n != except && i < n->npools; i++)
			if (subnet_overlaps(pool_subnet(n->pools[i].pool), s))
				return err_http(e, 403,
						"Pool overlaps with other one on this address space: %s is in use by "
						"network %s",
						subnet_text(pool_subnet(n->pools[i].pool), text), n->name);
	return 0;
}

int subnets_of_host(struct links *links, struct network *n, const struct subnet *s, struct err *e)
{
	struct link_route route;
	char subnet[ADDRESS_TEXT], to[ADDRESS_TEXT];
	int rc = link_subnet_used(links, s, link_index(links, n->bridge), &route, e);

	if (rc <= 0)
		return rc;
	subnet_text(s, subnet);
	subnet_text(&route.to, to);
	if (route.direct)
		return err_http(e, 403,
				"Pool overlaps with other one on this address space: the host is on %s by its device "
				"%s",
				to, route.device);
	free(n->warning);
	n->warning = xasprintf("the subnet %s overlaps with the host's route to %s", subnet, to);
	return 0;
}

static bool is_free(struct networks *all, struct links *links, const struct subnet *s, int *rc, struct err *e)
{
	struct link_route route;

	if (subnets_of_others(all, NULL, s, NULL) < 0)
		return false;
	*rc = link_subnet_used(links, s, 0, &route, e);
	return *rc == 0;
}

int subnets_choose(struct networks *all, const struct config *config, struct links *links, struct subnet *out,
		   struct err *e)
{
	const unsigned bits = config->network_pool_bits;
	unsigned passed = 0, pass = 0;
	bool found = false;
	int rc = 0;

	if (getrandom(&pass, sizeof pass, 0) != sizeof pass)
		abort();
	pass %= SPREAD;
	for (size_t i = 0; i < config->network_pools.n; i++) {
		struct subnet pool, s;

		if (!subnet_parse(config->network_pools.v[i], &pool) || pool.prefix > bits)
			continue;
		for (uint64_t k = 0; k < UINT64_C(1) << (bits - pool.prefix) && passed <= pass; k++) {
			s = (struct subnet){subnet_at(&pool, k << (32 - bits)), bits};
			if (is_free(all, links, &s, &rc, e)) {
				*out = s;
				found = true;
				passed++;
			}
			if (rc < 0)
				return rc;
		}
	}
	return found ? 0
		     : err_http(e, 503,
				"could not find an available, non-overlapping IPv4 address pool among network.pools");
}

int subnets_contested(struct links *links, const struct network *n, struct err *e)
{
	const int own = link_index(links, n->bridge);
	struct link_route route;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < n->npools; i++)
		rc = link_subnet_used(links, pool_subnet(n->pools[i].pool), own, &route, e);
	return rc;
}
