/* link_look: what the host has: routes, addresses, devices. */
#include <errno.h>
#include <fcntl.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "netd/link_private.h"

static bool to_subnet(struct nl_addr *a, struct subnet *out)
{
	const int family = a ? nl_addr_get_family(a) : AF_UNSPEC;

	*out = (struct subnet){0};
	if ((family != AF_INET && family != AF_INET6) || nl_addr_get_len(a) > sizeof out->address.bytes)
		return false;
	out->address.family = (sa_family_t)family;
	memcpy(out->address.bytes, nl_addr_get_binary_addr(a), nl_addr_get_len(a));
	out->prefix = nl_addr_get_prefixlen(a);
	return true;
}

static void device_name(struct links *l, int index, char name[LINK_NAME_MAX + 1])
{
	struct rtnl_link *link = NULL;

	if (rtnl_link_get_kernel(l->sock, index, NULL, &link) < 0)
		return;
	snprintf(name, LINK_NAME_MAX + 1, "%s", rtnl_link_get_name(link));
	rtnl_link_put(link);
}

/* The default route is everywhere; broadcast and local entries follow from the others. */
static bool overlaps(struct rtnl_route *route, const struct subnet *s, int except, int *index, struct link_route *out)
{
	struct rtnl_nexthop *hop = rtnl_route_get_nnexthops(route) ? rtnl_route_nexthop_n(route, 0) : NULL;

	*index = hop ? rtnl_route_nh_get_ifindex(hop) : 0;
	*out = (struct link_route){.direct = hop && !rtnl_route_nh_get_gateway(hop)};
	return rtnl_route_get_table(route) == RT_TABLE_MAIN && to_subnet(rtnl_route_get_dst(route), &out->to) &&
	       out->to.prefix > 0 && (!except || *index != except) && subnet_overlaps(&out->to, s);
}

int link_subnet_used(struct links *l, const struct subnet *s, int except, struct link_route *out, struct err *e)
{
	struct nl_cache *routes = NULL;
	int rc = rtnl_route_alloc_cache(l->sock, s->address.family, 0, &routes), found = 0, index = 0;

	if (rc < 0)
		return nl_fail(e, rc, "read the host's routes");
	for (struct nl_object *o = nl_cache_get_first(routes); o && !(found && out->direct); o = nl_cache_get_next(o)) {
		struct link_route there;
		int device;

		if (!overlaps((struct rtnl_route *)o, s, except, &device, &there))
			continue;
		*out = there;
		index = device;
		found = 1;
	}
	nl_cache_put(routes);
	if (found)
		device_name(l, index, out->device);
	return found;
}

int link_each_ours(struct links *l, void (*fn)(void *arg, const char *name), void *arg, struct err *e)
{
	struct nl_cache *cache = NULL;
	int rc = rtnl_link_alloc_cache(l->sock, AF_UNSPEC, &cache);

	if (rc < 0)
		return nl_fail(e, rc, "read the host's devices");
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		const char *alias = rtnl_link_get_ifalias((struct rtnl_link *)o);

		if (alias && str_eq(alias, l->alias))
			fn(arg, rtnl_link_get_name((struct rtnl_link *)o));
	}
	nl_cache_put(cache);
	return 0;
}

bool link_loopback6_works(void)
{
	AUTO_CLOSE int fd = open("/proc/sys/net/bridge/bridge-nf-call-ip6tables", O_RDONLY | O_CLOEXEC);
	char value = '0';

	return fd < 0 || read(fd, &value, 1) != 1 || value == '0';
}
