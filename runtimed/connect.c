/* connect: POST /networks/{id}/connect and /disconnect: the container's record, and by netd what is real of it. */
#include <errno.h>

#include "lib/log.h"
#include "runtimed/db.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"

#define NETD_MS 30000

struct connecting {
	struct waiter waiter; /* first */
	struct ipc_request *req;
	struct container *container;
	const char *ref;  /* of the network, as the request has it */
	char *network;	  /* its name */
	json_t *settings; /* of the endpoint; borrowed from the request, or what is taken away */
	bool leaving, force;
};

static void end(struct connecting *n, const struct err *e)
{
	if (e)
		ipc_reply_error(n->req, e);
	else
		ipc_reply_json(n->req, 200, NULL);
	waiter_cancel(&n->waiter);
	json_decref(n->settings);
	free(n->network);
	container_unref(n->container);
	free(n);
}

/* ---- the record ---- */

static void put(struct container *c, const char *network, json_t *settings)
{
	if (!c->endpoints)
		c->endpoints = json_object();
	if (settings)
		json_object_set(c->endpoints, network, settings);
	else
		json_object_del(c->endpoints, network);
	container_changed(c);
}

/* netd has answered. The record in memory is ahead of it, so that a start meanwhile has the networks it will have. */
static void on_netd(struct container *c, int rc, const struct err *why, void *arg)
{
	struct connecting *n = arg;
	struct err e = {0};

	if (rc < 0)
		e = *why;
	else
		rc = db_update(c, &e);
	if (rc < 0)
		put(c, n->network, n->leaving ? n->settings : NULL);
	end(n, rc < 0 ? &e : NULL);
}

/* ---- connect ---- */

static int may_connect(const struct connecting *n, struct err *e)
{
	const struct container *c = n->container;
	const char *mode = networks_plain_mode(c);

	if (c->removing || c->state.status == CT_REMOVING || c->state.status == CT_DEAD)
		return err_http(e, 409,
				"container %s is marked for removal and cannot be connected or disconnected to "
				"a network",
				c->name);
	if (str_eq(n->network, "host") && (!n->leaving || str_eq(mode, "host")))
		return err_http(e, 403,
				"container cannot be disconnected from host network or connected to host network");
	if (mode)
		return err_http(e, 403,
				"container %s has the network mode %s: it cannot be connected to or disconnected from "
				"a network",
				c->name, json_text(c->host, "NetworkMode"));
	if (!n->leaving && json_object_get(c->endpoints, n->network))
		return err_http(e, 403, "endpoint with name %s already exists in network %s", c->name, n->network);
	if (!n->leaving && json_object_size(c->endpoints) &&
	    (str_eq(n->network, "none") || json_object_get(c->endpoints, "none")))
		return err_http(e, 403,
				"container cannot be connected to multiple networks with one of the networks in "
				"private (none) mode");
	if (n->leaving && !json_object_get(c->endpoints, n->network))
		return err_http(e, 404, "container %s is not connected to network %s", c->name, n->network);
	return 0;
}

static int admit(struct connecting *n, struct err *e)
{
	const struct policy_facts facts = {.container_owner = request_container_owner, .arg = n->container->rt};
	json_t *doc = json_pack("{s:{s:O}}", "EndpointsConfig", n->network, n->settings);
	int rc = guard_admit(n->req, POLICY_CONNECT, doc, &facts, e);

	json_decref(doc);
	return rc;
}

static void go(struct connecting *n)
{
	struct container *c = n->container;
	struct err e = {0};

	if (may_connect(n, &e) < 0) {
		end(n, &e);
	} else if (n->leaving) {
		n->settings = json_incref(json_object_get(c->endpoints, n->network));
		put(c, n->network, NULL);
		networks_leave(c, n->network, n->force, on_netd, n);
	} else {
		put(c, n->network, n->settings);
		networks_join(c, n->network, on_netd, n);
	}
}

static void on_settled(struct waiter *w, struct container *c, uint32_t event)
{
	(void)c;
	(void)event;
	go((struct connecting *)w);
}

/* A container that does not run may be on a network that has been removed; it cannot start until it is taken off. */
static bool may_be_gone(const struct connecting *n, const struct err *why)
{
	return n->leaving && why->status == 404 && !container_alive(n->container) &&
	       json_object_get(n->container->endpoints, n->ref);
}

/* Which network is meant, and is it there for this caller? */
static void on_resolved(void *arg, void *reply, const struct err *why)
{
	struct connecting *n = arg;
	const struct network_resolved *found = reply;
	struct err e = {0};
	int rc = 0;

	if (!found && may_be_gone(n, why)) {
		n->network = xstrdup(n->ref);
		n->force = true; /* netd does not know it any more */
	} else if (!found)
		e = *why;
	else if (!guard_sees(n->req, found->owner))
		err_http(&e, 404, "network %s not found", n->ref);
	else
		n->network = xstrdup(found->name);
	if (!e.code && !n->leaving)
		rc = admit(n, &e);
	if (e.code || rc < 0)
		end(n, &e);
	else if (n->container->starting)
		container_wait(n->container, &n->waiter, CE_SETTLED | CE_REMOVED, on_settled);
	else
		go(n);
}

static struct connecting *begin(struct ipc_request *req, struct runtimed *rt, const json_t *body, const char *network)
{
	struct container *c = request_container(rt, req, json_text(body, "Container"));

	if (!c)
		return NULL;
	struct connecting *n = XNEW(struct connecting);
	*n = (struct connecting){.req = req, .container = container_ref(c), .ref = network};
	return n;
}

static void resolve(struct connecting *n)
{
	static const struct ipc_call_events events = {.done = on_resolved};
	static const struct ipc_call_options options = {.deadline_ms = NETD_MS, .repeatable = true};
	struct network_resolve m = {.network = n->ref};
	struct err e = {0};

	if (!ipc_call(n->container->rt->netd, IPC_network_resolve, &m, &options, &events, n, &e))
		end(n, &e);
}

void on_network_connect(struct ipc_request *req, struct network_connect *m, struct runtimed *rt)
{
	struct connecting *n = begin(req, rt, m->body.json, m->id);

	if (!n) /* and then the message is gone */
		return;
	const json_t *settings = json_object_get(m->body.json, "EndpointConfig");
	n->settings = json_is_object(settings) ? json_deep_copy(settings) : json_object();
	resolve(n);
}

void on_network_disconnect(struct ipc_request *req, struct network_disconnect *m, struct runtimed *rt)
{
	struct connecting *n = begin(req, rt, m->body.json, m->id);

	if (!n)
		return;
	n->leaving = true;
	n->force = json_true_at(m->body.json, "Force");
	resolve(n);
}
