#include "apid/info.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>

#include "apid/connection.h"
#include "lib/logopt.h"
#include "lib/times.h"
#include "lib/util.h"
#include "lib/version.h"

/* ---- pieces of SystemInfo ---- */

static json_t *runtimes(const struct config *c)
{
	json_t *o = json_object();

	for (size_t i = 0; i < c->runtimes.n; i++) {
		const struct config_runtime *r = &c->runtimes.v[i];
		json_t *args = json_array();
		for (size_t k = 0; k < r->args.n; k++)
			json_array_append_new(args, json_string(r->args.v[k]));
		json_object_set_new(o, r->key, json_pack("{s:s s:o}", "path", r->path, "runtimeArgs", args));
	}
	return o;
}

static json_t *registries(const struct config *c)
{
	json_t *index = json_object(), *insecure = json_array(), *mirrors = json_array();

	for (size_t i = 0; i < c->registries.n; i++) {
		const struct config_registry *r = &c->registries.v[i];
		json_t *list = json_array();
		for (size_t k = 0; k < r->mirrors.n; k++) {
			json_array_append_new(list, json_string(r->mirrors.v[k]));
			if (str_eq(r->key, "docker.io"))
				json_array_append_new(mirrors, json_string(r->mirrors.v[k]));
		}
		json_object_set_new(index, r->key,
				    json_pack("{s:s s:o s:b s:b}", "Name", r->key, "Mirrors", list, "Secure",
					      !r->insecure, "Official", str_eq(r->key, "docker.io")));
	}
	if (!json_object_get(index, "docker.io"))
		json_object_set_new(
			index, "docker.io",
			json_pack("{s:s s:[] s:b s:b}", "Name", "docker.io", "Mirrors", "Secure", 1, "Official", 1));
	return json_pack("{s:o s:o s:o}", "IndexConfigs", index, "InsecureRegistryCIDRs", insecure, "Mirrors", mirrors);
}

static json_t *pools(const struct config *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->network_pools.n; i++)
		json_array_append_new(
			list, json_pack("{s:s s:i}", "Base", c->network_pools.v[i], "Size", (int)c->network_pool_bits));
	return list;
}

static json_t *labels(const struct config *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->labels.n; i++)
		json_array_append_new(list, json_string(c->labels.v[i]));
	return list;
}

static json_t *now_text(void)
{
	char text[TIME_TEXT];

	return json_string(time_rfc3339_full(time_now(), text));
}

static void set(json_t *o, const char *key, json_t *take_value)
{
	json_object_set_new(o, key, take_value);
}

static void add_security(json_t *o, const struct config *c, json_t *warnings)
{
	json_t *list = json_pack("[s]", "name=seccomp,profile=builtin");
	const char *host_ids = json_string_value(json_object_get(o, INFO_HOST_IDS));

	if (host_ids)
		json_array_append_new(warnings,
				      json_sprintf("WARNING: containers run with the ids of the host: %s", host_ids));
	else if (c->userns_enabled)
		json_array_append_new(list, json_string("name=userns"));
	json_object_del(o, INFO_HOST_IDS);
	set(o, "SecurityOptions", list);
}

static json_t *images_of(const json_t *images)
{
	json_t *n = json_object_get(json_object_get(images, "Counters"), "Images");

	return n ? json_incref(n) : json_integer(0);
}

/* A kernel feature that a process had to do without is told to whoever asks. */
static void add_missing(json_t *services, json_t *warnings)
{
	size_t i, k;
	json_t *service, *what;

	json_array_foreach(services, i, service) {
		json_array_foreach(json_object_get(json_object_get(service, "Sandbox"), "Missing"), k, what)
			json_array_append_new(warnings,
					      json_sprintf("WARNING: %s runs without %s: this kernel does not have it",
							   json_string_value(json_object_get(service, "Name")),
							   json_string_value(what)));
	}
}

static json_t *log_drivers(void)
{
	json_t *all = json_array();

	for (enum log_driver d = 0; d < LOG_DRIVERS; d++)
		json_array_append_new(all, json_string(log_driver_name(d)));
	return all;
}

static void add_configured(json_t *o, const struct config *c)
{
	set(o, "LoggingDriver", json_string(c->log_driver));
	set(o, "Plugins",
	    json_pack("{s:[s] s:[s,s,s,s,s] s:n s:o}", "Volume", "local", "Network", "bridge", "host", "ipvlan",
		      "macvlan", "null", "Authorization", "Log", log_drivers()));
	set(o, "Runtimes", runtimes(c));
	set(o, "DefaultRuntime", json_string(c->runtime_default));
	set(o, "RegistryConfig", registries(c));
	set(o, "IndexServerAddress", json_string("https://index.docker.io/v1/"));
	set(o, "DefaultAddressPools", pools(c));
	set(o, "Labels", labels(c));
	set(o, "HttpProxy", json_string(c->images_proxy));
	set(o, "HttpsProxy", json_string(c->images_proxy));
	set(o, "NoProxy", json_string(""));
	set(o, "Debug", json_boolean(c->log_level == 3));
	set(o, "CDISpecDirs", json_array());
}

static void add_constant(json_t *o)
{
	set(o, "ServerVersion", json_string(pouch_version));
	set(o, "InitBinary", json_string("tini"));
	set(o, "LiveRestoreEnabled", json_true());
	set(o, "ExperimentalBuild", json_false());
	set(o, "Isolation", json_string(""));
	set(o, "ProductLicense", json_string(""));
	set(o, "GenericResources", json_null());
	set(o, "SystemTime", now_text());
	set(o, "Swarm",
	    json_pack("{s:s s:s s:s s:b s:s s:n}", "NodeID", "", "NodeAddr", "", "LocalNodeState", "inactive",
		      "ControlAvailable", 0, "Error", "", "RemoteManagers"));
	set(o, "ContainerdCommit", json_pack("{s:s}", "ID", ""));
	set(o, "RuncCommit", json_pack("{s:s}", "ID", ""));
	set(o, "InitCommit", json_pack("{s:s}", "ID", ""));
}

struct json_t *info_document(const struct apid *a, const struct json_t *supervisor, const struct json_t *containers,
			     const struct json_t *images, const struct json_t *networks, struct json_t *take_warnings)
{
	json_t *o = a->host ? json_copy(a->host) : json_object();
	json_t *services = json_object_get(supervisor, "Services");

	set(o, "Containers", json_integer(0));
	set(o, "ContainersRunning", json_integer(0));
	set(o, "ContainersPaused", json_integer(0));
	set(o, "ContainersStopped", json_integer(0));
	if (containers)
		json_object_update(o, (json_t *)(uintptr_t)containers);
	/* The host's network is netd's: this process has one of its own. */
	if (json_object_get(networks, "Host"))
		json_object_update(o, json_object_get(networks, "Host"));
	set(o, "Images", images_of(images));
	set(o, "NGoroutines", json_integer((json_int_t)a->nexchanges));
	set(o, "NFd", json_integer((json_int_t)a->nconnections));
	set(o, "NEventsListener", json_integer(0));
	add_configured(o, a->config);
	add_constant(o);
	add_security(o, a->config, take_warnings);
	add_missing(services, take_warnings);
	set(o, "Services", services ? json_incref(services) : json_array());
	set(o, "Warnings", take_warnings);
	return o;
}
