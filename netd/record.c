#include "netd/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/ports.h"

void record_random_id(char id[65])
{
	unsigned char random[32];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		abort();
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
}

json_t *network_record(const struct network *n)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:O, s:O, s:O, s:I, s:b, s:{s:s}}", "Id", n->id,
			 "Name", n->name, "Owner", n->owner, "Driver", network_driver_name(n->driver), "Internal",
			 n->internal, "Attachable", n->attachable, "EnableIPv4", n->ipv4, "EnableIPv6", n->ipv6, "IPAM",
			 n->ipam, "Options", n->options, "Labels", n->labels, "CreatedAt", (json_int_t)n->created,
			 "ConfigOnly", n->config_only, "ConfigFrom", "Network", n->config_from);
}

/* ---- attachments ---- */

static json_t *endpoint_record(const struct endpoint *ep)
{
	char v4[ADDRESS_TEXT], v6[ADDRESS_TEXT], mac[18];

	snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", ep->mac[0], ep->mac[1], ep->mac[2], ep->mac[3],
		 ep->mac[4], ep->mac[5]);
	return json_pack("{s:s, s:s, s:O, s:s, s:s, s:s, s:s, s:s}", "Id", ep->id, "Network", ep->network->id,
			 "Settings", ep->settings, "IPv4", subnet_text(&ep->v4, v4), "IPv6", subnet_text(&ep->v6, v6),
			 "Mac", mac, "HostDevice", ep->host_device, "Device", ep->device);
}

json_t *attachment_record(const struct attachment *a)
{
	json_t *endpoints = json_array();
	struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		json_array_append_new(endpoints, endpoint_record(ep));
	return json_pack("{s:s, s:s, s:O, s:o, s:o}", "Container", a->container, "Name", a->name, "Spec", a->spec,
			 "Endpoints", endpoints, "Ports", ports_record(a));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void restore_address(struct network *n, const char *text, struct subnet *out)
{
	struct err e = {0};

	if (!subnet_parse(text, out))
		return;
	for (unsigned i = 0; i < n->npools; i++)
		if (subnet_contains(pool_subnet(n->pools[i].pool), &out->address) &&
		    pool_take(n->pools[i].pool, &out->address, &e) < 0)
			log_warn("network %s: %s", n->name, e.text);
}

static void restore_endpoint(struct networks *all, struct attachment *a, const json_t *doc)
{
	struct network *n = NULL;

	if (network_find(all, text_of(doc, "Network"), &n, NULL) < 0)
		return;
	struct endpoint *ep = XNEW(struct endpoint);
	ep->network = n;
	ep->attachment = a;
	ep->settings = json_deep_copy(json_object_get(doc, "Settings"));
	snprintf(ep->id, sizeof ep->id, "%s", text_of(doc, "Id"));
	snprintf(ep->host_device, sizeof ep->host_device, "%s", text_of(doc, "HostDevice"));
	snprintf(ep->device, sizeof ep->device, "%s", text_of(doc, "Device"));
	sscanf(text_of(doc, "Mac"), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &ep->mac[0], &ep->mac[1], &ep->mac[2],
	       &ep->mac[3], &ep->mac[4], &ep->mac[5]);
	restore_address(n, text_of(doc, "IPv4"), &ep->v4);
	restore_address(n, text_of(doc, "IPv6"), &ep->v6);
	TAILQ_INSERT_TAIL(&n->endpoints, ep, of_network);
	TAILQ_INSERT_TAIL(&a->endpoints, ep, of_attachment);
}

int attachment_restore(struct networks *all, const json_t *doc, struct err *e)
{
	const json_t *spec = json_object_get(doc, "Spec");
	json_t *endpoint;
	size_t i;

	if (!json_is_object(spec))
		return err_set(e, -EIO, "a damaged record of container %s", text_of(doc, "Container"));
	struct attachment *a = attachment_new(all, text_of(doc, "Container"), spec);
	free(a->name);
	a->name = xstrdup(text_of(doc, "Name"));
	json_array_foreach(json_object_get(doc, "Endpoints"), i, endpoint)
		restore_endpoint(all, a, endpoint);
	ports_restore(a, json_object_get(doc, "Ports"));
	return 0;
}
