/* plan: from the document of a create to a network: which subnets it has, and the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/config.h"
#include "lib/times.h"
#include "lib/util.h"
#include "netd/configuration.h"
#include "netd/network.h"
#include "netd/options.h"
#include "netd/record.h"
#include "netd/subnets.h"

static const struct {
	const char *name;
	enum network_driver driver;
} drivers[] = {
	{"bridge", DRIVER_BRIDGE}, {"macvlan", DRIVER_MACVLAN}, {"ipvlan", DRIVER_IPVLAN},
	{"host", DRIVER_HOST},	   {"null", DRIVER_NONE},
};

const char *network_driver_name(enum network_driver driver)
{
	return drivers[driver].name;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* ---- pools ---- */

/* Addresses that the network keeps for itself. */
static int take_auxiliary(struct network_pool *p, const json_t *auxiliary, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)auxiliary, name, value) {
		struct address a;

		if (!address_parse(json_string_value(value), &a))
			return err_http(e, 400, "AuxiliaryAddresses: %s: %s is no address", name,
					json_string_value(value));
		int rc = pool_take(p->pool, &a, e);
		if (rc < 0)
			return err_prefix(e, "AuxiliaryAddresses: %s", name);
	}
	return 0;
}

static int add_pool(struct networks *all, struct network *n, json_t *config, struct err *e)
{
	struct network_pool *p = &n->pools[n->npools];
	struct subnet subnet, range = {0};
	char text[ADDRESS_TEXT];
	int rc;

	if (n->npools == NETWORK_POOLS_MAX)
		return err_http(e, 400, "IPAM: more than %d pools", NETWORK_POOLS_MAX);
	if (!subnet_parse(text_of(config, "Subnet"), &subnet))
		return err_http(e, 400, "invalid subnet %s: want ADDRESS/PREFIX", text_of(config, "Subnet"));
	if (*text_of(config, "IPRange") && (!subnet_parse(text_of(config, "IPRange"), &range) ||
					    !subnet_contains(&subnet, &range.address) || range.prefix < subnet.prefix))
		return err_http(e, 400, "IPRange %s is not in the subnet %s", text_of(config, "IPRange"),
				text_of(config, "Subnet"));
	subnet.address = subnet_base(&subnet);
	rc = subnets_of_others(all, n, &subnet, e);
	if (rc < 0)
		return rc;
	p->pool = pool_new(&subnet, &range);
	n->npools++;
	if (*text_of(config, "Gateway")) {
		if (!address_parse(text_of(config, "Gateway"), &p->gateway))
			return err_http(e, 400, "Gateway %s is no address", text_of(config, "Gateway"));
		rc = pool_take(p->pool, &p->gateway, e);
	} else {
		rc = pool_next(p->pool, &p->gateway, e);
		json_object_set_new(config, "Gateway", json_string(address_text(&p->gateway, text)));
	}
	if (rc == 0)
		rc = take_auxiliary(p, json_object_get(config, "AuxiliaryAddresses"), e);
	return rc < 0 ? err_prefix(e, "IPAM") : 0;
}

/* A random unique local prefix, RFC 4193. */
static void choose_subnet6(struct subnet *out)
{
	*out = (struct subnet){.address.family = AF_INET6, .prefix = 64};
	out->address.bytes[0] = 0xfd;
	if (getrandom(out->address.bytes + 1, 5, 0) != 5)
		abort();
}

static bool has_family(const struct network *n, sa_family_t family)
{
	for (unsigned i = 0; i < n->npools; i++)
		if (pool_subnet(n->pools[i].pool)->address.family == family)
			return true;
	return false;
}

static int add_chosen(struct networks *all, struct network *n, json_t *list, const struct subnet *s, struct err *e)
{
	char text[ADDRESS_TEXT];
	json_t *config = json_pack("{s:s}", "Subnet", subnet_text(s, text));

	/* IPv4 first, also where IPv6 is what was asked for: clients take the first. */
	json_array_insert_new(list, s->address.family == AF_INET ? 0 : json_array_size(list), config);
	return add_pool(all, n, config, e);
}

static int make_pools(struct networks *all, struct network *n, const struct config *config, struct links *links,
		      struct err *e)
{
	json_t *list = json_object_get(n->ipam, "Config"), *item;
	struct subnet s;
	size_t i;
	int rc = 0;

	if (!network_has_devices(n))
		return json_array_size(list) ? err_http(e, 400, "IPAM: this driver has no addresses") : 0;
	json_array_foreach(list, i, item) {
		/* {"Gateway": …} alone, as clients send for "choose": there is no subnet that it could be in. */
		rc = add_pool(all, n, item, e);
		if (rc == 0 && links)
			rc = subnets_for_hosts(pool_subnet(n->pools[n->npools - 1].pool), e);
		if (rc == 0 && links && n->driver == DRIVER_BRIDGE)
			rc = subnets_of_host(links, n, pool_subnet(n->pools[n->npools - 1].pool), e);
		if (rc < 0)
			return rc;
	}
	if (n->ipv4 && !has_family(n, AF_INET)) {
		rc = subnets_choose(all, config, links, &s, e);
		n->chosen = true;
		if (rc == 0)
			rc = add_chosen(all, n, list, &s, e);
	}
	if (rc == 0 && n->ipv6 && !has_family(n, AF_INET6)) {
		choose_subnet6(&s);
		rc = add_chosen(all, n, list, &s, e);
	}
	if (rc == 0 && !n->ipv6 && has_family(n, AF_INET6))
		return err_http(e, 400, "IPAM: an IPv6 subnet needs EnableIPv6");
	if (rc == 0 && !n->ipv4 && has_family(n, AF_INET))
		return err_http(e, 400, "IPAM: an IPv4 subnet needs EnableIPv4");
	return rc;
}

/* ---- the whole ---- */

static json_t *copy_or(const json_t *json, json_t *take_default)
{
	if (!json || json_is_null(json))
		return take_default;
	json_decref(take_default);
	return json_deep_copy(json);
}

static int choose_driver(struct network *n, const char *name, struct err *e)
{
	if (!*name || str_eq(name, "default"))
		name = "bridge";
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (!str_eq(drivers[i].name, name))
			continue;
		if (drivers[i].driver == DRIVER_HOST || drivers[i].driver == DRIVER_NONE)
			return err_http(e, 403, "only one instance of \"%s\" network is allowed", name);
		n->driver = drivers[i].driver;
		return 0;
	}
	return err_http(e, 404, "could not find plugin %s in v1 plugin registry: plugin not found", name);
}

struct network *network_from_body(const json_t *body, const struct config *config)
{
	struct network *n = XNEW(struct network);

	TAILQ_INIT(&n->endpoints);
	record_random_id(n->id);
	n->created = time_now();
	n->name = xstrdup(text_of(body, "Name"));
	n->owner = xstrdup("");
	n->config_only = json_is_true(json_object_get(body, "ConfigOnly"));
	n->config_from = xstrdup(text_of(json_object_get(body, "ConfigFrom"), "Network"));
	n->ipv4 = !json_is_false(json_object_get(body, "EnableIPv4"));
	n->ipv6 = json_is_true(json_object_get(body, "EnableIPv6"));
	n->internal = json_is_true(json_object_get(body, "Internal"));
	n->attachable = json_is_true(json_object_get(body, "Attachable"));
	n->options = copy_or(json_object_get(body, "Options"), json_object());
	n->labels = copy_or(json_object_get(body, "Labels"), json_object());
	n->ipam = copy_or(json_object_get(body, "IPAM"), json_object());
	if (!json_is_array(json_object_get(n->ipam, "Config")))
		json_object_set_new(n->ipam, "Config", json_array());
	if (!*text_of(n->ipam, "Driver"))
		json_object_set_new(n->ipam, "Driver", json_string("default"));
	n->mtu = config->network_mtu;
	n->icc = n->masquerade = true;
	snprintf(n->prefix, sizeof n->prefix, "eth");
	return n;
}

static int check_name(struct networks *all, const char *name, struct err *e)
{
	const struct network *other = network_by_name(all, name);

	/* As a container's network mode it means the default bridge. */
	if (str_eq(name, "default") || (other && other->builtin))
		return err_http(e, 403, "operation is not permitted on predefined %s network", name);
	return other ? err_http(e, 409, "network with name %s already exists", name) : 0;
}

/* A bridge that the host has made can be given to one network. */
static int check_bridge(struct networks *all, const char *bridge, struct err *e)
{
	const struct network *n;

	TAILQ_FOREACH(n, &all->list, next)
		if (*bridge && n->driver == DRIVER_BRIDGE && str_eq(n->bridge, bridge))
			return err_http(e, 403, "networks have same bridge name: %s is the bridge of network %s",
					bridge, n->name);
	return 0;
}

int network_plan(struct networks *all, const json_t *body, const struct config *config, struct links *links,
		 struct network **out, struct err *e)
{
	struct network *n = network_from_body(body, config);
	/* What it is made of can be judged when something is made from it. */
	int rc = n->config_only ? configuration_plan(n, e) : choose_driver(n, text_of(body, "Driver"), e);

	if (rc == 0 && *text_of(body, "Scope") && !str_eq(text_of(body, "Scope"), "local"))
		rc = err_http(e, 400, "Scope %s: only local networks exist outside of a swarm", text_of(body, "Scope"));
	if (rc == 0 && !n->ipv4 && !n->ipv6)
		rc = err_http(e, 400, "EnableIPv4, EnableIPv6: IPv4 and/or IPv6 must be enabled");
	if (rc == 0 && !str_eq(text_of(n->ipam, "Driver"), "default"))
		rc = err_http(e, 400, "IPAM: Driver %s does not exist", text_of(n->ipam, "Driver"));
	if (rc == 0 && json_object_size(json_object_get(n->ipam, "Options")))
		rc = err_http(e, 400, "IPAM: Options: the default driver has none");
	if (rc == 0)
		rc = check_name(all, n->name, e);
	if (rc == 0 && !n->config_only)
		rc = options_read(n, e);
	if (rc == 0 && !n->config_only)
		rc = make_pools(all, n, config, links, e);
	if (rc == 0 && n->driver == DRIVER_BRIDGE)
		rc = check_bridge(all, n->bridge, e);
	if (rc < 0)
		network_free(n);
	else
		*out = n;
	return rc;
}

/* A recorded network: everything in it was planned, and is planned again. */
int network_restore(struct networks *all, const json_t *doc, const struct config *config, struct network **out,
		    struct err *e)
{
	struct network *n = network_from_body(doc, config);
	const char *driver = text_of(doc, "Driver");
	int rc = 0;

	snprintf(n->id, sizeof n->id, "%s", text_of(doc, "Id"));
	n->created = json_integer_value(json_object_get(doc, "CreatedAt"));
	free(n->owner);
	n->owner = xstrdup(text_of(doc, "Owner"));
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (str_eq(drivers[i].name, driver))
			n->driver = drivers[i].driver;
	if (!n->config_only)
		rc = options_read(n, e);
	if (rc == 0 && !n->config_only)
		rc = make_pools(all, n, config, NULL, e);
	if (rc < 0)
		network_free(n);
	else
		*out = n;
	return rc;
}
