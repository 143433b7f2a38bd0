#include "netd/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define OPTION(name) "com.docker.network." name

static int read_flag(const char *key, const char *value, bool *out, struct err *e)
{
	if (!str_eq(value, "true") && !str_eq(value, "false") && !str_eq(value, "1") && !str_eq(value, "0"))
		return err_http(e, 400, "option %s: want true or false, not %s", key, value);
	*out = value[0] == 't' || value[0] == '1';
	return 0;
}

static int read_mtu(const char *key, const char *value, unsigned *out, struct err *e)
{
	char *end;
	const unsigned long mtu = strtoul(value, &end, 10);

	if (*end || mtu < 68 || mtu > 65535)
		return err_http(e, 400, "option %s: want a number from 68 to 65535, not %s", key, value);
	*out = (unsigned)mtu;
	return 0;
}

bool options_device_name(const char *name)
{
	return *name && strlen(name) <= LINK_NAME_MAX && !strpbrk(name, "/ \t\n\":{}*") && !str_eq(name, ".") &&
	       !str_eq(name, "..");
}

static int read_device(const char *key, const char *value, char out[LINK_NAME_MAX + 1], struct err *e)
{
	if (!options_device_name(value))
		return err_http(e, 400, "option %s: %s is no name of a network device", key, value);
	snprintf(out, LINK_NAME_MAX + 1, "%s", value);
	return 0;
}

static int read_address(const char *key, const char *value, sa_family_t family, struct address *out, struct err *e)
{
	if (!address_parse(value, out) || out->family != family)
		return err_http(e, 400, "option %s: %s is no IPv%c address", key, value, family == AF_INET ? '4' : '6');
	return 0;
}

static int read_gateway_mode(const struct network *n, const char *key, const char *value, enum gateway_mode *out,
			     struct err *e)
{
	static const char *const modes[] = {
		[GATEWAY_NAT] = "nat",
		[GATEWAY_NAT_UNPROTECTED] = "nat-unprotected",
		[GATEWAY_ROUTED] = "routed",
		[GATEWAY_ISOLATED] = "isolated",
	};

	for (enum gateway_mode mode = 0; mode < ARRAY_LEN(modes); mode++) {
		if (!str_eq(value, *value ? modes[mode] : ""))
			continue;
		if (mode == GATEWAY_ISOLATED && !n->internal)
			return err_http(e, 400, "option %s: isolated is for internal networks", key);
		*out = mode;
		return 0;
	}
	return err_http(e, 400, "option %s: want nat, nat-unprotected, routed or isolated, not %s", key, value);
}

static int read_bridge_option(struct network *n, const char *key, const char *value, struct err *e)
{
	bool ignored;

	if (str_eq(key, OPTION("bridge.name")))
		return read_device(key, value, n->bridge, e);
	if (str_eq(key, OPTION("bridge.enable_icc")))
		return read_flag(key, value, &n->icc, e);
	if (str_eq(key, OPTION("bridge.enable_ip_masquerade")))
		return read_flag(key, value, &n->masquerade, e);
	if (str_eq(key, OPTION("bridge.default_bridge")))
		return read_flag(key, value, &ignored, e);
	if (str_eq(key, OPTION("bridge.inhibit_ipv4")))
		return read_flag(key, value, &n->inhibit_ipv4, e);
	if (str_eq(key, OPTION("bridge.gateway_mode_ipv4")))
		return read_gateway_mode(n, key, value, &n->gateway_mode4, e);
	if (str_eq(key, OPTION("bridge.gateway_mode_ipv6")))
		return read_gateway_mode(n, key, value, &n->gateway_mode6, e);
	if (str_eq(key, OPTION("bridge.host_binding_ipv4")))
		return read_address(key, value, AF_INET, &n->binding, e);
	if (str_eq(key, OPTION("host_ipv4")))
		return read_address(key, value, AF_INET, &n->source4, e);
	if (str_eq(key, OPTION("host_ipv6")))
		return read_address(key, value, AF_INET6, &n->source6, e);
	return err_http(e, 400, "option %s is not known to the driver bridge", key);
}

static int read_sub_option(struct network *n, const char *key, const char *value, struct err *e)
{
	if (str_eq(key, "parent"))
		return *value ? read_device(key, value, n->bridge, e) : 0;
	if (str_eq(key, n->driver == DRIVER_MACVLAN ? "macvlan_mode" : "ipvlan_mode")) {
		if (!link_sub_mode(n->driver == DRIVER_MACVLAN ? LINK_MACVLAN : LINK_IPVLAN, value))
			return err_http(e, 400, "option %s: unknown %s mode %s", key, network_driver_name(n->driver),
					value);
		n->mode = value;
		return 0;
	}
	return err_http(e, 400, "option %s is not known to the driver %s", key, network_driver_name(n->driver));
}

static void choose_device(struct network *n)
{
	if (*n->bridge || !network_has_devices(n))
		return;
	n->dummy = n->driver != DRIVER_BRIDGE;
	snprintf(n->bridge, sizeof n->bridge, "%s-%.12s", n->dummy ? "dm" : "br", n->id);
}

int options_read(struct network *n, struct err *e)
{
	const char *key;
	json_t *value;
	int rc = 0;

	if (network_is_sub(n))
		n->mtu = 0; /* the setting is for bridges */
	json_object_foreach(n->options, key, value) {
		const char *text = json_string_value(value) ? json_string_value(value) : "";

		if (str_eq(key, OPTION("driver.mtu")))
			rc = read_mtu(key, text, &n->mtu, e);
		else if (str_eq(key, OPTION("container_iface_prefix"))) {
			if (!options_device_name(text) || strlen(text) >= sizeof n->prefix)
				rc = err_http(e, 400, "option %s: %s is no prefix of at most 7 characters", key, text);
			snprintf(n->prefix, sizeof n->prefix, "%s", text);
		} else
			rc = n->driver == DRIVER_BRIDGE ? read_bridge_option(n, key, text, e)
							: read_sub_option(n, key, text, e);
		if (rc < 0)
			return rc;
	}
	choose_device(n);
	return 0;
}
