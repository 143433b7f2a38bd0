/* join: running containers onto further networks, and off them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "netd/devices.h"
#include "netd/kernel.h"
#include "netd/names.h"
#include "netd/netd.h"
#include "netd/ports.h"
#include "netd/shown.h"

static struct endpoint *endpoint_on(const struct attachment *a, const struct network *n)
{
	struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		if (ep->network == n)
			return ep;
	return NULL;
}

/* Routes and published ports follow the endpoint that leads outside now. */
static int follow_gateway(struct netd *d, struct attachment *a, struct link_space *space, struct err *e)
{
	int rc = space ? kernel_routes(a, space, e) : 0;

	if (rc == 0)
		rc = kernel_ports_move(d, a, e);
	return rc;
}

/* ---- join ---- */

static int join(struct netd *d, struct attachment *a, struct network *n, const json_t *settings, int netns,
		struct err *e)
{
	struct link_space *space = NULL;
	struct endpoint *ep = NULL;
	int rc = endpoint_new(a, n, settings, &ep, e);

	if (rc < 0)
		return rc;
	rc = link_space_open(d->links, netns, false, &space, e);
	if (rc == 0 && network_has_devices(n))
		rc = kernel_endpoint_up(d, ep, space, netns, e);
	if (rc == 0)
		rc = follow_gateway(d, a, space, e);
	if (rc == 0)
		rc = names_attach(d, a, netns, e);
	if (rc == 0)
		rc = attachment_save(d->networks, a, e);
	if (rc < 0) {
		struct err ignored = {0};

		if (space && *ep->device)
			link_space_delete(space, ep->device, &ignored);
		endpoint_free(ep);
		names_changed(d, a, netns);
		follow_gateway(d, a, space, &ignored);
	}
	link_space_free(space);
	return rc;
}

static void reply_nothing(struct ipc_request *req)
{
	struct network_state nothing = {.settings = {.json = json_object()}};

	ipc_reply(req, &nothing);
	json_decref(nothing.settings.json);
}

struct joined {
	struct netd *d;
	struct ipc_request *req;
};

/* Its names are known on the network. */
static void on_joined(void *arg)
{
	AUTO_FREE struct joined *j = arg;
	const struct network_join *m = ipc_request_msg(j->req);
	const struct attachment *a = attachment_find(j->d->networks, m->container);

	if (a)
		reply_state(j->d, j->req, a, attachment_json(a), NULL);
	else
		reply_nothing(j->req); /* it does not run: runtimed keeps the settings */
}

void on_network_join(struct ipc_request *req, struct network_join *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct network *n = NULL;
	struct err e = {0};
	int rc = network_find(d->networks, m->network, &n, &e);

	if (rc == 0)
		rc = network_check_settings(n, m->endpoint.json, &e);
	/* It was started without netd. */
	if (rc == 0 && !a && m->netns >= 0)
		a = attachment_new(d->networks, m->container, m->spec.json);
	if (rc == 0 && m->netns >= 0 && !endpoint_on(a, n)) {
		rc = join(d, a, n, m->endpoint.json, m->netns, &e);
		if (rc == 0)
			network_event(d, n, "connect", a->container);
	}
	if (rc < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	struct joined *j = XNEW(struct joined);
	*j = (struct joined){d, req};
	names_settle(d, on_joined, j);
}

/* ---- leave ---- */

struct leaving {
	struct netd *d;
	struct ipc_request *req;
	char container[65];
	bool force;
	struct err e; /* what went wrong first */
};

static void finish(struct leaving *l)
{
	const struct attachment *a = attachment_find(l->d->networks, l->container);

	if (l->e.code && !l->force)
		ipc_reply_error(l->req, &l->e);
	else if (a)
		reply_state(l->d, l->req, a, attachment_json(a), NULL);
	else
		reply_nothing(l->req);
	free(l);
}

static void on_device_removed(void *arg, const struct err *e)
{
	struct leaving *l = arg;

	if (!l->e.code)
		l->e = *e;
	finish(l);
}

/* The endpoint has left after this, also when the kernel did not do all of it. */
static void leave(struct leaving *l, struct attachment *a, struct endpoint *ep, int netns)
{
	struct netd *d = l->d;
	const bool devices = network_has_devices(ep->network);
	struct link_space *space = NULL;
	int rc = devices && netns >= 0 ? link_space_open(d->links, netns, false, &space, &l->e) : 0;

	network_event(d, ep->network, "disconnect", a->container);
	endpoint_leave(d->networks, ep);
	/* The default route moves to another device before its own goes. */
	if (rc == 0)
		rc = follow_gateway(d, a, space, &l->e);
	if (rc == 0)
		attachment_save(d->networks, a, &l->e);
	names_changed(d, a, netns);
	if (!devices)
		networks_forget_endpoint(d->networks, ep->id);
	if (space)
		devices_remove(d, ep, space, on_device_removed, l);
	else
		finish(l); /* its device goes with its namespace */
}

void on_network_leave(struct ipc_request *req, struct network_leave *m, struct netd *d)
{
	struct attachment *a = attachment_find(d->networks, m->container);
	struct leaving *l = XNEW(struct leaving);
	struct network *n = NULL;

	*l = (struct leaving){.d = d, .req = req, .force = m->force};
	snprintf(l->container, sizeof l->container, "%s", m->container);
	network_find(d->networks, m->network, &n, &l->e);
	struct endpoint *ep = a && n ? endpoint_on(a, n) : NULL;
	if (ep)
		leave(l, a, ep, m->netns);
	else
		finish(l);
}
