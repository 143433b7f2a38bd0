/* container: what runtimed asks for its containers. */
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/devices.h"
#include "netd/endpoint_options.h"
#include "netd/files.h"
#include "netd/holder.h"
#include "netd/kernel.h"
#include "netd/names.h"
#include "netd/netd.h"
#include "netd/ports.h"
#include "netd/shown.h"
#include "netd/waiting.h"

void reply_state(struct netd *d, struct ipc_request *req, const struct attachment *a, json_t *take_settings,
		 json_t *networks)
{
	AUTO_FREE char *hosts = files_hosts(d, a);
	AUTO_FREE char *resolv = files_resolv_conf(d, a);
	struct network_state state = {
		.settings = {.json = take_settings},
		.networks = {.json = networks},
		.hosts = {.data = hosts, .len = hosts ? strlen(hosts) : 0},
		.resolv_conf = {.data = resolv, .len = resolv ? strlen(resolv) : 0},
	};

	ipc_reply(req, &state);
	json_decref(take_settings);
}

/* "": it has been taken off every network. */
static const char *mode_of(const json_t *spec)
{
	const char *mode = json_string_value(json_object_get(spec, "NetworkMode"));

	return !mode || str_eq(mode, "default") ? "bridge" : mode;
}

/* Modes without networks of ours. */
static bool is_plain(const char *mode)
{
	return !*mode || str_eq(mode, "host") || str_starts(mode, "container:");
}

/* Calls `fn` for the network of the mode, and then for each other one of the spec. */
static int each_network(struct netd *d, const json_t *spec,
			int (*fn)(void *arg, struct network *n, const json_t *settings, struct err *e), void *arg,
			struct err *e)
{
	json_t *all = json_object_get(spec, "Networks"), *settings;
	const char *name;
	struct network *first = NULL, *n;
	int rc = 0;

	if (is_plain(mode_of(spec)))
		return 0;
	rc = network_find(d->networks, mode_of(spec), &first, e);
	if (rc < 0)
		return rc;
	const json_t *own = NULL;
	json_object_foreach(all, name, settings)
		if (network_find(d->networks, name, &n, NULL) == 0 && n == first)
			own = settings;
	rc = fn(arg, first, own, e);
	json_object_foreach(all, name, settings) {
		if (rc == 0)
			rc = network_find(d->networks, name, &n, e);
		if (rc == 0 && n != first)
			rc = fn(arg, n, settings, e);
	}
	return rc;
}

/* ---- check ---- */

/* What the schema takes and no driver here can do; and what an endpoint's options are. */
static int check_options(const struct network *n, const json_t *settings, struct err *e)
{
	const char *mac = json_string_value(json_object_get(settings, "MacAddress"));
	unsigned char bytes[6];

	if (endpoint_options_check(n, settings, e) < 0)
		return e->code;
	return mac && *mac ? network_check_mac(n, mac, bytes, e) : 0;
}

int network_check_settings(const struct network *n, const json_t *settings, struct err *e)
{
	const json_t *ipam = json_object_get(settings, "IPAMConfig");
	const char *const asked[] = {json_string_value(json_object_get(ipam, "IPv4Address")),
				     json_string_value(json_object_get(ipam, "IPv6Address"))};

	if (n->config_only)
		return err_http(e, 403, "network %s is a configuration network: no container can be on it", n->name);
	if (n->driver == DRIVER_HOST)
		return err_http(e, 400, "container cannot be connected to network %s beside others", n->name);
	/* There is no name server to tell of them. */
	if (n->builtin && json_array_size(json_object_get(settings, "Aliases")))
		return err_http(e, 400, "network-scoped aliases are only supported for user-defined networks");
	if (check_options(n, settings, e) < 0)
		return e->code;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct address a;
		bool inside = false;

		if (!asked[i] || !*asked[i])
			continue;
		if (!address_parse(asked[i], &a))
			return err_http(e, 400, "IPAMConfig: %s is no address", asked[i]);
		for (unsigned k = 0; k < n->npools; k++)
			inside = inside || subnet_contains(pool_subnet(n->pools[k].pool), &a);
		if (!inside)
			return err_http(e, 400, "IPAMConfig: no configured subnet of network %s contains %s", n->name,
					asked[i]);
	}
	return 0;
}

static int check_network(void *arg, struct network *n, const json_t *settings, struct err *e)
{
	json_t *networks = arg;
	int rc = network_check_settings(n, settings, e);

	if (rc == 0 && json_object_get(networks, n->name))
		rc = err_http(e, 400, "network %s is given twice", n->name);
	if (rc == 0)
		json_object_set_new(networks, n->name,
				    json_pack("{s:s, s:o}", "Owner", n->owner, "Settings",
					      settings ? json_deep_copy(settings) : json_object()));
	return rc;
}

void on_network_check(struct ipc_request *req, struct network_check *m, struct netd *d)
{
	json_t *networks = json_object(), *settings = json_object();
	struct network_state state = {.settings = {.json = settings}, .networks = {.json = networks}};
	struct err e = {0};
	int rc = ports_check(m->spec.json, &e);

	if (rc == 0)
		rc = each_network(d, m->spec.json, check_network, networks, &e);
	if (rc == 0 && json_object_get(networks, "none") && json_object_size(networks) > 1)
		rc = err_http(&e, 400, "container cannot be connected to network none beside others");
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply(req, &state);
	json_decref(networks);
	json_decref(settings);
}

/* ---- attach ---- */

static void take_down_devices(struct netd *d, struct attachment *a)
{
	struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		if (*ep->host_device && link_delete(d->links, ep->host_device, NULL) < 0)
			log_warn("device %s could not be removed", ep->host_device);
}

/* Everything of the container at once: its record, elements of the firewall; devices go with their namespace. */
static void detach(struct netd *d, struct attachment *a)
{
	struct endpoint *ep, *next;
	struct err e = {0};

	if (a->nports && kernel_ports_down(d, a, &e) < 0)
		log_error("container %s: %s", a->name, e.text);
	names_detach(d, a);
	attachment_leave(d->networks, a);
	for (ep = TAILQ_FIRST(&a->endpoints); ep; ep = next) {
		next = TAILQ_NEXT(ep, of_attachment);
		network_event(d, ep->network, "disconnect", a->container);
		if (ep->space) {
			endpoint_leave(d->networks, ep);
			devices_remove(d, ep, STEAL(ep->space), NULL, NULL);
			continue;
		}
		/* While the device is there, its address is in use; watch.c frees the endpoint when it has gone. */
		if (!*ep->host_device || !link_index(d->links, ep->host_device))
			endpoint_free(ep);
	}
	attachment_settle(d->networks, a);
}

static int add_endpoint(void *arg, struct network *n, const json_t *settings, struct err *e)
{
	struct endpoint *ep;

	return endpoint_new(arg, n, settings, &ep, e);
}

static bool has_devices(const struct attachment *a)
{
	const struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		if (network_has_devices(ep->network))
			return true;
	return false;
}

static int make_devices(struct netd *d, struct attachment *a, int netns, struct err *e)
{
	struct link_space *space = NULL;
	struct endpoint *ep;
	int rc = link_space_open(d->links, netns, true, &space, e);

	if (rc < 0)
		return rc;
	rc = link_space_loopback(space, e);
	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		if (rc == 0 && network_has_devices(ep->network))
			rc = kernel_endpoint_up(d, ep, space, netns, e);
	if (rc == 0)
		rc = kernel_routes(a, space, e);
	link_space_free(space);
	return rc;
}

static int make_real(struct netd *d, struct attachment *a, int netns, struct err *e)
{
	int rc = has_devices(a) ? make_devices(d, a, netns, e) : link_space_alone(d->links, netns, e);

	return rc == 0 && a->nports ? kernel_ports_up(d, a, e) : rc;
}

/* Some device of an ended container is still there, and its address with it. */
static bool some_are_leaving(const struct networks *all)
{
	const struct attachment *a;

	TAILQ_FOREACH(a, &all->attachments, next)
		if (a->gone)
			return true;
	return false;
}

static int make_attachment(struct netd *d, struct attachment *a, int netns, bool *wait, struct port_conflict *conflict,
			   struct err *e)
{
	struct endpoint *ep;
	int rc = str_eq(mode_of(a->spec), "host") ? endpoint_new(a, network_by_name(d->networks, "host"), NULL, &ep, e)
						  : each_network(d, a->spec, add_endpoint, a, e);

	/* 409: that address; 503: all of them. */
	*wait = rc < 0 && (e->status == 409 || e->status == 503) && some_are_leaving(d->networks);
	if (rc == 0)
		rc = kernel_ports_open(d, a, conflict, e);
	if (rc == 0 && netns >= 0)
		rc = make_real(d, a, netns, e);
	if (rc == 0 && netns >= 0)
		rc = names_attach(d, a, netns, e);
	if (rc == 0)
		rc = attachment_save(d->networks, a, e);
	return rc;
}

bool container_attach(struct netd *d, struct ipc_request *req, struct err *why)
{
	const struct network_attach *m = ipc_request_msg(req);
	struct attachment *a = attachment_new(d->networks, m->container, m->spec.json);
	struct endpoint *ep;
	struct port_conflict conflict = {0};
	struct err e = {0};
	bool wait = false;

	if (m->netns < 0 && !is_plain(mode_of(m->spec.json)))
		err_http(&e, 500, "container %s: no network namespace was given", a->name);
	if (e.code || make_attachment(d, a, m->netns, &wait, &conflict, &e) < 0) {
		names_detach(d, a);
		take_down_devices(d, a);
		attachment_drop(d->networks, a);
		if (conflict.protocol)
			holder_reply(d, req, &conflict, &e);
		else if (!wait)
			ipc_reply_error(req, &e);
		*why = e;
		return !wait;
	}
	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		network_event(d, ep->network, "connect", a->container);
	reply_state(d, req, a, attachment_json(a), NULL);
	return true;
}

void on_network_attach(struct ipc_request *req, struct network_attach *m, struct netd *d)
{
	struct attachment *old = attachment_find(d->networks, m->container);
	struct err e = {0};

	if (old) {
		take_down_devices(d, old);
		detach(d, old);
	}
	if (!container_attach(d, req, &e))
		waiting_add(d, req, &e);
}

void on_network_detach(struct ipc_request *req, struct network_detach *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);

	if (a && m->joined)
		take_down_devices(d, a);
	if (a)
		detach(d, a);
	ipc_reply_done(req);
}

/* ---- the rest ---- */

static void on_rename_told(void *arg)
{
	ipc_reply_done(arg);
}

void on_network_rename(struct ipc_request *req, struct network_rename *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct err e = {0};

	if (a) {
		free(a->name);
		a->name = xstrdup(m->name);
		names_changed(d, a, -1);
		if (attachment_save(d->networks, a, &e) < 0)
			log_error("%s", e.text);
	}
	names_settle(d, on_rename_told, req);
}

void on_network_reconcile(struct ipc_request *req, struct network_reconcile *m, struct netd *d)
{
	struct attachment *a, *next;

	for (a = TAILQ_FIRST(&d->networks->attachments); a; a = next) {
		next = TAILQ_NEXT(a, next);
		if (a->gone || json_is_true(json_object_get(m->containers.json, a->container)))
			continue;
		take_down_devices(d, a); /* others may be in its network namespace */
		detach(d, a);
	}
	ipc_reply_done(req);
}

void on_network_resolve(struct ipc_request *req, struct network_resolve *m, struct netd *d)
{
	struct network *n = NULL;
	struct err e = {0};

	if (network_find(d->networks, m->network, &n, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	struct network_resolved reply = {.id = n->id, .name = n->name, .owner = n->owner};
	ipc_reply(req, &reply);
}

void on_network_describe(struct ipc_request *req, struct network_describe *m, struct netd *d)
{
	const struct attachment *a = attachment_find(d->networks, m->container);

	if (a)
		reply_state(d, req, a, attachment_json(a), NULL);
	else
		ipc_fail(req, 404, "container %.12s has no networks", m->container);
}

struct unlinking {
	struct netd *d;
	struct ipc_request *req;
};

static void on_unlink_told(void *arg)
{
	AUTO_FREE struct unlinking *u = arg;
	const struct network_unlink *m = ipc_request_msg(u->req);
	const struct attachment *a = attachment_find(u->d->networks, m->container);

	if (a)
		reply_state(u->d, u->req, a, attachment_json(a), NULL);
	else
		ipc_fail(u->req, 404, "container %.12s has no networks", m->container);
}

/* "container:alias", or the container's name is the alias. */
static void drop_links_of(struct endpoint *ep, const char *alias)
{
	json_t *links = json_object_get(ep->settings, "Links");

	for (size_t i = json_array_size(links); i--;) {
		const char *text = json_string_value(json_array_get(links, i)), *colon = strchr(text, ':');

		if (str_eq(colon ? colon + 1 : text, alias))
			json_array_remove(links, i);
	}
}

void on_network_unlink(struct ipc_request *req, struct network_unlink *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	json_t *links = a ? json_object_get(a->spec, "Links") : NULL;
	struct unlinking *u = XNEW(struct unlinking);
	struct endpoint *ep;
	struct err e = {0};

	*u = (struct unlinking){d, req};
	for (size_t i = json_array_size(links); i--;)
		if (str_eq(json_string_value(json_object_get(json_array_get(links, i), "Alias")), m->alias))
			json_array_remove(links, i);
	if (a) {
		TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
			drop_links_of(ep, m->alias);
		names_changed(d, a, -1);
		if (attachment_save(d->networks, a, &e) < 0)
			log_error("%s", e.text);
	}
	names_settle(d, on_unlink_told, u);
}
