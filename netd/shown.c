#include "netd/shown.h"

#include <stdio.h>
#include <string.h>

#include "lib/times.h"
#include "lib/util.h"
#include "netd/kernel.h"
#include "netd/names.h"
#include "netd/ports.h"

static json_t *address_json(const struct address *a)
{
	char text[ADDRESS_TEXT];

	return json_string(address_text(a, text));
}

static json_t *mac_json(const struct endpoint *ep)
{
	if (!network_has_devices(ep->network))
		return json_string("");
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", ep->mac[0], ep->mac[1], ep->mac[2], ep->mac[3], ep->mac[4],
			    ep->mac[5]);
}

static json_t *containers_json(const struct network *n)
{
	json_t *containers = json_object();
	const struct endpoint *ep;
	char v4[ADDRESS_TEXT], v6[ADDRESS_TEXT];

	TAILQ_FOREACH(ep, &n->endpoints, of_network) {
		if (ep->attachment->gone)
			continue;
		json_object_set_new(containers, ep->attachment->container,
				    json_pack("{s:s, s:s, s:o, s:s, s:s}", "Name", ep->attachment->name, "EndpointID",
					      ep->id, "MacAddress", mac_json(ep), "IPv4Address",
					      subnet_text(&ep->v4, v4), "IPv6Address", subnet_text(&ep->v6, v6)));
	}
	return containers;
}

json_t *network_json(const struct network *n, bool containers)
{
	char created[TIME_TEXT];
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:O, s:b, s:b, s:b}", "Name", n->name, "Id",
				 n->id, "Created", time_rfc3339(n->created, created), "Scope", "local", "Driver",
				 network_driver_name(n->driver), "EnableIPv4", n->ipv4, "EnableIPv6", n->ipv6, "IPAM",
				 n->ipam, "Internal", n->internal, "Attachable", n->attachable, "Ingress", 0);

	json_object_set_new(json, "ConfigFrom", json_pack("{s:s}", "Network", n->config_from));
	json_object_set_new(json, "ConfigOnly", json_boolean(n->config_only));
	json_object_set_new(json, "Containers", containers ? containers_json(n) : json_object());
	json_object_set(json, "Options", n->options);
	json_object_set(json, "Labels", n->labels);
	return json;
}

json_t *endpoint_json(const struct network *n, const struct endpoint *ep, const json_t *asked, const char *name,
		      const char *container)
{
	static const char *const kept[] = {"IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority"};
	const struct address none = {0};
	const struct address g4 = ep ? endpoint_gateway(ep, AF_INET) : none,
			     g6 = ep ? endpoint_gateway(ep, AF_INET6) : none;
	json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:i, s:o}", "NetworkID", n->id, "EndpointID",
				 ep ? ep->id : "", "Gateway", address_json(&g4), "IPAddress",
				 address_json(ep ? &ep->v4.address : &none), "IPPrefixLen", ep ? (int)ep->v4.prefix : 0,
				 "IPv6Gateway", address_json(&g6), "GlobalIPv6Address",
				 address_json(ep ? &ep->v6.address : &none), "GlobalIPv6PrefixLen",
				 ep ? (int)ep->v6.prefix : 0, "MacAddress", ep ? mac_json(ep) : json_string(""));

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *value = json_object_get(asked, kept[i]);

		json_object_set_new(json, kept[i],
				    value			    ? json_incref(value)
				    : str_eq(kept[i], "GwPriority") ? json_integer(0)
								    : json_null());
	}
	const json_t *hostname = ep ? json_object_get(ep->attachment->spec, "Hostname") : NULL;
	json_object_set_new(json, "DNSNames",
			    n->builtin ? json_null() : names_of(asked, name, container, json_string_value(hostname)));
	return json;
}

json_t *attachment_json(const struct attachment *a)
{
	const struct endpoint *ep, *first = NULL;
	const struct address none = {0};
	json_t *networks = json_object();

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment) {
		json_object_set_new(networks, ep->network->name,
				    endpoint_json(ep->network, ep, ep->settings, a->name, a->container));
		if (str_eq(ep->network->name, "bridge"))
			first = ep;
	}
	const struct address g4 = first ? endpoint_gateway(first, AF_INET) : none;
	json_t *json = json_pack("{s:s, s:s, s:b, s:s, s:i, s:s, s:n, s:n, s:o, s:o}", "Bridge", "", "SandboxID",
				 a->container, "HairpinMode", 0, "LinkLocalIPv6Address", "", "LinkLocalIPv6PrefixLen",
				 0, "SandboxKey", "", "SecondaryIPAddresses", "SecondaryIPv6Addresses", "Ports",
				 ports_json(a), "Networks", networks);
	json_object_set_new(json, "EndpointID", json_string(first ? first->id : ""));
	json_object_set_new(json, "Gateway", address_json(&g4));
	json_object_set_new(json, "IPAddress", address_json(first ? &first->v4.address : &none));
	json_object_set_new(json, "IPPrefixLen", json_integer(first ? (json_int_t)first->v4.prefix : 0));
	json_object_set_new(json, "GlobalIPv6Address", address_json(first ? &first->v6.address : &none));
	json_object_set_new(json, "GlobalIPv6PrefixLen", json_integer(first ? (json_int_t)first->v6.prefix : 0));
	json_object_set_new(json, "IPv6Gateway", json_string(""));
	json_object_set_new(json, "MacAddress", first ? mac_json(first) : json_string(""));
	return json;
}
