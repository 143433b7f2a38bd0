/* link_look: what the host has: routes, addresses, devices. */
#include <errno.h>
#include <fcntl.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
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

int link_subnet_used(struct links *l, const struct subnet *s, bool *used, struct err *e)
{
	struct nl_cache *routes = NULL;
	int rc = rtnl_route_alloc_cache(l->sock, s->address.family, 0, &routes);

	*used = false;
	if (rc < 0)
		return nl_fail(e, rc, "read the host's routes");
	for (struct nl_object *o = nl_cache_get_first(routes); o && !*used; o = nl_cache_get_next(o)) {
		struct rtnl_route *route = (struct rtnl_route *)o;
		struct subnet there;

		/* The default route is everywhere; broadcast and local entries follow from the others. */
		*used = rtnl_route_get_table(route) == RT_TABLE_MAIN && to_subnet(rtnl_route_get_dst(route), &there) &&
			there.prefix > 0 && subnet_overlaps(&there, s);
	}
	nl_cache_put(routes);
	return 0;
}

static int each_link(struct links *l, int master, const char *prefix, void (*fn)(void *arg, const char *name),
		     void *arg, struct err *e)
{
	struct nl_cache *cache = NULL;
	int rc = rtnl_link_alloc_cache(l->sock, AF_UNSPEC, &cache);

	if (rc < 0)
		return nl_fail(e, rc, "read the host's devices");
	for (struct nl_object *o = nl_cache_get_first(cache); o; o = nl_cache_get_next(o)) {
		struct rtnl_link *link = (struct rtnl_link *)o;

		if ((!master || rtnl_link_get_master(link) == master) && str_starts(rtnl_link_get_name(link), prefix))
			fn(arg, rtnl_link_get_name(link));
	}
	nl_cache_put(cache);
	return 0;
}

int link_ports(struct links *l, const char *bridge, void (*fn)(void *arg, const char *name), void *arg, struct err *e)
{
	const int master = link_index(l, bridge);

	return master ? each_link(l, master, "", fn, arg, e) : 0;
}

int link_each(struct links *l, const char *prefix, void (*fn)(void *arg, const char *name), void *arg, struct err *e)
{
	return each_link(l, 0, prefix, fn, arg, e);
}

bool link_loopback6_works(void)
{
	AUTO_CLOSE int fd = open("/proc/sys/net/bridge/bridge-nf-call-ip6tables", O_RDONLY | O_CLOEXEC);
	char value = '0';

	return fd < 0 || read(fd, &value, 1) != 1 || value == '0';
}
