#include "runtimed/networks.h"

#include <errno.h>
#include <unistd.h>

#include "lib/log.h"
#include "runtimed/runtimed.h"

#define NETD_MS 30000

struct network_call {
	struct container *container;
	networks_done done;
	void *arg;
};

const char *networks_plain_mode(const struct container *c)
{
	const char *mode = json_text(c->host, "NetworkMode");

	if (str_eq(mode, "none") || str_eq(mode, "host"))
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

static const char *mode_of(const struct container *c)
{
	const char *mode = json_text(c->host, "NetworkMode");

	return str_eq(mode, "default") ? "bridge" : mode;
}

/* The networks asked for, with that of NetworkMode; {name: EndpointSettings}. */
static json_t *networks_of(const struct container *c)
{
	json_t *all = c->endpoints ? json_copy(c->endpoints) : json_object(), *first;

	if (!networks_wanted(c))
		return all;
	first = json_object_get(all, mode_of(c));
	if (!first && str_eq(mode_of(c), "bridge"))
		first = json_object_get(all, "default");
	if (!first)
		json_object_set_new(all, mode_of(c), json_object());
	else if (json_object_get(all, "default")) {
		json_object_set(all, "bridge", first);
		json_object_del(all, "default");
	}
	return all;
}

static json_t *spec_of(struct container *c)
{
	static const char *const from_host[] = {"PortBindings", "PublishAllPorts", "Dns",   "DnsSearch",
						"DnsOptions",	"ExtraHosts",	   "Links", "Sysctls"};
	static const char *const from_config[] = {"Hostname", "Domainname", "ExposedPorts", "MacAddress"};
	json_t *spec = json_pack("{s:s s:s s:o}", "Name", c->name ? c->name : c->id, "NetworkMode", mode_of(c),
				 "Networks", networks_of(c));

	for (size_t i = 0; i < ARRAY_LEN(from_host); i++)
		if (json_object_get(c->host, from_host[i]))
			json_object_set(spec, from_host[i], json_object_get(c->host, from_host[i]));
	for (size_t i = 0; i < ARRAY_LEN(from_config); i++)
		if (json_object_get(c->config, from_config[i]))
			json_object_set(spec, from_config[i], json_object_get(c->config, from_config[i]));
	return spec;
}

static void on_state(void *arg, void *reply, const struct err *e)
{
	struct network_call *call = arg;
	struct container *c = call->container;
	struct network_state *state = reply;

	if (state) {
		json_decref(c->network);
		c->network = json_incref(state->settings.json);
		free(STEAL(c->hosts));
		free(STEAL(c->resolv_conf));
		if (state->hosts.data)
			c->hosts = xstrndup(state->hosts.data, state->hosts.len);
		if (state->resolv_conf.data)
			c->resolv_conf = xstrndup(state->resolv_conf.data, state->resolv_conf.len);
		container_changed(c);
	}
	if (call->done)
		call->done(c, state ? 0 : e->code, e, call->arg);
	container_unref(c);
	free(call);
}

static struct network_call *call_new(struct container *c, networks_done done, void *arg)
{
	struct network_call *call = XNEW(struct network_call);

	*call = (struct network_call){container_ref(c), done, arg};
	return call;
}

static void ask(struct container *c, uint16_t number, void *m, networks_done done, void *arg)
{
	static const struct ipc_call_events events = {.done = on_state};
	static const struct ipc_call_options options = {.deadline_ms = NETD_MS, .repeatable = true};
	struct network_call *call = call_new(c, done, arg);
	struct err e;

	if (!available(c->rt))
		err_http(&e, 501,
			 "network %s: networks are not available, the engine runs without netd; use the network mode "
			 "none, "
			 "host or container:NAME",
			 mode_of(c));
	else if (ipc_call(c->rt->netd, number, m, &options, &events, call, &e))
		return;
	on_state(call, NULL, &e);
}

void networks_check(struct container *c, networks_done done, void *arg)
{
	json_t *spec = spec_of(c);
	struct network_check m = {.container = c->id, .spec = {.json = spec}};

	ask(c, IPC_network_check, &m, done, arg);
	json_decref(spec);
}

void networks_attach(struct container *c, int netns, networks_done done, void *arg)
{
	json_t *spec = spec_of(c);
	struct network_attach m = {.container = c->id, .spec = {.json = spec}, .netns = netns};

	ask(c, IPC_network_attach, &m, done, arg);
	json_decref(spec);
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

static const struct ipc_call_events told = {.done = on_told};
static const struct ipc_call_options tell = {.deadline_ms = NETD_MS, .repeatable = true};

void networks_detach(struct container *c)
{
	struct network_detach m = {.container = c->id};

	json_decref(c->network);
	c->network = NULL;
	if (available(c->rt))
		ipc_call(c->rt->netd, IPC_network_detach, &m, &tell, &told, NULL, NULL);
}

void networks_renamed(struct container *c)
{
	struct network_rename m = {.container = c->id, .name = c->name};

	if (networks_wanted(c) && available(c->rt))
		ipc_call(c->rt->netd, IPC_network_rename, &m, &tell, &told, NULL, NULL);
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
	json_object_foreach(asked, name, v) if (!plain) json_object_set_new(all, name, endpoint_shown(v));
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

	json_array_foreach(bindings, i, b)
	{
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
	json_object_foreach(ports, port, v) list_port(list, port, v);
	json_object_foreach(json_object_get(c->config, "ExposedPorts"), port,
			    v) if (!json_object_get(ports, port) && networks_wanted(c)) list_port(list, port, NULL);
	return list;
}
