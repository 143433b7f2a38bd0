#include "netd/configuration.h"

#include "lib/json.h"
#include "lib/util.h"

int configuration_plan(struct network *n, struct err *e)
{
	n->driver = DRIVER_NONE;
	if (*n->config_from)
		return err_http(e, 403, "a configuration network cannot depend on another configuration network");
	if (n->internal || n->attachable)
		return err_http(e, 403,
				"configuration network can only contain network specific fields. Network operator "
				"fields like [ ingress | internal | attachable | scope ] are not supported.");
	return 0;
}

static bool says_something(const json_t *body)
{
	static const char *const filled[] = {"Options", "Labels"};
	const json_t *ipam = json_object_get(body, "IPAM");
	const char *driver = json_string_value(json_object_get(ipam, "Driver"));

	for (size_t i = 0; i < ARRAY_LEN(filled); i++)
		if (json_object_size(json_object_get(body, filled[i])))
			return true;
	return (driver && *driver && !str_eq(driver, "default")) ||
	       json_object_size(json_object_get(ipam, "Options")) || json_array_size(json_object_get(ipam, "Config")) ||
	       json_is_true(json_object_get(body, "EnableIPv6")) || json_is_false(json_object_get(body, "EnableIPv4"));
}

int configuration_apply(const json_t *body, const struct network *from, json_t **out, struct err *e)
{
	if (!from->config_only)
		return err_http(e, 404, "configuration network \"%s\" does not exist: %s is a network", from->name,
				from->name);
	if (json_is_true(json_object_get(body, "ConfigOnly")))
		return err_http(e, 403, "a configuration network cannot depend on another configuration network");
	if (says_something(body))
		return err_http(e, 403,
				"user specified configurations are not supported if the network depends on a "
				"configuration network");
	json_t *whole = json_deep_copy(body);
	json_object_set_new(whole, "IPAM", json_deep_copy(from->ipam));
	json_object_set_new(whole, "Options", json_deep_copy(from->options));
	json_object_set_new(whole, "Labels", json_deep_copy(from->labels));
	json_object_set_new(whole, "EnableIPv4", json_boolean(from->ipv4));
	json_object_set_new(whole, "EnableIPv6", json_boolean(from->ipv6));
	json_object_set_new(whole, "ConfigFrom", json_pack("{s:s}", "Network", from->name));
	*out = whole;
	return 0;
}

const struct network *configuration_user(const struct networks *all, const struct network *n)
{
	const struct network *other;

	TAILQ_FOREACH(other, &all->list, next)
		if (n->config_only && str_eq(other->config_from, n->name))
			return other;
	return NULL;
}
