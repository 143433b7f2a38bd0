#include "netd/kernel.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/conntrack.h"
#include "netd/default.h"
#include "netd/endpoint_options.h"
#include "netd/subnets.h"

/* ---- networks ---- */

/* The host's own address in a pool of the network; family 0 when it has none there. */
static struct address own_address(const struct network *n, const struct network_pool *p)
{
	static const struct address none;
	const sa_family_t family = p->gateway.family;

	if (network_gateway_mode(n, family) == GATEWAY_ISOLATED || (family == AF_INET && n->inhibit_ipv4))
		return none;
	return p->gateway;
}

static struct link_bridge bridge_of(const struct network *n)
{
	struct link_bridge b = {.name = n->bridge,
				.mtu = n->mtu,
				.ipv6 = n->ipv6 && n->gateway_mode6 != GATEWAY_ISOLATED,
				.route_localnet = !n->internal};

	for (unsigned i = 0; i < n->npools; i++) {
		const struct address own = own_address(n, &n->pools[i]);

		if (own.family)
			b.addresses[b.naddresses++] = (struct subnet){own, pool_subnet(n->pools[i].pool)->prefix};
	}
	return b;
}

int kernel_network_up(struct netd *d, const struct network *n, struct err *e)
{
	const struct link_bridge b = bridge_of(n);

	if (network_is_sub(n))
		return link_parent(d->links, n->bridge, n->dummy, e);
	return n->driver == DRIVER_BRIDGE ? link_bridge(d->links, &b, e) : 0;
}

static struct link_sub sub_of(const struct network *n)
{
	return (struct link_sub){.kind = n->driver == DRIVER_MACVLAN ? LINK_MACVLAN : LINK_IPVLAN,
				 .parent = n->bridge,
				 .mode = n->mode,
				 .mtu = n->mtu};
}

int kernel_network_claim(struct netd *d, const struct network *n, struct err *e)
{
	const struct link_sub sub = sub_of(n);
	int rc = kernel_network_up(d, n, e);

	if (rc == 0 && network_is_sub(n))
		rc = link_sub_check(d->links, &sub, e);
	if (rc < 0 || !n->chosen || n->driver != DRIVER_BRIDGE)
		return rc;
	rc = subnets_contested(d->links, n, e);
	const struct link_bridge b = bridge_of(n);
	if (rc == 1)
		link_bridge_remove(d->links, &b, NULL);
	return rc;
}

static struct firewall_bridge bridge_element(const struct network *n, struct firewall_subnet subnets[NETWORK_POOLS_MAX])
{
	const struct firewall_bridge b = {n->bridge, n->id, n->internal, subnets, n->npools};

	for (unsigned i = 0; i < n->npools; i++) {
		const struct subnet *s = pool_subnet(n->pools[i].pool);
		const enum gateway_mode mode = network_gateway_mode(n, s->address.family);

		subnets[i] = (struct firewall_subnet){
			.subnet = *s,
			.own = own_address(n, &n->pools[i]),
			.masquerade = n->masquerade && !n->internal && mode != GATEWAY_ROUTED,
			.source = s->address.family == AF_INET ? n->source4 : n->source6,
			.routed = mode == GATEWAY_ROUTED,
			.unprotected = mode == GATEWAY_NAT_UNPROTECTED,
		};
	}
	return b;
}

/*
 * Somebody may have flushed the ruleset a moment ago, and the watch has not seen it yet: then all of the records is put
 * back, and the same commands run on that.
 */
static int commit(struct netd *d, struct err *e)
{
	AUTO_FREE char *commands = firewall_take(d->firewall);
	int rc = firewall_run(d->firewall, commands, e);

	if (rc < 0 && !firewall_present(d->firewall) && kernel_firewall(d, NULL) == 0)
		rc = firewall_run(d->firewall, commands, e);
	return rc;
}

int kernel_network_open(struct netd *d, const struct network *n, struct err *e)
{
	struct firewall_subnet subnets[NETWORK_POOLS_MAX];
	struct err why = {0};

	if (n->driver != DRIVER_BRIDGE)
		return 0;
	const struct firewall_bridge b = bridge_element(n, subnets);
	firewall_begin(d->firewall);
	firewall_add_bridge(d->firewall, &b);
	if (firewall_commit(d->firewall, &why) == 0)
		return 0;
	log_warn("network %s does not go into the engine's nftables table as it is, which is made anew: %s", n->name,
		 why.text);
	return kernel_firewall(d, e);
}

/* Other networks may be on it, too. */
static int remove_parent(struct netd *d, const struct network *n, struct err *e)
{
	const struct network *other;

	TAILQ_FOREACH(other, &d->networks->list, next)
		if (other != n && network_is_sub(other) && str_eq(other->bridge, n->bridge))
			return 0;
	return link_parent_remove(d->links, n->bridge, e);
}

int kernel_network_down(struct netd *d, const struct network *n, struct err *e)
{
	struct firewall_subnet subnets[NETWORK_POOLS_MAX];

	if (network_is_sub(n))
		return remove_parent(d, n, e);
	if (n->driver != DRIVER_BRIDGE)
		return 0;
	const struct link_bridge bridge = bridge_of(n);
	int rc = link_bridge_remove(d->links, &bridge, e);
	if (rc < 0)
		return rc;
	const struct firewall_bridge b = bridge_element(n, subnets);
	firewall_begin(d->firewall);
	firewall_drop_bridge(d->firewall, &b);
	return commit(d, e);
}

/* ---- endpoints ---- */

static int make_pair(struct netd *d, struct endpoint *ep, int netns, struct err *e)
{
	const struct network *n = ep->network;
	struct link_pair p = {.host = ep->host_device,
			      .bridge = n->bridge,
			      .inside = ep->device,
			      .netns = netns,
			      .mtu = n->mtu,
			      .isolated = !n->icc};

	memcpy(p.mac, ep->mac, sizeof p.mac);
	int rc = link_pair(d->links, &p, e);
	if (rc != -ENODEV)
		return rc;
	/* Somebody has deleted the bridge. */
	rc = kernel_network_up(d, n, e);
	return rc < 0 ? rc : link_pair(d->links, &p, e);
}

static int make_sub(struct netd *d, struct endpoint *ep, int netns, struct err *e)
{
	const struct network *n = ep->network;
	struct link_sub s = sub_of(n);

	s.inside = ep->device;
	s.netns = netns;
	if (n->driver == DRIVER_MACVLAN)
		memcpy(s.mac, ep->mac, sizeof s.mac);
	/* Somebody may have deleted a parent that was made for it. */
	int rc = kernel_network_up(d, n, e);
	if (rc == 0)
		rc = link_sub(d->links, &s, e);
	return rc < 0 ? rc : link_space_open(d->links, netns, false, &ep->space, e);
}

int kernel_endpoint_up(struct netd *d, struct endpoint *ep, struct link_space *space, int netns, struct err *e)
{
	struct subnet addresses[2 + LINK_LOCAL_MAX];
	unsigned n = endpoint_options_link_local(ep->settings, addresses);

	int rc = endpoint_options_name(ep, space, ep->device, e);
	if (rc == 0)
		rc = ep->network->driver == DRIVER_BRIDGE ? make_pair(d, ep, netns, e) : make_sub(d, ep, netns, e);
	if (rc == 0)
		rc = endpoint_options_sysctls(d->links, ep, netns, e);
	if (rc < 0)
		return rc;
	if (ep->v4.address.family)
		addresses[n++] = ep->v4;
	if (ep->v6.address.family)
		addresses[n++] = ep->v6;
	return link_space_configure(space, ep->device, addresses, n, e);
}

static json_int_t priority(const struct endpoint *ep)
{
	return json_integer_value(json_object_get(ep->settings, "GwPriority"));
}

static struct endpoint *best(const struct attachment *a, sa_family_t family)
{
	struct endpoint *ep, *found = NULL;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment) {
		const struct address gateway = endpoint_gateway(ep, family);

		if (gateway.family && network_leads_outside(ep->network) && (!found || priority(ep) > priority(found)))
			found = ep;
	}
	return found;
}

struct endpoint *kernel_gateway_endpoint(const struct attachment *a)
{
	struct endpoint *ep = best(a, AF_INET);

	return ep ? ep : best(a, AF_INET6);
}

int kernel_routes(struct attachment *a, struct link_space *space, struct err *e)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(families); i++) {
		struct endpoint *ep = best(a, families[i]);

		if (!ep)
			continue;
		const struct address gateway = endpoint_gateway(ep, families[i]);
		rc = link_space_route(space, ep->device, &gateway, e);
	}
	return rc;
}

/* ---- ports ---- */

static void add_ports(struct netd *d, const struct attachment *a)
{
	for (size_t i = 0; i < a->nports; i++) {
		const struct firewall_port p = port_element_of(&a->ports[i]);
		firewall_add_port(d->firewall, &p);
	}
}

static void drop_ports(struct netd *d, const struct attachment *a)
{
	for (size_t i = 0; i < a->nports; i++) {
		const struct firewall_port p = port_element_of(&a->ports[i]);
		firewall_drop_port(d->firewall, &p);
	}
}

/* What has begun before the rules changed goes by them, too. A flow that cannot be forgotten ends by itself in time. */
static void forget_flows(const struct port *ports, size_t n,
			 int (*forget)(const struct firewall_port *p, struct err *e))
{
	struct err e = {0};

	for (size_t i = 0; i < n; i++) {
		const struct firewall_port p = port_element_of(&ports[i]);

		if (forget(&p, &e) < 0)
			log_warn("%s", e.text);
	}
}

/* The host may have turned the filter of bridges on or off since: then the rules about ::1 are others. */
static int add_attachment(struct netd *d, const struct attachment *a, struct err *e)
{
	if (firewall_loopback6(d->firewall) != link_loopback6_works())
		return kernel_firewall(d, e);
	firewall_begin(d->firewall);
	add_ports(d, a);
	return commit(d, e);
}

int kernel_ports_up(struct netd *d, const struct attachment *a, struct err *e)
{
	const int rc = add_attachment(d, a, e);

	if (rc == 0)
		forget_flows(a->ports, a->nports, conntrack_opened);
	return rc;
}

int kernel_ports_down(struct netd *d, const struct attachment *a, struct err *e)
{
	firewall_begin(d->firewall);
	drop_ports(d, a);
	int rc = commit(d, e);
	forget_flows(a->ports, a->nports, conntrack_closed);
	return rc;
}

/* Only by a bridge; elsewhere there is nobody to publish anything. */
static struct ports_target target_of(const struct endpoint *ep)
{
	if (!ep || ep->network->driver != DRIVER_BRIDGE)
		return (struct ports_target){0};
	return (struct ports_target){
		.v4 = ep->v4.address,
		.v6 = ep->v6.address,
		.direct4 = ep->v4.address.family && ep->network->gateway_mode4 == GATEWAY_ROUTED,
		.direct6 = ep->v6.address.family && ep->network->gateway_mode6 == GATEWAY_ROUTED,
		.binding = ep->network->binding,
	};
}

int kernel_ports_open(struct netd *d, struct attachment *a, struct port_conflict *conflict, struct err *e)
{
	const struct ports_target to = target_of(kernel_gateway_endpoint(a));

	if (!to.v4.family && !to.v6.family)
		return 0;
	return ports_open(d->networks, a, &to, d->daemon.config, conflict, e);
}

/* They lead elsewhere, or are others, as the new gateway has it. */
static int retarget(struct netd *d, struct attachment *a, struct err *e)
{
	const struct ports_target to = target_of(kernel_gateway_endpoint(a));
	struct port_conflict conflict;

	if (ports_can_lead_to(a, &to)) {
		ports_lead_to(a, &to);
		return 0;
	}
	ports_close(a);
	return kernel_ports_open(d, a, &conflict, e);
}

int kernel_ports_move(struct netd *d, struct attachment *a, struct err *e)
{
	struct port_conflict conflict;
	struct err failure = {0};
	int rc = 0;

	if (a->nports == 0) {
		rc = kernel_ports_open(d, a, &conflict, e);
		return rc == 0 && a->nports ? kernel_ports_up(d, a, e) : rc;
	}
	const size_t n = a->nports;
	AUTO_FREE struct port *old = memcpy(xrealloc(NULL, n, sizeof *old), a->ports, n * sizeof *old);
	firewall_begin(d->firewall);
	drop_ports(d, a);
	retarget(d, a, &failure);
	add_ports(d, a);
	rc = commit(d, e);
	forget_flows(old, n, conntrack_closed);
	forget_flows(a->ports, a->nports, conntrack_opened);
	if (rc == 0 && failure.code) {
		*e = failure;
		rc = failure.code;
	}
	return rc;
}

/* ---- everything ---- */

int kernel_firewall(struct netd *d, struct err *e)
{
	struct network *n;
	struct attachment *a;

	firewall_begin(d->firewall);
	firewall_reset(d->firewall, link_loopback6_works());
	TAILQ_FOREACH(n, &d->networks->list, next) {
		struct firewall_subnet subnets[NETWORK_POOLS_MAX];
		const struct firewall_bridge b = bridge_element(n, subnets);

		if (n->driver == DRIVER_BRIDGE)
			firewall_add_bridge(d->firewall, &b);
	}
	TAILQ_FOREACH(a, &d->networks->attachments, next)
		if (!a->gone)
			add_ports(d, a);
	int rc = firewall_commit(d->firewall, e);
	malloc_trim(0); /* what parsing a whole table has taken: a fifth of netd's memory */
	return rc;
}

static bool is_known_device(const struct networks *all, const char *device)
{
	const struct network *n;
	const struct endpoint *ep;

	TAILQ_FOREACH(n, &all->list, next) {
		if (str_eq(n->bridge, device))
			return true;
		TAILQ_FOREACH(ep, &n->endpoints, of_network)
			if (str_eq(ep->host_device, device))
				return true;
	}
	return false;
}

static void remove_leftover(void *arg, const char *device)
{
	struct netd *d = arg;
	struct err e = {0};

	if (is_known_device(d->networks, device))
		return;
	log_warn("device %s belongs to no network and no container: removed", device);
	if (link_delete(d->links, device, &e) < 0)
		log_error("%s", e.text);
}

/*
 * The default network where it was, or, when somebody has taken its subnet meanwhile and nothing of ours is there,
 * elsewhere.
 */
static int default_up(struct netd *d, struct network *n, struct err *e)
{
	int rc = 1;

	for (unsigned tries = 0; rc == 1 && tries < CLAIM_TRIES; tries++) {
		rc = n->chosen && TAILQ_EMPTY(&n->endpoints) ? subnets_contested(d->links, n, e) : 0;
		if (rc == 0)
			rc = kernel_network_claim(d, n, e);
		if (rc == 1) {
			const int moved = network_default_move(d->networks, d->daemon.config, d->links, &n, e);

			rc = moved < 0 ? moved : 1;
		}
	}
	return rc == 1 ? err_set(e, -EADDRINUSE, "no subnet is free") : rc;
}

int kernel_restore(struct netd *d, struct err *e)
{
	struct network *n;
	struct err problem = {0};

	if (default_up(d, network_by_name(d->networks, "bridge"), &problem) < 0)
		log_error("network bridge: %s", problem.text);
	TAILQ_FOREACH(n, &d->networks->list, next)
		/* One network that cannot be made, say for its name, does not take the others with it. */
		if (kernel_network_up(d, n, &problem) < 0)
			log_error("network %s: %s", n->name, problem.text);
	if (link_each_ours(d->links, remove_leftover, d, &problem) < 0)
		log_error("%s", problem.text);
	return kernel_firewall(d, e);
}

/* Or is one still going? */
static bool has_devices(const struct networks *all)
{
	const struct network *n;

	TAILQ_FOREACH(n, &all->list, next)
		if (network_has_devices(n) && !TAILQ_EMPTY(&n->endpoints))
			return true;
	return false;
}

void kernel_leave(struct netd *d)
{
	const struct network *n;
	struct err e = {0};

	if (has_devices(d->networks))
		return;
	TAILQ_FOREACH(n, &d->networks->list, next) {
		const struct link_bridge bridge = bridge_of(n);

		int rc = n->driver == DRIVER_BRIDGE ? link_bridge_remove(d->links, &bridge, &e)
			 : network_is_sub(n)	    ? link_parent_remove(d->links, n->bridge, &e)
						    : 0;
		if (rc < 0)
			log_error("network %s: %s", n->name, e.text);
	}
	if (firewall_remove(d->firewall, &e) < 0)
		log_error("%s", e.text);
}
