/* link_space: inside of a container's network namespace. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "netd/link_private.h"

/* A socket belongs to the namespace that it was made in, /proc/sys/net shows the present one: go there, come back. */
int link_inside(struct links *l, int netns, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
	if (setns(netns, CLONE_NEWNET))
		return err_sys(e, -errno, "enter the container's network namespace");
	const int rc = fn(arg, e);
	if (setns(l->home, CLONE_NEWNET)) {
		/* Everything further would happen to the container. */
		log_error("cannot return from a container's network namespace: %m");
		abort();
	}
	return rc;
}

/* What a container finds set; HostConfig.Sysctls come later, and have the last word. */
static const struct {
	const char *file, *value;
} settings[] = {
	/* Devices made from now on believe nobody who says that he is a router. */
	{"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
	/* ping and low ports without capabilities, as Docker has it: this network is the container's own. */
	{"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
	{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
};

static int set(const char *file, const char *value, struct err *e)
{
	AUTO_CLOSE int fd = open(file, O_WRONLY | O_CLOEXEC);
	const size_t len = strlen(value);

	if (fd < 0 && errno == ENOENT) /* a kernel without IPv6 */
		return 0;
	return fd < 0 || write(fd, value, len) != (ssize_t)len ? err_sys(e, -errno, "set %s of the container", file)
							       : 0;
}

static int set_up(struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(settings); i++)
		rc = set(settings[i].file, settings[i].value, e);
	return rc;
}

static int believe_no_router(void *arg, struct err *e)
{
	(void)arg;
	return set(settings[0].file, settings[0].value, e);
}

int link_space_alone(struct links *l, int netns, struct err *e)
{
	return link_inside(l, netns, believe_no_router, NULL, e);
}

struct opening {
	struct nl_sock *sock;
	bool fresh;
};

static int open_inside(void *arg, struct err *e)
{
	struct opening *o = arg;
	const int rc = nl_open(&o->sock, e);

	return rc == 0 && o->fresh ? set_up(e) : rc;
}

int link_space_open(struct links *l, int netns, bool fresh, struct link_space **out, struct err *e)
{
	struct opening o = {.fresh = fresh};
	const int rc = link_inside(l, netns, open_inside, &o, e);

	if (rc < 0) {
		nl_socket_free(o.sock);
		return rc;
	}
	*out = XNEW(struct link_space);
	(*out)->sock = o.sock;
	return 0;
}

void link_space_free(struct link_space *s)
{
	if (!s)
		return;
	nl_socket_free(s->sock);
	free(s);
}

static int index_of(struct nl_sock *sock, const char *device)
{
	struct rtnl_link *link = NULL;
	int index = 0;

	if (rtnl_link_get_kernel(sock, 0, device, &link) == 0) {
		index = rtnl_link_get_ifindex(link);
		rtnl_link_put(link);
	}
	return index;
}

static int change(struct nl_sock *sock, const char *device, struct rtnl_link *take_change, struct err *e)
{
	struct rtnl_link *link = rtnl_link_alloc();

	/* It goes by the index alone. */
	rtnl_link_set_ifindex(link, index_of(sock, device));
	int rc = rtnl_link_change(sock, link, take_change, 0);
	rtnl_link_put(link);
	rtnl_link_put(take_change);
	return rc < 0 ? nl_fail(e, rc, "configure device %s of the container", device) : 0;
}

static int bring_up(struct nl_sock *sock, const char *device, struct err *e)
{
	struct rtnl_link *up = rtnl_link_alloc();

	rtnl_link_set_flags(up, IFF_UP);
	return change(sock, device, up, e);
}

int link_space_loopback(struct link_space *s, struct err *e)
{
	return bring_up(s->sock, "lo", e);
}

int link_space_configure(struct link_space *s, const char *device, const struct subnet *addresses, unsigned n,
			 struct err *e)
{
	const int index = index_of(s->sock, device);
	bool ipv6 = false;
	int rc = 0;

	if (!index)
		return err_set(e, -ENODEV, "device %s of the container is gone", device);
	for (unsigned i = 0; i < n; i++)
		ipv6 = ipv6 || addresses[i].address.family == AF_INET6;
	if (!ipv6) {
		struct rtnl_link *quiet = rtnl_link_alloc();

		rtnl_link_inet6_set_addr_gen_mode(quiet, IN6_ADDR_GEN_MODE_NONE);
		rc = change(s->sock, device, quiet, e);
	}
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = nl_add_address(s->sock, index, &addresses[i], e);
	return rc < 0 ? rc : bring_up(s->sock, device, e);
}

int link_space_route(struct link_space *s, const char *device, const struct address *gateway, struct err *e)
{
	const int index = index_of(s->sock, device);
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct nl_addr *any = nl_addr_build(gateway->family, NULL, 0);
	struct nl_addr *via = nl_addr_build(gateway->family, gateway->bytes, address_size(gateway));
	char text[ADDRESS_TEXT];

	rtnl_route_set_family(route, (uint8_t)gateway->family);
	rtnl_route_set_dst(route, any);
	rtnl_route_nh_set_ifindex(hop, index);
	rtnl_route_nh_set_gateway(hop, via);
	rtnl_route_add_nexthop(route, hop);
	int rc = rtnl_route_add(s->sock, route, NLM_F_REPLACE);
	rtnl_route_put(route);
	nl_addr_put(any);
	nl_addr_put(via);
	return rc < 0 ? nl_fail(e, rc, "default route by %s", address_text(gateway, text)) : 0;
}

int link_space_delete(struct link_space *s, const char *device, struct err *e)
{
	struct rtnl_link *link = rtnl_link_alloc();

	rtnl_link_set_name(link, device);
	int rc = rtnl_link_delete(s->sock, link);
	rtnl_link_put(link);
	if (rc == -NLE_NODEV || rc == -NLE_OBJ_NOTFOUND)
		return 0;
	return rc < 0 ? nl_fail(e, rc, "delete device %s of the container", device) : 0;
}

bool link_space_has(struct link_space *s, const char *device)
{
	return index_of(s->sock, device) != 0;
}

void link_space_free_name(struct link_space *s, const char *prefix, char name[LINK_NAME_MAX + 1])
{
	unsigned n = 0;

	do
		snprintf(name, LINK_NAME_MAX + 1, "%s%u", prefix, n++);
	while (index_of(s->sock, name));
}

int nl_bridge_port(struct nl_sock *sock, int index, bool isolated)
{
	struct ifinfomsg info = {.ifi_family = AF_BRIDGE, .ifi_index = index};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK);

	nlmsg_append(msg, &info, sizeof info, NLMSG_ALIGNTO);
	struct nlattr *port = nla_nest_start(msg, IFLA_PROTINFO | NLA_F_NESTED);
	nla_put_u8(msg, IFLA_BRPORT_MODE, 1);
	nla_put_u8(msg, IFLA_BRPORT_ISOLATED, isolated);
	nla_nest_end(msg, port);
	int rc = nl_send_auto(sock, msg);
	nlmsg_free(msg);
	return rc < 0 ? rc : nl_wait_for_ack(sock);
}
