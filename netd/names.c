#include "netd/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/files.h"
#include "netd/kernel.h"
#include "netd/resolver.h"

#define RUNTIMED_MS 30000
#define SETTLE_MS   2000  /* a worker that hangs does not stop the rest */
#define CALLS_MAX   65536 /* one for each container when the worker is new */

/* What a container's questions come in by. */
struct sockets {
	TAILQ_ENTRY(sockets) next;
	char container[65];
	int udp, tcp;
};

struct names {
	struct netd *d;
	struct ipc_client *dns;
	TAILQ_HEAD(, sockets) sockets;
	json_t *upstream; /* as last told */
	bool calling;	  /* a call waits for the connection, which the worker is started by */
};

/* A message about one container. */
struct telling {
	struct netd *d;
	char container[65];
};

static struct telling *telling_new(struct netd *d, const char *container)
{
	struct telling *t = XNEW(struct telling);

	t->d = d;
	snprintf(t->container, sizeof t->container, "%s", container);
	return t;
}

/* ---- sockets ---- */

static struct sockets *sockets_of(const struct names *n, const char *container)
{
	struct sockets *s;

	TAILQ_FOREACH(s, &n->sockets, next)
		if (str_eq(s->container, container))
			return s;
	return NULL;
}

static void sockets_close(struct names *n, struct sockets *s)
{
	if (!s)
		return;
	TAILQ_REMOVE(&n->sockets, s, next);
	fd_close(&s->udp);
	fd_close(&s->tcp);
	free(s);
}

static struct sockets *sockets_add(struct names *n, const char *container, int take_udp, int take_tcp)
{
	struct sockets *s = XNEW(struct sockets);

	sockets_close(n, sockets_of(n, container));
	snprintf(s->container, sizeof s->container, "%s", container);
	s->udp = take_udp;
	s->tcp = take_tcp;
	TAILQ_INSERT_TAIL(&n->sockets, s, next);
	return s;
}

static int sockets_make(struct netd *d, const char *container, int netns, struct err *e)
{
	int udp = -1, tcp = -1;
	int rc = resolver_open(d->links, netns, &udp, &tcp, e);

	if (rc == 0)
		sockets_add(d->names, container, udp, tcp);
	return rc;
}

/* ---- what there is to know ---- */

bool names_wanted(const struct attachment *a)
{
	const struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		if (!ep->network->builtin)
			return !a->gone;
	return false;
}

static bool has_text(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (str_eq(json_string_value(item), text))
			return true;
	return false;
}

static void add_name(json_t *names, const char *name)
{
	if (name && *name && !has_text(names, name))
		json_array_append_new(names, json_string(name));
}

json_t *names_of(const json_t *asked, const char *name, const char *container, const char *hostname)
{
	json_t *names = json_array(), *alias;
	char id[13];
	size_t i;

	snprintf(id, sizeof id, "%.12s", container);
	add_name(names, name);
	json_array_foreach(json_object_get(asked, "Aliases"), i, alias)
		add_name(names, json_string_value(alias));
	add_name(names, id);
	add_name(names, hostname);
	return names;
}

/* By name or prefix of the id; what does not run is known by nothing but the name that was given. */
static json_t *link_target(const struct networks *all, const char *ref, size_t len)
{
	const struct attachment *a;

	TAILQ_FOREACH(a, &all->attachments, next)
		if (!a->gone && ((strlen(a->name) == len && strncmp(a->name, ref, len) == 0) ||
				 (len >= 12 && strncmp(a->container, ref, len) == 0)))
			return json_stringn(a->container, 12);
	return json_stringn(ref, len);
}

/* Names of its own for others: of the endpoint, and for its first network those of --link. */
static json_t *links_of(const struct networks *all, const struct endpoint *ep)
{
	json_t *links = json_object(), *item;
	size_t i;

	json_array_foreach(json_object_get(ep->settings, "Links"), i, item) {
		const char *text = json_string_value(item), *colon = strchr(text, ':');
		const size_t len = colon ? (size_t)(colon - text) : strlen(text);

		json_object_set_new(links, colon ? colon + 1 : text, link_target(all, text, len));
	}
	if (ep != TAILQ_FIRST(&ep->attachment->endpoints))
		return links;
	json_array_foreach(json_object_get(ep->attachment->spec, "Links"), i, item) {
		const char *alias = json_string_value(json_object_get(item, "Alias"));
		const char *id = json_string_value(json_object_get(item, "Id"));

		if (alias && id)
			json_object_set_new(links, alias, json_stringn(id, 12));
	}
	return links;
}

static json_t *endpoint_doc(const struct networks *all, const struct endpoint *ep)
{
	const struct attachment *a = ep->attachment;
	const struct address *const both[] = {&ep->v4.address, &ep->v6.address};
	const char *hostname = json_string_value(json_object_get(a->spec, "Hostname"));
	json_t *addresses = json_array();
	char text[ADDRESS_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (both[i]->family)
			json_array_append_new(addresses, json_string(address_text(both[i], text)));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "Network", ep->network->id, "NetworkName", ep->network->name,
			 "Name", a->name, "Addresses", addresses, "Names",
			 names_of(ep->settings, a->name, a->container, hostname), "Links", links_of(all, ep));
}

static json_t *container_doc(struct netd *d, const struct attachment *a)
{
	json_t *endpoints = json_array();
	const struct endpoint *ep;

	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
		if (!ep->network->builtin)
			json_array_append_new(endpoints, endpoint_doc(d->networks, ep));
	return json_pack("{s:o, s:O*, s:b, s:b}", "Endpoints", endpoints, "Servers", json_object_get(a->spec, "Dns"),
			 "Forward", kernel_gateway_endpoint(a) != NULL, "Dotted", files_has_ndots(d, a));
}

/* ---- telling the worker ---- */

/* A lost connection says all there is to say; what was lost with it is told again with the next one. */
static void on_told(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	if (!reply && e->code != -ECONNRESET && e->code != -ECANCELED)
		log_warn("name server: %s", e->text);
}

static const struct ipc_call_events told = {.done = on_told};

static void on_connected_told(void *arg, void *reply, const struct err *e)
{
	((struct names *)arg)->calling = false;
	on_told(arg, reply, e);
}

/* Is there a worker? One that is not there yet is started, and told everything then. */
static bool connected(struct names *n)
{
	static const struct ipc_call_events events = {.done = on_connected_told};
	struct dns_upstream m = {.servers = {.json = n->upstream}};
	struct err e = {0};

	if (ipc_client_connected(n->dns))
		return true;
	if (!n->calling && !(n->calling = ipc_call(n->dns, IPC_dns_upstream, &m, NULL, &events, n, &e) != NULL))
		log_warn("name server: %s", e.text);
	return false;
}

static void tell(struct netd *d, const struct attachment *a);

/* The namespace of a container whose sockets nobody has any more. */
static void on_netns(void *arg, void *reply, const struct err *why)
{
	AUTO_FREE struct telling *t = arg;
	const struct attachment *a = attachment_find(t->d->networks, t->container);
	struct container_netns_is *is = reply;
	struct err e = {0};

	if (!is && why->code != -ESRCH)
		log_warn("container %.12s: %s", t->container, why->text);
	if (!is || !a || !names_wanted(a) || sockets_of(t->d->names, t->container))
		return;
	if (sockets_make(t->d, t->container, is->netns, &e) < 0)
		log_error("container %s: %s", a->name, e.text);
	else
		tell(t->d, a);
}

static void ask_netns(struct netd *d, const char *container)
{
	static const struct ipc_call_events events = {.done = on_netns};
	static const struct ipc_call_options options = {.deadline_ms = RUNTIMED_MS, .repeatable = true};
	struct container_netns m = {.id = container};
	struct telling *t = telling_new(d, container);
	struct err e = {0};

	if (ipc_call(d->runtimed, IPC_container_netns, &m, &options, &events, t, &e))
		return;
	log_warn("container %.12s: %s", container, e.text);
	free(t);
}

static void on_serving(void *arg, void *reply, const struct err *e)
{
	AUTO_FREE struct telling *t = arg;
	struct dns_serving *serving = reply;

	on_told(NULL, reply, e);
	if (!serving || sockets_of(t->d->names, t->container) || !attachment_find(t->d->networks, t->container))
		return;
	if (serving->udp >= 0 && serving->tcp >= 0)
		sockets_add(t->d->names, t->container, STEAL_FD(serving->udp), STEAL_FD(serving->tcp));
	else
		ask_netns(t->d, t->container);
}

/* Its names, with the sockets if they are here; else the worker may have them. */
static void tell(struct netd *d, const struct attachment *a)
{
	static const struct ipc_call_events events = {.done = on_serving};
	const struct sockets *s = sockets_of(d->names, a->container);
	json_t *doc;
	struct err e = {0};

	if (!connected(d->names))
		return;
	doc = container_doc(d, a);
	struct dns_serve m = {.container = a->container,
			      .names = {.json = doc},
			      .udp = s ? s->udp : -1,
			      .tcp = s ? s->tcp : -1,
			      .give = !s};
	struct telling *t = telling_new(d, a->container);
	if (!ipc_call(d->names->dns, IPC_dns_serve, &m, NULL, &events, t, &e)) {
		log_error("name server of container %s: %s", a->name, e.text);
		free(t);
	}
	json_decref(doc);
}

/* A new connection: a worker that is new, or one that has gone on without us. */
static void on_state(void *arg, bool is_connected)
{
	struct names *n = arg;
	struct netd *d = n->d;
	json_t *all = json_array();
	const struct attachment *a;

	if (is_connected) {
		struct dns_upstream upstream = {.servers = {.json = n->upstream}};
		struct dns_keep keep = {.containers = {.json = all}};

		ipc_call(n->dns, IPC_dns_upstream, &upstream, NULL, &told, n, NULL);
		TAILQ_FOREACH(a, &d->networks->attachments, next) {
			if (!names_wanted(a))
				continue;
			tell(d, a);
			json_array_append_new(all, json_string(a->container));
		}
		ipc_call(n->dns, IPC_dns_keep, &keep, NULL, &told, n, NULL);
	}
	json_decref(all);
}

/* ---- what netd says ---- */

int names_attach(struct netd *d, const struct attachment *a, int netns, struct err *e)
{
	int rc = 0;

	if (!names_wanted(a))
		return 0;
	if (!sockets_of(d->names, a->container))
		rc = sockets_make(d, a->container, netns, e);
	if (rc == 0)
		tell(d, a);
	return rc;
}

void names_changed(struct netd *d, const struct attachment *a, int netns)
{
	struct err e = {0};

	if (names_wanted(a)) {
		tell(d, a);
		return;
	}
	if (netns >= 0 && sockets_of(d->names, a->container) && resolver_close(d->links, netns, &e) < 0)
		log_warn("container %s: %s", a->name, e.text);
	names_detach(d, a);
}

void names_detach(struct netd *d, const struct attachment *a)
{
	struct sockets *s = sockets_of(d->names, a->container);
	struct dns_forget m = {.container = a->container};

	/* Without a connection there is nothing to forget: the next one says who is left. */
	if ((s || names_wanted(a)) && ipc_client_connected(d->names->dns))
		ipc_call(d->names->dns, IPC_dns_forget, &m, NULL, &told, d->names, NULL);
	sockets_close(d->names, s);
}

struct settling {
	void (*done)(void *arg);
	void *arg;
};

static void on_settled(void *arg, void *reply, const struct err *e)
{
	AUTO_FREE struct settling *s = arg;

	on_told(NULL, reply, e);
	s->done(s->arg);
}

/* The worker takes messages in their order: the answer to the last one says that the others are done. */
void names_settle(struct netd *d, void (*done)(void *arg), void *arg)
{
	static const struct ipc_call_events events = {.done = on_settled};
	static const struct ipc_call_options options = {.deadline_ms = SETTLE_MS};
	struct dns_upstream m = {.servers = {.json = d->names->upstream}};
	struct settling *s = XNEW(struct settling);
	struct err e = {0};

	*s = (struct settling){done, arg};
	if (!ipc_client_connected(d->names->dns) ||
	    !ipc_call(d->names->dns, IPC_dns_upstream, &m, &options, &events, s, &e)) {
		free(s);
		done(arg);
	}
}

void names_upstream(struct netd *d)
{
	struct names *n = d->names;
	json_t *servers = files_host_servers(d);
	struct dns_upstream m = {.servers = {.json = servers}};

	if (!json_equal(servers, n->upstream) && ipc_client_connected(n->dns))
		ipc_call(n->dns, IPC_dns_upstream, &m, NULL, &told, n, NULL);
	json_decref(n->upstream);
	n->upstream = servers;
}

/* ---- life ---- */

struct names *names_new(struct netd *d)
{
	const struct attachment *a;
	struct names *n = XNEW(struct names);

	n->d = d;
	TAILQ_INIT(&n->sockets);
	n->upstream = files_host_servers(d);
	n->dns = daemon_client(&d->daemon, PROC_dns, CALLS_MAX);
	ipc_client_on_state(n->dns, on_state, n);
	TAILQ_FOREACH(a, &d->networks->attachments, next)
		if (names_wanted(a) && !connected(n))
			break;
	return n;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	ipc_client_free(n->dns);
	while (!TAILQ_EMPTY(&n->sockets))
		sockets_close(n, TAILQ_FIRST(&n->sockets));
	json_decref(n->upstream);
	free(n);
}
