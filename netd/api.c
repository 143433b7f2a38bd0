/* api: the routes /networks…. */
#include <errno.h>
#include <stdlib.h>

#include "lib/config.h"
#include "lib/filters.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "netd/configuration.h"
#include "netd/kernel.h"
#include "netd/netd.h"
#include "netd/shown.h"

/* ---- events ---- */

static void published(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	(void)reply;
	if (e)
		log_warn("an event was not published: %s", e->text);
}

static void publish(struct netd *d, const char *action, const char *id, json_t *take_attributes)
{
	static const struct ipc_call_events events = {.done = published};
	const struct ipc_call_options options = {.deadline_ms = 30000, .repeatable = true};
	struct event_publish m = {
		.type = "network", .action = action, .id = id, .attributes = {.json = take_attributes}};
	struct err e = {0};

	if (!ipc_call(d->runtimed, IPC_event_publish, &m, &options, &events, d, &e))
		log_warn("an event was not published: %s", e.text);
	json_decref(take_attributes);
}

void network_event(struct netd *d, const struct network *n, const char *action, const char *container)
{
	publish(d, action, n->id,
		json_pack("{s:s, s:s, s:s*}", "name", n->name, "type", network_driver_name(n->driver), "container",
			  container));
}

/* ---- list and inspect ---- */

static bool has_container(const struct network *n)
{
	const struct endpoint *ep;

	TAILQ_FOREACH(ep, &n->endpoints, of_network)
		if (!ep->attachment->gone)
			return true;
	return false;
}

static bool listed(const struct network *n, const struct filters *f, bool by_dangling, bool dangling)
{
	return filters_prefix(f, "id", n->id) && filters_pattern(f, "name", n->name) &&
	       filters_exact(f, "driver", network_driver_name(n->driver)) && filters_exact(f, "scope", "local") &&
	       filters_exact(f, "type", n->builtin ? "builtin" : "custom") && filters_labels(f, "label", n->labels) &&
	       filters_labels(f, "label!", n->labels) &&
	       (!by_dangling || dangling == (!n->builtin && !has_container(n)));
}

static int check_type(const struct filters *f, struct err *e)
{
	const char *type = filters_first(f, "type");

	if (type && !str_eq(type, "builtin") && !str_eq(type, "custom"))
		return err_http(e, 400, "invalid filter 'type=%s': want builtin or custom", type);
	return 0;
}

void on_network_list(struct ipc_request *req, struct network_list *m, struct netd *d)
{
	const struct filters *f = FILTERS_OF(m->filters.json);
	bool dangling = false;
	struct err e = {0};
	struct network *n;

	if (check_type(f, &e) < 0 || filters_bool(f, "dangling", &dangling, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	json_t *list = json_array();
	TAILQ_FOREACH(n, &d->networks->list, next)
		if (guard_sees(req, n->owner) && listed(n, f, filters_has(f, "dangling"), dangling))
			json_array_append_new(list, network_json(n, false));
	ipc_reply_json(req, 200, list);
}

/* As far as this caller may know of it; NULL after an answer. */
static struct network *find_for(struct netd *d, struct ipc_request *req, const char *ref)
{
	struct network *n = NULL;
	struct err e = {0};

	if (network_find(d->networks, ref, &n, &e) < 0)
		ipc_reply_error(req, &e);
	else if (guard_sees(req, n->owner))
		return n;
	else
		ipc_fail(req, 404, "network %s not found", ref);
	return NULL;
}

void on_network_inspect(struct ipc_request *req, struct network_inspect *m, struct netd *d)
{
	struct network *n = find_for(d, req, m->id);

	if (!n)
		return;
	if (m->scope && *m->scope && !str_eq(m->scope, "local"))
		ipc_fail(req, 404, "network %s not found in scope %s", m->id, m->scope);
	else
		ipc_reply_json(req, 200, network_json(n, true));
}

/* ---- create ---- */

static int make_real(struct netd *d, struct network *n, struct err *e)
{
	const int rc = kernel_network_claim(d, n, e);

	return rc == 0 ? kernel_network_open(d, n, e) : rc;
}

/* 1: somebody else has taken the chosen subnet at the same moment. */
static int try_create(struct netd *d, struct ipc_request *req, const json_t *body, struct network **out, struct err *e)
{
	struct network *n = NULL;
	int rc = network_plan(d->networks, body, d->daemon.config, d->links, &n, e);

	if (rc < 0)
		return rc;
	free(n->owner);
	n->owner = xstrdup(guard_owner(req));
	rc = network_add(d->networks, n, e);
	if (rc < 0) {
		network_free(n);
		return rc;
	}
	rc = make_real(d, n, e);
	if (rc == 0) {
		*out = n;
		return 0;
	}
	struct err ignored = {0};
	kernel_network_down(d, n, &ignored);
	network_drop(d->networks, n, &ignored);
	return rc;
}

static int create(struct netd *d, struct ipc_request *req, const json_t *body, struct network **out, struct err *e)
{
	int rc = 1;

	for (unsigned i = 0; rc == 1 && i < CLAIM_TRIES; i++)
		rc = try_create(d, req, body, out, e);
	return rc == 1 ? err_http(e, 503, "others take every subnet that is chosen: try again") : rc;
}

/* The body with what the configuration has that it is made from; a new reference. */
static int fill_in(struct netd *d, struct ipc_request *req, json_t *body, json_t **out, struct err *e)
{
	const char *ref = json_string_value(json_object_get(json_object_get(body, "ConfigFrom"), "Network"));
	struct network *from = NULL;

	if (!ref || !*ref) {
		*out = json_incref(body);
		return 0;
	}
	if (network_find(d->networks, ref, &from, e) == -EINVAL)
		return e->code;
	if (!from || !guard_sees(req, from->owner))
		return err_http(e, 404, "configuration network \"%s\" does not exist", ref);
	return configuration_apply(body, from, out, e);
}

void on_network_create(struct ipc_request *req, struct network_create *m, struct netd *d)
{
	const struct policy_facts facts = {0};
	AUTO_JSON json_t *body = NULL;
	struct network *n = NULL;
	struct err e = {0};

	if (fill_in(d, req, m->body.json, &body, &e) < 0 || guard_admit(req, POLICY_NETWORK, body, &facts, &e) < 0 ||
	    create(d, req, body, &n, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_request_object(req, "network", n->id);
	network_event(d, n, "create", NULL);
	ipc_reply_json(req, 201, json_pack("{s:s, s:s}", "Id", n->id, "Warning", n->warning ? n->warning : ""));
}

/* ---- remove, prune ---- */

static int drop(struct netd *d, struct network *n, struct err *e)
{
	const struct network *user = configuration_user(d->networks, n);
	struct err problem = {0};

	if (user)
		return err_http(e, 403,
				"error while removing network: configuration network \"%s\" is in use by network %s",
				n->name, user->name);
	if (n->builtin)
		return err_http(e, 403, "%s is a pre-defined network and cannot be removed", n->name);
	if (!TAILQ_EMPTY(&n->endpoints) && has_container(n))
		return err_http(e, 403, "error while removing network: network %s id %s has active endpoints", n->name,
				n->id);
	/* Devices of ended containers, which the kernel is removing, come off the bridge with it. */
	networks_forget_endpoints(d->networks, n);
	if (kernel_network_down(d, n, &problem) < 0)
		log_warn("network %s: %s", n->name, problem.text);
	network_event(d, n, "destroy", NULL);
	return network_drop(d->networks, n, e);
}

void on_network_remove(struct ipc_request *req, struct network_remove *m, struct netd *d)
{
	struct network *n = find_for(d, req, m->id);
	struct err e = {0};

	if (!n)
		return;
	ipc_request_object(req, "network", n->id);
	if (drop(d, n, &e) < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_json(req, 204, NULL);
}

void on_network_prune(struct ipc_request *req, struct network_prune *m, struct netd *d)
{
	const struct filters *f = FILTERS_OF(m->filters.json);
	struct network *n, *next;
	struct err e = {0};
	const char *text;
	int64_t until = 0;

	if (filters_only(f, "until", &text, &e) < 0 || time_parse(text, time_now(), &until, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	json_t *deleted = json_array();
	for (n = TAILQ_FIRST(&d->networks->list); n; n = next) {
		AUTO_FREE char *name = xstrdup(n->name);

		next = TAILQ_NEXT(n, next);
		if (n->builtin || n->config_only || has_container(n) || !guard_sees(req, n->owner) ||
		    (until && n->created > until) || !filters_labels(f, "label", n->labels) ||
		    !filters_labels(f, "label!", n->labels))
			continue;
		if (drop(d, n, &e) == 0)
			json_array_append_new(deleted, json_string(name));
	}
	publish(d, "prune", "", json_pack("{s:s}", "reclaimed", "0"));
	ipc_reply_json(req, 200, json_pack("{s:o}", "NetworksDeleted", deleted));
}
