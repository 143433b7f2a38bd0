#include "netd/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "netd/link_private.h"

/* libnl has numbers of its own; the kernel's errno behind the usual ones. */
int nl_fail(struct err *e, int rc, const char *fmt, ...)
{
	static const struct {
		int nl, code;
	} codes[] = {
		{NLE_EXIST, -EEXIST}, {NLE_OBJ_NOTFOUND, -ENOENT},  {NLE_NODEV, -ENODEV},
		{NLE_PERM, -EPERM},   {NLE_NOACCESS, -EACCES},	    {NLE_BUSY, -EBUSY},
		{NLE_INVAL, -EINVAL}, {NLE_OPNOTSUPP, -EOPNOTSUPP}, {NLE_RANGE, -ERANGE},
		{NLE_NOMEM, -ENOMEM},
	};
	char what[256];
	va_list ap;
	int code = -EIO;

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (abs(rc) == codes[i].nl)
			code = codes[i].code;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return err_set(e, code, "%s: %s", what, nl_geterror(rc));
}

int nl_open(struct nl_sock **out, struct err *e)
{
	struct nl_sock *s = nl_socket_alloc();

	if (!s)
		return err_set(e, -ENOMEM, "netlink socket");
	int rc = nl_connect(s, NETLINK_ROUTE);
	if (rc < 0) {
		nl_socket_free(s);
		return nl_fail(e, rc, "netlink socket");
	}
	*out = s;
	return 0;
}

int links_new(const char *owner, struct links **out, struct err *e)
{
	struct links *l = XNEW(struct links);
	int rc;

	snprintf(l->alias, sizeof l->alias, "pouch %s", owner);
	l->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	rc = l->home < 0 ? err_sys(e, -errno, "open the host's network namespace") : nl_open(&l->sock, e);
	if (rc < 0) {
		fd_close(&l->home);
		free(l);
	} else {
		*out = l;
	}
	return rc;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	nl_socket_free(l->sock);
	fd_close(&l->home);
	free(l);
}

int link_index(struct links *l, const char *name)
{
	struct rtnl_link *link = NULL;
	int index = 0;

	if (rtnl_link_get_kernel(l->sock, 0, name, &link) == 0) {
		index = rtnl_link_get_ifindex(link);
		rtnl_link_put(link);
	}
	return index;
}

/* ---- bridges ---- */

/* The kernel routes to it anyway; programs ask the device for it. */
static void set_broadcast(struct rtnl_addr *addr, const struct subnet *s)
{
	const uint32_t hosts = htonl(UINT32_MAX >> s->prefix);
	uint32_t all;

	memcpy(&all, s->address.bytes, sizeof all);
	all |= hosts;
	struct nl_addr *broadcast = nl_addr_build(AF_INET, &all, sizeof all);
	rtnl_addr_set_broadcast(addr, broadcast);
	nl_addr_put(broadcast);
}

int nl_add_address(struct nl_sock *sock, int index, const struct subnet *s, struct err *e)
{
	struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_build(s->address.family, s->address.bytes, address_size(&s->address));
	char text[ADDRESS_TEXT];

	nl_addr_set_prefixlen(local, (int)s->prefix);
	rtnl_addr_set_ifindex(addr, index);
	rtnl_addr_set_local(addr, local);
	if (s->address.family == AF_INET6)
		rtnl_addr_set_flags(addr, IFA_F_NODAD);
	/* RFC 3021: on a link of two there is none. */
	else if (s->prefix < 31)
		set_broadcast(addr, s);
	int rc = rtnl_addr_add(sock, addr, NLM_F_REPLACE);
	nl_addr_put(local);
	rtnl_addr_put(addr);
	return rc < 0 ? nl_fail(e, rc, "add address %s", subnet_text(s, text)) : 0;
}

static struct rtnl_link *existing_bridge(struct links *l, const char *name, struct err *e)
{
	struct rtnl_link *link = NULL;

	if (rtnl_link_get_kernel(l->sock, 0, name, &link) < 0)
		return NULL;
	if (str_eq(rtnl_link_get_type(link), "bridge"))
		return link;
	err_set(e, -EEXIST, "device %s exists and is no bridge", name);
	rtnl_link_put(link);
	return NULL;
}

/* A fixed address: a bridge without one takes on the lowest of its ports', and changes it with them. */
static void set_bridge_mac(struct rtnl_link *link, const char *name)
{
	unsigned char mac[6] = {0x02, 0x42};
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	memcpy(mac + 2, &h, 4);
	struct nl_addr *addr = nl_addr_build(AF_LLC, mac, sizeof mac);
	rtnl_link_set_addr(link, addr);
	nl_addr_put(addr);
}

static int create_bridge(struct links *l, const struct link_bridge *b, struct err *e)
{
	struct rtnl_link *link = rtnl_link_bridge_alloc();

	rtnl_link_set_name(link, b->name);
	set_bridge_mac(link, b->name);
	rtnl_link_set_mtu(link, b->mtu);
	int rc = rtnl_link_add(l->sock, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	return rc < 0 ? nl_fail(e, rc, "create bridge %s", b->name) : 0;
}

/* A change goes by the index alone. */
static int apply(struct links *l, int index, struct rtnl_link *take_change)
{
	struct rtnl_link *link = rtnl_link_alloc();

	rtnl_link_set_ifindex(link, index);
	int rc = rtnl_link_change(l->sock, link, take_change, 0);
	rtnl_link_put(take_change);
	rtnl_link_put(link);
	return rc;
}

int nl_mark(struct links *l, int index)
{
	struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_set_ifalias(change, l->alias);
	rtnl_link_inet6_set_addr_gen_mode(change, IN6_ADDR_GEN_MODE_NONE);
	return apply(l, index, change);
}

int nl_up(struct links *l, int index)
{
	struct rtnl_link *change = rtnl_link_alloc();

	rtnl_link_set_flags(change, IFF_UP);
	return apply(l, index, change);
}

/* Settings of one device that sysctl has under net.ipv4.conf.NAME, without its files. */
static int set_up_bridge(struct links *l, struct rtnl_link *link, const struct link_bridge *b, bool made, struct err *e)
{
	struct rtnl_link *change = rtnl_link_alloc();

	if (made)
		rtnl_link_set_ifalias(change, l->alias);

	rtnl_link_inet_set_conf(change, IPV4_DEVCONF_FORWARDING, 1);
	rtnl_link_inet_set_conf(change, IPV4_DEVCONF_ROUTE_LOCALNET, b->route_localnet);
	if (!b->ipv6)
		rtnl_link_inet6_set_addr_gen_mode(change, IN6_ADDR_GEN_MODE_NONE);
	rtnl_link_set_mtu(change, b->mtu);
	int rc = rtnl_link_change(l->sock, link, change, 0);
	rtnl_link_put(change);
	if (rc < 0)
		return nl_fail(e, rc, "configure bridge %s", b->name);
	rc = nl_up(l, rtnl_link_get_ifindex(link));
	return rc < 0 ? nl_fail(e, rc, "bring bridge %s up", b->name) : 0;
}

/*
 * Replies of containers to ::1 come by the bridge, and the kernel finds a loopback address only by a route of the
 * device that a packet has come from. The host's own packets to ::1 prefer loopback: its metric is 0.
 */
static int route_loopback6(struct links *l, int index, struct err *e)
{
	static const unsigned char one[16] = {[15] = 1};
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_addr *loopback = nl_addr_build(AF_INET6, one, sizeof one);

	nl_addr_set_prefixlen(loopback, 128);
	rtnl_route_set_family(route, AF_INET6);
	rtnl_route_set_type(route, RTN_LOCAL);
	rtnl_route_set_table(route, RT_TABLE_LOCAL);
	rtnl_route_set_scope(route, RT_SCOPE_HOST);
	rtnl_route_set_priority(route, 2048);
	rtnl_route_set_dst(route, loopback);
	rtnl_route_nh_set_ifindex(hop, index);
	rtnl_route_add_nexthop(route, hop);
	int rc = rtnl_route_add(l->sock, route, NLM_F_CREATE);
	rtnl_route_put(route);
	nl_addr_put(loopback);
	return rc < 0 && rc != -NLE_EXIST ? nl_fail(e, rc, "route ::1 for published ports") : 0;
}

int link_bridge(struct links *l, const struct link_bridge *b, struct err *e)
{
	struct err none = {0};
	struct rtnl_link *link = existing_bridge(l, b->name, &none);
	const bool made = !link;
	int rc = 0;

	if (none.code) {
		if (e)
			*e = none;
		return none.code;
	}
	if (!link) {
		rc = create_bridge(l, b, e);
		if (rc < 0)
			return rc;
		link = existing_bridge(l, b->name, e);
		if (!link)
			return err_set(e, -EIO, "bridge %s went away", b->name);
	}
	for (unsigned i = 0; rc == 0 && i < b->naddresses; i++)
		rc = nl_add_address(l->sock, rtnl_link_get_ifindex(link), &b->addresses[i], e);
	if (rc == 0)
		rc = set_up_bridge(l, link, b, made, e);
	if (rc == 0 && b->ipv6 && b->route_localnet)
		rc = route_loopback6(l, rtnl_link_get_ifindex(link), e);
	rtnl_link_put(link);
	return rc;
}

static void remove_address(struct links *l, int index, const struct subnet *s)
{
	struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_build(s->address.family, s->address.bytes, address_size(&s->address));

	nl_addr_set_prefixlen(local, (int)s->prefix);
	rtnl_addr_set_ifindex(addr, index);
	rtnl_addr_set_local(addr, local);
	rtnl_addr_delete(l->sock, addr, 0);
	nl_addr_put(local);
	rtnl_addr_put(addr);
}

int link_bridge_remove(struct links *l, const struct link_bridge *b, struct err *e)
{
	struct rtnl_link *link = NULL;

	if (rtnl_link_get_kernel(l->sock, 0, b->name, &link) < 0)
		return 0;
	const char *alias = rtnl_link_get_ifalias(link);
	const bool ours = alias && str_eq(alias, l->alias);
	for (unsigned i = 0; !ours && i < b->naddresses; i++)
		remove_address(l, rtnl_link_get_ifindex(link), &b->addresses[i]);
	rtnl_link_put(link);
	return ours ? link_delete(l, b->name, e) : 0;
}

int link_delete(struct links *l, const char *name, struct err *e)
{
	struct rtnl_link *link = rtnl_link_alloc();

	rtnl_link_set_name(link, name);
	int rc = rtnl_link_delete(l->sock, link);
	rtnl_link_put(link);
	if (rc == -NLE_NODEV || rc == -NLE_OBJ_NOTFOUND)
		return 0;
	return rc < 0 ? nl_fail(e, rc, "delete device %s", name) : 0;
}

/* ---- devices of containers ---- */

void nl_set_mac(struct rtnl_link *link, const unsigned char mac[6])
{
	struct nl_addr *addr = nl_addr_build(AF_LLC, mac, 6);

	rtnl_link_set_addr(link, addr);
	nl_addr_put(addr);
}

/* The host's end. */
static int set_up_port(struct links *l, const struct link_pair *p, struct err *e)
{
	const int index = link_index(l, p->host);
	int rc = nl_mark(l, index);

	if (rc == 0)
		rc = nl_bridge_port(l->sock, index, p->isolated);
	if (rc == 0)
		rc = nl_up(l, index);
	return rc < 0 ? nl_fail(e, rc, "configure device %s", p->host) : 0;
}

int link_pair(struct links *l, const struct link_pair *p, struct err *e)
{
	const int bridge = link_index(l, p->bridge);

	if (!bridge)
		return err_set(e, -ENODEV, "bridge %s is gone", p->bridge);
	struct rtnl_link *link = rtnl_link_veth_alloc(), *peer = rtnl_link_veth_get_peer(link);
	rtnl_link_set_name(link, p->host);
	rtnl_link_set_master(link, bridge);
	rtnl_link_set_mtu(link, p->mtu);
	rtnl_link_set_name(peer, p->inside);
	rtnl_link_set_mtu(peer, p->mtu);
	rtnl_link_set_ns_fd(peer, p->netns);
	nl_set_mac(peer, p->mac);
	int rc = rtnl_link_add(l->sock, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(peer);
	rtnl_link_put(link);
	if (rc < 0)
		return nl_fail(e, rc, "create device %s", p->host);
	rc = set_up_port(l, p, e);
	if (rc < 0)
		link_delete(l, p->host, NULL);
	return rc;
}
