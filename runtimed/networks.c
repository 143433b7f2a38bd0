#include "runtimed/networks.h"

#include <errno.h>
#include <unistd.h>

#include "lib/log.h"
#include "runtimed/links.h"
#include "runtimed/names.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

#define NETD_MS 30000

struct network_call {
	struct container *container;
	struct ipc_request *req; /* of a creation */
	bool moves;		 /* its addresses may be others after this: who has a link to it is told */
	networks_done done;
	void *arg;
};

const char *networks_plain_mode(const struct container *c)
{
	const char *mode = json_text(c->host, "NetworkMode");

	if (str_eq(mode, "host"))
		return mode;
	return mode && str_starts(mode, "container:") ? "container" : NULL;
}

bool networks_wanted(const struct container *c)
{
	return networks_plain_mode(c) == NULL;
}

/* There is a netd when the supervisor has made its socket. */
static bool available(const struct runtimed *rt)
{
	return rt->netd && access(daemon_socket_path(&rt->d, PROC_netd), F_OK) == 0;
}

/* On none, or on nothing at all. */
static bool is_alone(const struct container *c)
{
	return json_object_size(c->endpoints) == (json_object_get(c->endpoints, "none") ? 1 : 0);
}

bool networks_asks(const struct container *c)
{
	static const char *const fields[] = {"ExtraHosts", "Dns", "DnsSearch", "DnsOptions"};
	const char *plain = networks_plain_mode(c);

	if (plain ? str_eq(plain, "container") : !is_alone(c))
		return !plain;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (json_array_size(json_object_get(c->host, fields[i])))
			return true;
	return available(c->rt);
}

static const char *mode_of(const struct container *c)
{
	const char *mode = json_text(c->host, "NetworkMode");

	return str_eq(mode, "default") ? "bridge" : mode;
}

/* The networks asked for. Before networks_check() that of NetworkMode may not be among them. */
static json_t *networks_of(const struct container *c)
{
	return c->endpoints ? json_incref(c->endpoints) : json_object();
}

/* By which name netd looks for the first network; "" when the container has been disconnected from all. */
static const char *first_network(const struct container *c)
{
	const char *name;
	json_t *v;

	if (!networks_wanted(c) || !c->name)
		return mode_of(c);
	json_object_foreach(c->endpoints, name, v)
		return name;
	return "";
}

static json_t *spec_of(const struct container *c, struct err *e)
{
	static const char *const from_host[] = {"PortBindings", "PublishAllPorts", "Dns",    "DnsSearch",
						"DnsOptions",	"ExtraHosts",	   "Sysctls"};
	static const char *const from_config[] = {"Hostname", "Domainname", "ExposedPorts", "MacAddress"};
	json_t *links = NULL, *spec;

	if (links_found(c, &links, e) < 0)
		return NULL;
	spec = json_pack("{s:s s:s s:o s:o}", "Name", c->name ? c->name : c->id, "NetworkMode", first_network(c),
			 "Networks", networks_of(c), "Links", links);
	for (size_t i = 0; i < ARRAY_LEN(from_host); i++)
		if (json_object_get(c->host, from_host[i]))
			json_object_set(spec, from_host[i], json_object_get(c->host, from_host[i]));
	for (size_t i = 0; i < ARRAY_LEN(from_config); i++)
		if (json_object_get(c->config, from_config[i]))
			json_object_set(spec, from_config[i], json_object_get(c->config, from_config[i]));
	return spec;
}

/* What netd has found for a creation: other owners' networks do not exist for this caller. */
static int take_networks(struct network_call *call, json_t *found, struct err *e)
{
	struct container *c = call->container;
	json_t *endpoints = json_object(), *v;
	const char *name;

	json_object_foreach(found, name, v) {
		if (!guard_sees(call->req, json_text(v, "Owner"))) {
			json_decref(endpoints);
			return err_http(e, 404, "network %s not found", name);
		}
		json_object_set(endpoints, name, json_object_get(v, "Settings"));
	}
	json_decref(c->endpoints);
	c->endpoints = endpoints;
	return 0;
}

static void take_files(struct container *c, const struct network_state *state)
{
	AUTO_FREE char *old_hosts = STEAL(c->hosts), *old_resolv_conf = STEAL(c->resolv_conf);
	struct err e = {0};

	if (state->hosts.data)
		c->hosts = xstrndup(state->hosts.data, state->hosts.len);
	if (state->resolv_conf.data)
		c->resolv_conf = xstrndup(state->resolv_conf.data, state->resolv_conf.len);
	const struct launch_network_files old = {old_hosts, old_resolv_conf}, files = {c->hosts, c->resolv_conf};
	if (c->run && container_alive(c) && launch_network_files_update(c->run, &old, &files, &e) < 0)
		log_warn("container %.12s: %s", c->id, e.text);
}

static void describe(struct container *c);

/* Their hosts files have its address. */
static void tell_linked(struct container *to)
{
	struct container *c;

	TAILQ_FOREACH(c, &to->rt->containers.all, link)
		if (c != to && container_alive(c) && networks_wanted(c) && links_have(c, to))
			describe(c);
}

static void answer(struct network_call *call, int rc, const struct err *e)
{
	struct container *c = call->container;

	container_changed(c);
	if (call->done)
		call->done(c, rc, e, call->arg);
	container_unref(c);
	free(call);
}

static void on_state(void *arg, void *reply, const struct err *why)
{
	struct network_call *call = arg;
	struct container *c = call->container;
	struct network_state *state = reply;
	struct err e = {0};
	int rc = 0;

	if (!state) {
		e = *why;
		rc = e.code;
	} else if (call->req) {
		rc = take_networks(call, state->networks.json, &e);
	} else if (c->starting || container_alive(c)) {
		if (networks_wanted(c) || str_eq(networks_plain_mode(c), "host")) {
			json_decref(c->network);
			c->network = json_incref(state->settings.json);
		}
		take_files(c, state);
		if (call->moves)
			tell_linked(c);
	}
	answer(call, rc, &e);
}

static void ask(struct network_call *call, uint16_t number, void *m)
{
	static const struct ipc_call_events events = {.done = on_state};
	static const struct ipc_call_options options = {.deadline_ms = NETD_MS, .repeatable = true};
	const struct container *c = call->container;
	struct err e;

	if (!available(c->rt))
		err_http(&e, 501,
			 "network %s: networks are not available, the engine runs without netd; use the network mode "
			 "none, host or container:NAME",
			 mode_of(c));
	else if (ipc_call(c->rt->netd, number, m, &options, &events, call, &e))
		return;
	on_state(call, NULL, &e);
}

static struct network_call *call_new(struct container *c, networks_done done, void *arg)
{
	struct network_call *call = XNEW(struct network_call);

	*call = (struct network_call){.container = container_ref(c), .done = done, .arg = arg};
	return call;
}

/* The container's spec for a message; NULL: the call has been answered. */
static json_t *spec_for(struct network_call *call)
{
	struct err e = {0};
	json_t *spec = spec_of(call->container, &e);

	if (!spec)
		on_state(call, NULL, &e);
	return spec;
}

/* That network is there also without netd. */
static int only_none(struct container *c, struct err *e)
{
	json_t *endpoints = json_object(), *asked = json_object_get(c->endpoints, "none");

	if (json_object_size(c->endpoints) > (asked ? 1 : 0)) {
		json_decref(endpoints);
		return err_http(e, 400, "container cannot be connected to network none beside others");
	}
	json_object_set_new(endpoints, "none", asked ? json_incref(asked) : json_object());
	json_decref(c->endpoints);
	c->endpoints = endpoints;
	return 0;
}

void networks_check(struct container *c, struct ipc_request *req, networks_done done, void *arg)
{
	struct network_call *call = call_new(c, done, arg);
	struct err e = {0};

	call->req = req;
	if (str_eq(mode_of(c), "none")) {
		answer(call, only_none(c, &e), &e);
		return;
	}
	json_t *spec = spec_for(call);
	struct network_check m = {.container = c->id, .spec = {.json = spec}};
	if (spec)
		ask(call, IPC_network_check, &m);
	json_decref(spec);
}

void networks_attach(struct container *c, int netns, networks_done done, void *arg)
{
	struct network_call *call = call_new(c, done, arg);

	call->moves = true;
	json_t *spec = spec_for(call);
	struct network_attach m = {.container = c->id, .spec = {.json = spec}, .netns = netns};

	if (spec)
		ask(call, IPC_network_attach, &m);
	json_decref(spec);
}

/* Of a running container; -1 else, or when it ends just now. */
static int netns_of(const struct container *c)
{
	return c->run && container_alive(c) ? launch_namespace(c->run, "net", NULL) : -1;
}

void networks_join(struct container *c, const char *network, networks_done done, void *arg)
{
	struct network_call *call = call_new(c, done, arg);

	call->moves = true;
	json_t *spec = spec_for(call);
	AUTO_CLOSE int netns = netns_of(c);
	struct network_join m = {.container = c->id,
				 .network = network,
				 .spec = {.json = spec},
				 .endpoint = {.json = json_object_get(c->endpoints, network)},
				 .netns = netns < 0 ? -1 : netns};

	if (spec)
		ask(call, IPC_network_join, &m);
	json_decref(spec);
}

void networks_leave(struct container *c, const char *network, bool force, networks_done done, void *arg)
{
	struct network_call *call = call_new(c, done, arg);
	AUTO_CLOSE int netns = netns_of(c);

	call->moves = true;
	struct network_leave m = {
		.container = c->id, .network = network, .force = force, .netns = netns < 0 ? -1 : netns};

	ask(call, IPC_network_leave, &m);
}

void networks_unlinked(struct container *c, const char *alias, networks_done done, void *arg)
{
	struct network_unlink m = {.container = c->id, .alias = alias};

	ask(call_new(c, done, arg), IPC_network_unlink, &m);
}

/* A runtimed that has been away asks what its running containers have. */
static void describe(struct container *c)
{
	struct network_describe m = {.container = c->id};

	ask(call_new(c, NULL, NULL), IPC_network_describe, &m);
}

const char *networks_hosts(const struct container *c)
{
	return c->hosts;
}

const char *networks_resolv_conf(const struct container *c)
{
	return c->resolv_conf;
}

static void on_told(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	if (!reply)
		log_warn("netd: %s", e->text);
}

void on_container_netns(struct ipc_request *req, struct container_netns *m, struct runtimed *rt)
{
	const struct container *c = containers_find(&rt->containers, m->id, NULL);
	AUTO_CLOSE int netns = c ? netns_of(c) : -1;
	struct container_netns_is is = {.netns = netns};
	struct err e;

	if (netns < 0) {
		err_set(&e, -ESRCH, "container %.12s does not run", m->id);
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply(req, &is);
}

static const struct ipc_call_events told = {.done = on_told};
static const struct ipc_call_options tell = {.deadline_ms = NETD_MS, .repeatable = true};

void networks_forget(struct container *c)
{
	json_decref(c->network);
	c->network = NULL;
	free(STEAL(c->hosts));
	free(STEAL(c->resolv_conf));
}

/* Does another container go on in its network namespace? */
static bool is_joined(const struct container *c)
{
	struct container *other;
	struct err e;

	TAILQ_FOREACH(other, &c->rt->containers.all, link)
		if (container_alive(other) && spec_joined(other, "NetworkMode", &e) == c)
			return true;
	return false;
}

void networks_detach(struct container *c)
{
	struct network_detach m = {.container = c->id, .joined = is_joined(c)};

	if (available(c->rt))
		ipc_call(c->rt->netd, IPC_network_detach, &m, &tell, &told, NULL, NULL);
}

struct renaming {
	void (*done)(void *arg);
	void *arg;
};

static void on_renamed(void *arg, void *reply, const struct err *e)
{
	AUTO_FREE struct renaming *r = arg;

	on_told(NULL, reply, e);
	r->done(r->arg);
}

void networks_renamed(struct container *c, void (*done)(void *arg), void *arg)
{
	static const struct ipc_call_events events = {.done = on_renamed};
	struct network_rename m = {.container = c->id, .name = c->name};
	struct renaming *r = XNEW(struct renaming);

	*r = (struct renaming){done, arg};
	if (networks_wanted(c) && available(c->rt) &&
	    ipc_call(c->rt->netd, IPC_network_rename, &m, &tell, &events, r, NULL))
		return;
	free(r);
	done(arg);
}

void networks_reconcile(struct runtimed *rt)
{
	json_t *all = json_object();
	struct container *c;

	TAILQ_FOREACH(c, &rt->containers.all, link)
		json_object_set_new(all, c->id, json_boolean(container_alive(c) || c->starting));
	struct network_reconcile m = {.containers = {.json = all}};
	ipc_call(rt->netd, IPC_network_reconcile, &m, &tell, &told, NULL, NULL);
	json_decref(all);
	TAILQ_FOREACH(c, &rt->containers.all, link)
		if (container_alive(c) && networks_wanted(c) && !c->hosts)
			describe(c);
}

/* ---- what is shown ---- */

static json_t *endpoint_shown(const json_t *asked)
{
	json_t *o = json_pack("{s:n s:n s:n s:s s:s s:s s:s s:s s:i s:s s:s s:i s:n}", "IPAMConfig", "Links", "Aliases",
			      "NetworkID", "", "EndpointID", "", "Gateway", "", "IPAddress", "", "MacAddress", "",
			      "IPPrefixLen", 0, "IPv6Gateway", "", "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0,
			      "DriverOpts");

	if (json_is_object(asked))
		json_object_update(o, (json_t *)(uintptr_t)asked);
	return o;
}

/* While nothing is attached: the networks asked for, without addresses. */
static json_t *networks_planned(const struct container *c)
{
	const char *plain = networks_plain_mode(c);
	json_t *asked = networks_of(c), *all = json_object(), *v;
	const char *name;

	if (plain && !str_eq(plain, "container"))
		json_object_set_new(all, plain, endpoint_shown(NULL));
	if (!plain)
		json_object_foreach(asked, name, v)
			json_object_set_new(all, name, endpoint_shown(v));
	json_decref(asked);
	return all;
}

json_t *networks_shown(const struct container *c)
{
	json_t *o =
		json_pack("{s:s s:s s:b s:s s:i s:{} s:s s:n s:n s:s s:s s:s s:i s:s s:i s:s s:s}", "Bridge", "",
			  "SandboxID", "", "HairpinMode", false, "LinkLocalIPv6Address", "", "LinkLocalIPv6PrefixLen",
			  0, "Ports", "SandboxKey", "", "SecondaryIPAddresses", "SecondaryIPv6Addresses", "EndpointID",
			  "", "Gateway", "", "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0, "IPAddress", "",
			  "IPPrefixLen", 0, "IPv6Gateway", "", "MacAddress", "");

	if (c->network)
		json_object_update(o, c->network);
	if (!json_object_get(o, "Networks"))
		json_object_set_new(o, "Networks", networks_planned(c));
	if (container_alive(c) && c->state.pid > 0)
		json_object_set_new(o, "SandboxKey", json_sprintf("/proc/%d/ns/net", (int)c->state.pid));
	return o;
}

json_t *networks_listed(const struct container *c)
{
	json_t *attached = json_object_get(c->network, "Networks");

	return json_pack("{s:o}", "Networks", attached ? json_incref(attached) : networks_planned(c));
}

static void list_port(json_t *list, const char *port, const json_t *bindings)
{
	const char *slash = strchr(port, '/'), *type = slash ? slash + 1 : "tcp";
	json_t *b;
	size_t i;

	json_array_foreach(bindings, i, b) {
		const char *host_port = json_text(b, "HostPort");
		json_array_append_new(list, json_pack("{s:s* s:i s:i s:s}", "IP", json_text(b, "HostIp"), "PrivatePort",
						      atoi(port), "PublicPort", host_port ? atoi(host_port) : 0, "Type",
						      type));
	}
	if (json_array_size(bindings) == 0)
		json_array_append_new(list, json_pack("{s:i s:s}", "PrivatePort", atoi(port), "Type", type));
}

json_t *networks_ports_listed(const struct container *c)
{
	json_t *ports = json_object_get(c->network, "Ports"), *list = json_array(), *v;
	const char *port;

	if (!container_alive(c))
		return list;
	json_object_foreach(ports, port, v)
		list_port(list, port, v);
	json_object_foreach(json_object_get(c->config, "ExposedPorts"), port, v)
		if (!json_object_get(ports, port) && networks_wanted(c) && !is_alone(c))
			list_port(list, port, NULL);
	return list;
}
