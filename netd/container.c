/* container: what runtimed asks for its containers. */
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/files.h"
#include "netd/kernel.h"
#include "netd/netd.h"
#include "netd/ports.h"
#include "netd/shown.h"

static void reply_state(struct netd *d, struct ipc_request *req, const struct attachment *a, json_t *take_settings)
{
	AUTO_FREE char *hosts = files_hosts(d, a);
	AUTO_FREE char *resolv = files_resolv_conf(d, a);
	struct network_state state = {
		.settings = {.json = take_settings},
		.hosts = {.data = hosts, .len = hosts ? strlen(hosts) : 0},
		.resolv_conf = {.data = resolv, .len = resolv ? strlen(resolv) : 0},
	};

	ipc_reply(req, &state);
	json_decref(take_settings);
}

static const char *mode_of(const json_t *spec)
{
	const char *mode = json_string_value(json_object_get(spec, "NetworkMode"));

	return !mode || !*mode || str_eq(mode, "default") ? "bridge" : mode;
}

/* Modes without networks of ours. */
static bool is_plain(const char *mode)
{
	return str_eq(mode, "host") || str_eq(mode, "none") || str_starts(mode, "container:");
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
	json_object_foreach(all, name, settings) if (network_find(d->networks, name, &n, NULL) == 0 && n == first) own =
		settings;
	rc = fn(arg, first, own, e);
	json_object_foreach(all, name, settings)
	{
		if (rc == 0)
			rc = network_find(d->networks, name, &n, e);
		if (rc == 0 && n != first)
			rc = fn(arg, n, settings, e);
	}
	return rc;
}

/* ---- check ---- */

struct checking {
	struct attachment a; /* not in any list */
	json_t *networks;
};

static int check_network(void *arg, struct network *n, const json_t *settings, struct err *e)
{
	struct checking *c = arg;
	const json_t *ipam = json_object_get(settings, "IPAMConfig");
	const char *const asked[] = {json_string_value(json_object_get(ipam, "IPv4Address")),
				     json_string_value(json_object_get(ipam, "IPv6Address"))};

	if (n->driver == DRIVER_HOST || n->driver == DRIVER_NONE)
		return err_http(e, 400, "container cannot be connected to network %s beside others", n->name);
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
	json_object_set_new(c->networks, n->name, endpoint_json(n, NULL, settings, c->a.name, c->a.container));
	return 0;
}

void on_network_check(struct ipc_request *req, struct network_check *m, struct netd *d)
{
	struct checking c = {.networks = json_object()};
	const char *name = json_string_value(json_object_get(m->spec.json, "Name"));
	struct err e = {0};

	TAILQ_INIT(&c.a.endpoints);
	snprintf(c.a.container, sizeof c.a.container, "%s", m->container);
	c.a.name = (char *)(name ? name : m->container);
	c.a.spec = m->spec.json;
	int rc = ports_check(m->spec.json, &e);
	if (rc == 0)
		rc = each_network(d, m->spec.json, check_network, &c, &e);
	if (rc < 0) {
		json_decref(c.networks);
		ipc_reply_error(req, &e);
		return;
	}
	json_t *settings = attachment_json(&c.a);
	json_object_set_new(settings, "Networks", c.networks);
	json_object_set_new(settings, "Ports", json_object());
	json_object_set_new(settings, "SandboxID", json_string(""));
	reply_state(d, req, &c.a, settings);
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
	attachment_leave(d->networks, a);
	for (ep = TAILQ_FIRST(&a->endpoints); ep; ep = next) {
		next = TAILQ_NEXT(ep, of_attachment);
		network_event(d, ep->network, "disconnect", a->container);
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

static int open_ports(struct netd *d, struct attachment *a, struct err *e)
{
	const struct endpoint *ep = kernel_gateway_endpoint(a);

	if (!ep || ep->network->driver != DRIVER_BRIDGE)
		return 0;
	return ports_open(d->networks, a, &ep->v4.address, &ep->v6.address, &ep->network->binding, d->daemon.config, e);
}

static int make_real(struct netd *d, struct attachment *a, int netns, struct err *e)
{
	struct link_space *space = NULL;
	struct endpoint *ep;
	int rc = link_space_open(d->links, netns, &space, e);

	if (rc < 0)
		return rc;
	rc = link_space_loopback(space, e);
	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
	if (rc == 0)
		rc = kernel_endpoint_up(d, ep, space, netns, e);
	if (rc == 0)
		rc = kernel_routes(a, space, e);
	link_space_free(space);
	if (rc == 0 && a->nports)
		rc = kernel_ports_up(d, a, e);
	return rc;
}

static int attach(struct netd *d, struct attachment *a, int netns, struct err *e)
{
	int rc = each_network(d, a->spec, add_endpoint, a, e);

	if (rc == 0)
		rc = open_ports(d, a, e);
	if (rc == 0 && netns >= 0)
		rc = make_real(d, a, netns, e);
	if (rc == 0)
		rc = attachment_save(d->networks, a, e);
	return rc;
}

void on_network_attach(struct ipc_request *req, struct network_attach *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct endpoint *ep;
	struct err e = {0};

	if (a) {
		take_down_devices(d, a);
		detach(d, a);
	}
	a = attachment_new(d->networks, m->container, m->spec.json);
	if (m->netns < 0 && !is_plain(mode_of(m->spec.json)))
		err_http(&e, 500, "container %s: no network namespace was given", a->name);
	if (e.code || attach(d, a, m->netns, &e) < 0) {
		take_down_devices(d, a);
		attachment_drop(d->networks, a);
		ipc_reply_error(req, &e);
		return;
	}
	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
	network_event(d, ep->network, "connect", a->container);
	reply_state(d, req, a, attachment_json(a));
}

void on_network_detach(struct ipc_request *req, struct network_detach *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);

	if (a)
		detach(d, a);
	ipc_reply_done(req);
}

/* ---- join, leave ---- */

static struct endpoint *endpoint_on(const struct attachment *a, const struct network *n)
{
	struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
	if (ep->network == n)
		return ep;
	return NULL;
}

static int join(struct netd *d, struct attachment *a, struct network *n, const json_t *settings, int netns,
		struct err *e)
{
	struct link_space *space = NULL;
	struct endpoint *ep = NULL;

	if (endpoint_on(a, n))
		return err_http(e, 403, "endpoint with name %s already exists in network %s", a->name, n->name);
	int rc = endpoint_new(a, n, settings, &ep, e);
	if (rc < 0)
		return rc;
	rc = link_space_open(d->links, netns, &space, e);
	if (rc == 0)
		rc = kernel_endpoint_up(d, ep, space, netns, e);
	if (rc == 0)
		rc = kernel_routes(a, space, e);
	link_space_free(space);
	if (rc == 0)
		rc = attachment_save(d->networks, a, e);
	if (rc < 0) {
		if (*ep->host_device)
			link_delete(d->links, ep->host_device, NULL);
		endpoint_free(ep);
	}
	return rc;
}

void on_network_join(struct ipc_request *req, struct network_join *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct network *n = NULL;
	struct err e = {0};

	if (network_find(d->networks, m->network, &n, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (!a || m->netns < 0) {
		/* It does not run: the settings are kept by runtimed, and looked at here. */
		struct checking c = {.networks = json_object()};

		TAILQ_INIT(&c.a.endpoints);
		snprintf(c.a.container, sizeof c.a.container, "%s", m->container);
		c.a.name = (char *)m->container;
		c.a.spec = m->spec.json;
		if (check_network(&c, n, m->endpoint.json, &e) < 0)
			ipc_reply_error(req, &e);
		else
			reply_state(d, req, &c.a, json_pack("{s:O}", "Networks", c.networks));
		json_decref(c.networks);
		return;
	}
	if (n->driver == DRIVER_HOST || n->driver == DRIVER_NONE || is_plain(mode_of(a->spec)))
		err_http(&e, 403,
			 "container %s cannot be connected to network %s: one of them is of the host, of another "
			 "container or none",
			 a->name, n->name);
	if (e.code || join(d, a, n, m->endpoint.json, m->netns, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	network_event(d, n, "connect", a->container);
	reply_state(d, req, a, attachment_json(a));
}

static int leave(struct netd *d, struct attachment *a, struct endpoint *ep, int netns, struct err *e)
{
	struct link_space *space = NULL;
	const bool had_ports = kernel_gateway_endpoint(a) == ep && a->nports;
	int rc = 0;

	if (had_ports) {
		rc = kernel_ports_down(d, a, e);
		ports_close(a);
	}
	if (rc == 0 && netns >= 0)
		rc = link_space_open(d->links, netns, &space, e);
	if (rc == 0 && space)
		rc = link_space_delete(space, ep->device, e);
	if (rc == 0) {
		network_event(d, ep->network, "disconnect", a->container);
		endpoint_free(ep);
		if (space)
			rc = kernel_routes(a, space, e);
	}
	if (rc == 0 && had_ports && (rc = open_ports(d, a, e)) == 0)
		rc = kernel_ports_up(d, a, e);
	link_space_free(space);
	return rc < 0 ? rc : attachment_save(d->networks, a, e);
}

void on_network_leave(struct ipc_request *req, struct network_leave *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct network *n = NULL;
	struct err e = {0};

	if (network_find(d->networks, m->network, &n, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	struct endpoint *ep = a ? endpoint_on(a, n) : NULL;
	if (!ep && !m->force)
		err_http(&e, 404, "container %s is not connected to network %s", a ? a->name : m->container, n->name);
	if (e.code || (ep && leave(d, a, ep, m->netns, &e) < 0)) {
		ipc_reply_error(req, &e);
		return;
	}
	if (a) {
		reply_state(d, req, a, attachment_json(a));
		return;
	}
	struct network_state nothing = {.settings = {.json = json_object()}};
	ipc_reply(req, &nothing);
	json_decref(nothing.settings.json);
}

/* ---- the rest ---- */

void on_network_rename(struct ipc_request *req, struct network_rename *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct err e = {0};

	if (a) {
		free(a->name);
		a->name = xstrdup(m->name);
		if (attachment_save(d->networks, a, &e) < 0)
			log_error("%s", e.text);
	}
	ipc_reply_done(req);
}

void on_network_reconcile(struct ipc_request *req, struct network_reconcile *m, struct netd *d)
{
	struct attachment *a, *next;

	for (a = TAILQ_FIRST(&d->networks->attachments); a; a = next) {
		next = TAILQ_NEXT(a, next);
		if (!a->gone && !json_is_true(json_object_get(m->containers.json, a->container)))
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
	struct network_resolved reply = {.id = n->id, .name = n->name};
	ipc_reply(req, &reply);
}
