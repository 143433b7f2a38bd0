#include "netd/default.h"

#include "lib/config.h"
#include "lib/config_derive.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/subnets.h"

static json_t *body_of(const struct config *c, const char *subnet, const char *gateway)
{
	json_t *pools = json_array();

	json_array_append_new(pools, json_pack("{s:s, s:s}", "Subnet", subnet, "Gateway", gateway));
	if (*c->network_subnet6)
		json_array_append_new(pools, json_pack("{s:s}", "Subnet", c->network_subnet6));
	return json_pack("{s:s, s:s, s:b, s:{s:s, s:o}, s:{s:s, s:s}}", "Name", "bridge", "Driver", "bridge",
			 "EnableIPv6", *c->network_subnet6 != '\0', "IPAM", "Driver", "default", "Config", pools,
			 "Options", "com.docker.network.bridge.default_bridge", "true",
			 "com.docker.network.bridge.name", c->network_bridge);
}

/* Its id stays, all else is `take_body`'s. Nothing of it is taken: attachments are read later, or there are none. */
static int replace(struct networks *all, struct network *old, json_t *take_body, const struct config *config,
		   struct network **out, struct err *e)
{
	struct network *n = NULL;

	json_object_set_new(take_body, "Id", json_string(old->id));
	json_object_set_new(take_body, "CreatedAt", json_integer((json_int_t)old->created));
	TAILQ_REMOVE(&all->list, old, next);
	network_free(old);
	int rc = network_restore(all, take_body, config, &n, e);
	json_decref(take_body);
	if (rc < 0)
		return rc;
	n->builtin = true;
	TAILQ_INSERT_HEAD(&all->list, n, next);
	*out = n;
	return network_update(all, n, e);
}

static bool may_move(const struct config *config, const char *root)
{
	char derived[64];

	return !*config->network_gateway && config_derive("network.bridge.subnet", root, derived, sizeof derived) &&
	       str_eq(derived, config->network_subnet);
}

int network_default(struct networks *all, const struct config *config, const char *root, struct err *e)
{
	struct network *old = network_by_name(all, "bridge"), *n = NULL;
	const bool movable = may_move(config, root);
	char moved[ADDRESS_TEXT];
	int rc;

	if (old) {
		const char *subnet = movable && old->npools ? subnet_text(pool_subnet(old->pools[0].pool), moved)
							    : config->network_subnet;

		rc = replace(all, old, body_of(config, subnet, config->network_gateway), config, &n, e);
	} else {
		json_t *body = body_of(config, config->network_subnet, config->network_gateway);

		rc = network_plan(all, body, config, NULL, &n, e);
		json_decref(body);
		if (rc == 0 && (rc = network_add(all, n, e)) < 0)
			network_free(n);
	}
	if (rc < 0)
		return err_prefix(e, "the default network (network.bridge in the config)");
	n->builtin = true;
	n->chosen = movable;
	return 0;
}

int network_default_move(struct networks *all, const struct config *config, struct links *links, struct network **out,
			 struct err *e)
{
	struct network *old = network_by_name(all, "bridge");
	char from[ADDRESS_TEXT], to[ADDRESS_TEXT];
	struct subnet s;
	int rc = subnets_choose(all, config, links, &s, e);

	if (rc < 0)
		return rc;
	log_info("the default network's subnet %s is in use on this host: it gets %s",
		 subnet_text(pool_subnet(old->pools[0].pool), from), subnet_text(&s, to));
	rc = replace(all, old, body_of(config, to, ""), config, out, e);
	if (rc == 0)
		(*out)->chosen = true;
	return rc;
}
