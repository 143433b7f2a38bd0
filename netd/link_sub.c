/* link_sub: macvlan and ipvlan devices of containers, and the devices of the host that they are on. */
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/ipvlan.h>
#include <netlink/route/link/macvlan.h>
#include <netlink/route/link/vlan.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "netd/link_private.h"

#define VLAN_ID_MAX 4094

/* ---- the parent ---- */

/* "NAME.ID": a VLAN of the device NAME. */
static int parse_vlan(const char *parent, char real[LINK_NAME_MAX + 1], uint16_t *id, struct err *e)
{
	const char *dot = strrchr(parent, '.');
	char *end = NULL;
	const unsigned long number = dot ? strtoul(dot + 1, &end, 10) : 0;

	if (!dot || dot == parent || dot[1] < '0' || dot[1] > '9')
		return err_http(e, 400, "the parent device %s does not exist", parent);
	if (*end || number < 1 || number > VLAN_ID_MAX)
		return err_http(e, 400, "the parent device %s does not exist, and %s is no VLAN id from 1 to %d",
				parent, dot + 1, VLAN_ID_MAX);
	snprintf(real, LINK_NAME_MAX + 1, "%.*s", (int)(dot - parent), parent);
	*id = (uint16_t)number;
	return 0;
}

static int vlan_alloc(struct links *l, const char *parent, struct rtnl_link **out, struct err *e)
{
	char real[LINK_NAME_MAX + 1];
	uint16_t id;
	int rc = parse_vlan(parent, real, &id, e);

	if (rc < 0)
		return rc;
	const int index = link_index(l, real);
	if (!index)
		return err_http(e, 400, "the parent device %s does not exist, nor does %s that it would be a VLAN of",
				parent, real);
	*out = rtnl_link_vlan_alloc();
	rtnl_link_set_link(*out, index);
	rtnl_link_vlan_set_id(*out, id);
	return 0;
}

/* No kernel module, in words that name it. */
static int no_such_kind(const char *kind, const char *what, struct err *e)
{
	return err_http(e, 400, "%sthis host's kernel has no devices of the kind %s (its module is missing)", what,
			kind);
}

static int set_up_parent(struct links *l, const char *name, struct err *e)
{
	const int index = link_index(l, name);
	int rc = nl_mark(l, index);

	if (rc == 0)
		rc = nl_up(l, index);
	return rc < 0 ? nl_fail(e, rc, "bring the parent device %s up", name) : 0;
}

int link_parent(struct links *l, const char *name, bool dummy, struct err *e)
{
	struct rtnl_link *link = NULL;
	int rc = 0;

	if (link_index(l, name))
		return 0;
	if (dummy) {
		link = rtnl_link_alloc();
		rtnl_link_set_type(link, "dummy");
	} else {
		rc = vlan_alloc(l, name, &link, e);
	}
	if (rc < 0)
		return rc;
	rtnl_link_set_name(link, name);
	rc = rtnl_link_add(l->sock, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	if (rc == -NLE_OPNOTSUPP)
		return dummy ? no_such_kind("dummy", "without the option parent a device is made for it: ", e)
			     : no_such_kind("vlan", "the parent device does not exist, and ", e);
	if (rc == -NLE_EXIST) /* somebody was faster */
		return 0;
	if (rc < 0)
		return nl_fail(e, rc, "create the parent device %s", name);
	rc = set_up_parent(l, name, e);
	if (rc < 0)
		link_delete(l, name, NULL);
	return rc;
}

int link_parent_remove(struct links *l, const char *name, struct err *e)
{
	struct rtnl_link *link = NULL;

	if (rtnl_link_get_kernel(l->sock, 0, name, &link) < 0)
		return 0;
	const char *alias = rtnl_link_get_ifalias(link);
	const bool ours = alias && str_eq(alias, l->alias);
	rtnl_link_put(link);
	return ours ? link_delete(l, name, e) : 0;
}

/* ---- a device on it ---- */

static int mode_of(enum link_sub_kind kind, const char *mode)
{
	if (kind == LINK_MACVLAN)
		return rtnl_link_macvlan_str2mode(mode ? mode : "bridge");
	/* libnl does not know its name. */
	return mode && str_eq(mode, "l3s") ? IPVLAN_MODE_L3S : rtnl_link_ipvlan_str2mode(mode ? mode : "l2");
}

bool link_sub_mode(enum link_sub_kind kind, const char *mode)
{
	return mode_of(kind, mode) >= 0;
}

static struct rtnl_link *sub_alloc(const struct link_sub *s)
{
	const int mode = mode_of(s->kind, s->mode);
	struct rtnl_link *link;

	if (s->kind == LINK_MACVLAN) {
		link = rtnl_link_macvlan_alloc();
		rtnl_link_macvlan_set_mode(link, (uint32_t)mode);
		nl_set_mac(link, s->mac);
	} else {
		link = rtnl_link_ipvlan_alloc();
		rtnl_link_ipvlan_set_mode(link, (uint16_t)mode);
	}
	return link;
}

/* It knows the kind before it looks for the parent, which is not given: nothing comes about. */
static bool has_kind(struct links *l, const char *kind)
{
	struct rtnl_link *link = rtnl_link_alloc();

	rtnl_link_set_type(link, kind);
	const int rc = rtnl_link_add(l->sock, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	return rc != -NLE_OPNOTSUPP;
}

static const char *kind_name(enum link_sub_kind kind)
{
	return kind == LINK_MACVLAN ? "macvlan" : "ipvlan";
}

int link_sub_check(struct links *l, const struct link_sub *s, struct err *e)
{
	struct rtnl_link *parent = NULL;

	if (!has_kind(l, kind_name(s->kind)))
		return no_such_kind(kind_name(s->kind), "", e);
	if (rtnl_link_get_kernel(l->sock, 0, s->parent, &parent) < 0)
		return err_http(e, 400, "the parent device %s does not exist", s->parent);
	const bool loopback = rtnl_link_get_flags(parent) & IFF_LOOPBACK;
	rtnl_link_put(parent);
	return loopback ? err_http(e, 400, "the loopback device %s cannot be a parent", s->parent) : 0;
}

int link_sub(struct links *l, const struct link_sub *s, struct err *e)
{
	const int parent = link_index(l, s->parent);

	if (!parent)
		return err_http(e, 400, "the parent device %s does not exist", s->parent);
	struct rtnl_link *link = sub_alloc(s);
	rtnl_link_set_name(link, s->inside);
	rtnl_link_set_link(link, parent);
	if (s->mtu)
		rtnl_link_set_mtu(link, s->mtu);
	rtnl_link_set_ns_fd(link, s->netns);
	int rc = rtnl_link_add(l->sock, link, NLM_F_CREATE | NLM_F_EXCL);
	const char *kind = kind_name(s->kind);
	rtnl_link_put(link);
	if (rc == -NLE_OPNOTSUPP)
		return no_such_kind(kind, "", e);
	return rc < 0 ? nl_fail(e, rc, "create a %s device on %s", kind, s->parent) : 0;
}
