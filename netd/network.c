#include "netd/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/default.h"
#include "netd/ports.h"
#include "netd/record.h"

void network_free(struct network *n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < n->npools; i++)
		pool_free(n->pools[i].pool);
	json_decref(n->ipam);
	json_decref(n->options);
	json_decref(n->labels);
	free(n->owner);
	free(n->config_from);
	free(n->name);
	free(n->warning);
	free(n);
}

struct network *network_by_name(struct networks *all, const char *name)
{
	struct network *n;

	TAILQ_FOREACH(n, &all->list, next)
		if (str_eq(n->name, name))
			return n;
	return NULL;
}

int network_find(struct networks *all, const char *ref, struct network **out, struct err *e)
{
	struct network *n, *found = network_by_name(all, ref);
	const size_t len = strlen(ref);

	if (!found && str_eq(ref, "default"))
		found = network_by_name(all, "bridge");
	TAILQ_FOREACH(n, &all->list, next) {
		if (found || len < 1 || strncmp(n->id, ref, len) != 0)
			continue;
		struct network *other = TAILQ_NEXT(n, next);
		while (other && strncmp(other->id, ref, len) != 0)
			other = TAILQ_NEXT(other, next);
		if (other)
			return err_http(e, 400, "network %s is ambiguous", ref);
		found = n;
	}
	if (!found)
		return err_http(e, 404, "network %s not found", ref);
	*out = found;
	return 0;
}

int network_add(struct networks *all, struct network *n, struct err *e)
{
	json_t *doc = network_record(n);
	int rc = store_exec(all->store, e, "INSERT INTO network(id, doc) VALUES(?,?)", "tj", n->id, doc);

	json_decref(doc);
	if (rc == 0)
		TAILQ_INSERT_TAIL(&all->list, n, next);
	return rc;
}

int network_update(struct networks *all, const struct network *n, struct err *e)
{
	json_t *doc = network_record(n);
	int rc = store_exec(all->store, e, "UPDATE network SET doc=? WHERE id=?", "jt", doc, n->id);

	json_decref(doc);
	return rc;
}

int network_drop(struct networks *all, struct network *n, struct err *e)
{
	int rc = store_exec(all->store, e, "DELETE FROM network WHERE id=?", "t", n->id);

	if (rc < 0)
		return rc;
	TAILQ_REMOVE(&all->list, n, next);
	network_free(n);
	return 0;
}

/* ---- endpoints ---- */

enum gateway_mode network_gateway_mode(const struct network *n, sa_family_t family)
{
	return family == AF_INET ? n->gateway_mode4 : n->gateway_mode6;
}

struct address endpoint_gateway(const struct endpoint *ep, sa_family_t family)
{
	const struct subnet *own = family == AF_INET ? &ep->v4 : &ep->v6;

	if (network_gateway_mode(ep->network, family) == GATEWAY_ISOLATED)
		return (struct address){0};
	for (unsigned i = 0; own->address.family && i < ep->network->npools; i++)
		if (subnet_contains(pool_subnet(ep->network->pools[i].pool), &own->address))
			return ep->network->pools[i].gateway;
	return (struct address){0};
}

static struct pool *pool_of(const struct network *n, const struct address *a)
{
	for (unsigned i = 0; i < n->npools; i++)
		if (subnet_contains(pool_subnet(n->pools[i].pool), a))
			return n->pools[i].pool;
	return NULL;
}

static int take_asked(struct network *n, const char *field, const char *text, sa_family_t family, struct subnet *out,
		      struct err *e)
{
	struct address a;

	if (!address_parse(text, &a) || a.family != family)
		return err_http(e, 400, "IPAMConfig.%s: %s is no such address", field, text);
	struct pool *p = pool_of(n, &a);
	if (!p)
		return err_http(e, 400, "IPAMConfig.%s: no configured subnet of network %s contains %s", field, n->name,
				text);
	int rc = pool_take(p, &a, e);
	if (rc == 0)
		*out = (struct subnet){a, pool_subnet(p)->prefix};
	return rc;
}

static int take_any(struct network *n, sa_family_t family, struct subnet *out, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < n->npools; i++) {
		struct pool *p = n->pools[i].pool;

		if (pool_subnet(p)->address.family != family)
			continue;
		rc = pool_next(p, &out->address, e);
		if (rc == 0) {
			out->prefix = pool_subnet(p)->prefix;
			return 0;
		}
	}
	return rc;
}

static int take_address(struct endpoint *ep, const char *field, sa_family_t family, struct subnet *out, struct err *e)
{
	const char *text = json_string_value(json_object_get(json_object_get(ep->settings, "IPAMConfig"), field));

	return text && *text ? take_asked(ep->network, field, text, family, out, e)
			     : take_any(ep->network, family, out, e);
}

static int parse_mac(const char *text, unsigned char mac[6])
{
	return text &&
	       sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
		      &mac[5]) == 6 &&
	       !(mac[0] & 1) && memcmp(mac, (const unsigned char[6]){0}, 6) != 0;
}

int network_check_mac(const struct network *n, const char *text, unsigned char mac[6], struct err *e)
{
	if (n->driver == DRIVER_IPVLAN)
		return err_http(e, 400, "MacAddress: in network %s of driver ipvlan all have that of the parent",
				n->name);
	return parse_mac(text, mac) ? 0 : err_http(e, 400, "MacAddress: %s is no address of one device", text);
}

/* As Docker's: 02:42 and the IPv4 address, so that who gets the address of another answers with the same MAC. */
static int choose_mac(struct endpoint *ep, const char *asked, struct err *e)
{
	if (asked && *asked)
		return network_check_mac(ep->network, asked, ep->mac, e);
	ep->mac[0] = 0x02;
	ep->mac[1] = 0x42;
	if (ep->v4.address.family)
		memcpy(ep->mac + 2, ep->v4.address.bytes, 4);
	else
		memcpy(ep->mac + 2, ep->v6.address.bytes + 12, 4);
	return 0;
}

int endpoint_new(struct attachment *a, struct network *n, const json_t *settings, struct endpoint **out, struct err *e)
{
	struct endpoint *ep = XNEW(struct endpoint);
	const char *mac = json_string_value(json_object_get(settings, "MacAddress"));
	int rc = 0;

	ep->network = n;
	ep->attachment = a;
	ep->settings = json_is_object(settings) ? json_deep_copy(settings) : json_object();
	record_random_id(ep->id);
	if (!network_has_devices(n)) {
		TAILQ_INSERT_TAIL(&n->endpoints, ep, of_network);
		TAILQ_INSERT_TAIL(&a->endpoints, ep, of_attachment);
		*out = ep;
		return 0;
	}
	if (n->driver == DRIVER_BRIDGE)
		snprintf(ep->host_device, sizeof ep->host_device, "pv%.12s", ep->id);
	TAILQ_INSERT_TAIL(&n->endpoints, ep, of_network);
	TAILQ_INSERT_TAIL(&a->endpoints, ep, of_attachment);
	if (n->ipv4)
		rc = take_address(ep, "IPv4Address", AF_INET, &ep->v4, e);
	if (rc == 0 && n->ipv6)
		rc = take_address(ep, "IPv6Address", AF_INET6, &ep->v6, e);
	if (rc == 0)
		rc = choose_mac(ep, mac && *mac ? mac : json_string_value(json_object_get(a->spec, "MacAddress")), e);
	if (rc < 0) {
		endpoint_free(ep);
		return rc;
	}
	*out = ep;
	return 0;
}

static void give_back(struct network *n, const struct subnet *s)
{
	struct pool *p = s->address.family ? pool_of(n, &s->address) : NULL;

	if (p)
		pool_give_back(p, &s->address);
}

void endpoint_free(struct endpoint *ep)
{
	give_back(ep->network, &ep->v4);
	give_back(ep->network, &ep->v6);
	TAILQ_REMOVE(&ep->network->endpoints, ep, of_network);
	TAILQ_REMOVE(&ep->attachment->endpoints, ep, of_attachment);
	json_decref(ep->settings);
	link_space_free(ep->space);
	free(ep);
}

/* ---- attachments ---- */

struct attachment *attachment_find(struct networks *all, const char *container)
{
	struct attachment *a;

	TAILQ_FOREACH(a, &all->attachments, next)
		if (!a->gone && str_eq(a->container, container))
			return a;
	return NULL;
}

struct attachment *attachment_new(struct networks *all, const char *container, const json_t *spec)
{
	struct attachment *a = XNEW(struct attachment);
	const char *name = json_string_value(json_object_get(spec, "Name"));

	snprintf(a->container, sizeof a->container, "%s", container);
	a->name = xstrdup(name ? name : container);
	a->spec = json_deep_copy(spec);
	TAILQ_INIT(&a->endpoints);
	TAILQ_INSERT_TAIL(&all->attachments, a, next);
	return a;
}

/* What runs need not survive a power failure: nothing runs after it. */
static int without_sync(struct networks *all,
			int (*fn)(struct networks *all, const struct attachment *a, struct err *e),
			const struct attachment *a, struct err *e)
{
	store_exec(all->store, NULL, "PRAGMA synchronous=NORMAL", "");
	int rc = fn(all, a, e);
	store_exec(all->store, NULL, "PRAGMA synchronous=FULL", "");
	return rc;
}

static int write_record(struct networks *all, const struct attachment *a, struct err *e)
{
	json_t *doc = attachment_record(a);
	int rc = store_exec(all->store, e,
			    "INSERT INTO attachment(container, doc) VALUES(?,?) "
			    "ON CONFLICT(container) DO UPDATE SET doc=excluded.doc",
			    "tj", a->container, doc);

	json_decref(doc);
	return rc;
}

static int delete_record(struct networks *all, const struct attachment *a, struct err *e)
{
	return store_exec(all->store, e, "DELETE FROM attachment WHERE container=?", "t", a->container);
}

int attachment_save(struct networks *all, const struct attachment *a, struct err *e)
{
	return without_sync(all, write_record, a, e);
}

void attachment_free(struct networks *all, struct attachment *a)
{
	struct endpoint *ep;

	while ((ep = TAILQ_FIRST(&a->endpoints)))
		endpoint_free(ep);
	ports_close(a);
	TAILQ_REMOVE(&all->attachments, a, next);
	json_decref(a->spec);
	free(a->name);
	free(a);
}

void attachment_drop(struct networks *all, struct attachment *a)
{
	struct err e = {0};

	if (without_sync(all, delete_record, a, &e) < 0)
		log_error("%s", e.text);
	attachment_free(all, a);
}

void attachment_leave(struct networks *all, struct attachment *a)
{
	struct err e = {0};

	if (without_sync(all, delete_record, a, &e) < 0)
		log_error("%s", e.text);
	ports_close(a);
	a->gone = true;
}

void endpoint_leave(struct networks *all, struct endpoint *ep)
{
	struct attachment *from = ep->attachment, *gone = XNEW(struct attachment);

	snprintf(gone->container, sizeof gone->container, "%s", from->container);
	gone->gone = true;
	gone->name = xstrdup(from->name);
	TAILQ_INIT(&gone->endpoints);
	TAILQ_INSERT_TAIL(&all->attachments, gone, next);
	TAILQ_REMOVE(&from->endpoints, ep, of_attachment);
	ep->attachment = gone;
	TAILQ_INSERT_TAIL(&gone->endpoints, ep, of_attachment);
}

void networks_forget_endpoint(struct networks *all, const char *id)
{
	struct attachment *a;
	struct endpoint *ep;

	TAILQ_FOREACH(a, &all->attachments, next) {
		TAILQ_FOREACH(ep, &a->endpoints, of_attachment) {
			if (!a->gone || !str_eq(ep->id, id))
				continue;
			endpoint_free(ep);
			attachment_settle(all, a);
			return;
		}
	}
}

void networks_forget_endpoints(struct networks *all, struct network *n)
{
	struct endpoint *ep;

	while ((ep = TAILQ_FIRST(&n->endpoints))) {
		struct attachment *a = ep->attachment;

		endpoint_free(ep);
		attachment_settle(all, a);
	}
}

void attachment_settle(struct networks *all, struct attachment *a)
{
	if (a->gone && TAILQ_EMPTY(&a->endpoints))
		attachment_free(all, a);
}

/* ---- the database ---- */

struct loading {
	struct networks *all;
	const struct config *config;
	struct err *e;
};

static int load_network(void *arg, struct store_row *r)
{
	struct loading *l = arg;
	struct network *n = NULL;
	json_t *doc = NULL;
	int rc = store_json(r, 0, &doc, l->e);

	if (rc == 0)
		rc = network_restore(l->all, doc, l->config, &n, l->e);
	json_decref(doc);
	if (rc == 0)
		TAILQ_INSERT_TAIL(&l->all->list, n, next);
	return rc;
}

static int load_attachment(void *arg, struct store_row *r)
{
	struct loading *l = arg;
	json_t *doc = NULL;
	int rc = store_json(r, 0, &doc, l->e);

	if (rc == 0)
		rc = attachment_restore(l->all, doc, l->e);
	json_decref(doc);
	return rc;
}

static int add_builtin(struct networks *all, const char *name, enum network_driver driver, json_t *take_body,
		       const struct config *config, struct err *e)
{
	struct network *n = network_by_name(all, name);
	int rc = 0;

	if (!n) {
		n = network_from_body(take_body, config);
		n->driver = driver;
		rc = network_add(all, n, e);
		if (rc < 0)
			network_free(n);
	}
	if (rc == 0)
		n->builtin = true;
	json_decref(take_body);
	return rc;
}

int networks_new(struct store *store, const struct config *config, const char *root, struct networks **out,
		 struct err *e)
{
	struct networks *all = XNEW(struct networks);
	struct loading l = {all, config, e};
	int rc;

	all->store = store;
	TAILQ_INIT(&all->list);
	TAILQ_INIT(&all->attachments);
	rc = store_query(store, load_network, &l, e, "SELECT doc FROM network ORDER BY rowid", "");
	if (rc == 0)
		rc = network_default(all, config, root, e);
	if (rc == 0)
		rc = add_builtin(all, "host", DRIVER_HOST, json_pack("{s:s}", "Name", "host"), config, e);
	if (rc == 0)
		rc = add_builtin(all, "none", DRIVER_NONE, json_pack("{s:s}", "Name", "none"), config, e);
	if (rc == 0)
		rc = store_query(store, load_attachment, &l, e, "SELECT doc FROM attachment", "");
	if (rc < 0) {
		networks_free(all);
		return rc;
	}
	*out = all;
	return 0;
}

void networks_free(struct networks *all)
{
	struct attachment *a;
	struct network *n;

	if (!all)
		return;
	while ((a = TAILQ_FIRST(&all->attachments)))
		attachment_free(all, a);
	while ((n = TAILQ_FIRST(&all->list))) {
		TAILQ_REMOVE(&all->list, n, next);
		network_free(n);
	}
	free(all);
}
