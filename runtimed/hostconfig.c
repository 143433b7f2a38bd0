#include "runtimed/hostconfig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "lib/logopt.h"
#include "runtimed/idrange.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

static void set_default(json_t *o, const char *key, const char *value)
{
	const char *own = json_text(o, key);

	if (!own || !*own)
		json_object_set_new(o, key, json_string(value));
}

static bool is(const json_t *host, const char *key, const char *value)
{
	return str_eq(json_text(host, key), value);
}

static bool joins(const json_t *host, const char *key)
{
	const char *mode = json_text(host, key);

	return mode && str_starts(mode, "container:") && mode[strlen("container:")];
}

/* ---- resources ---- */

static int memory_check(json_t *host, struct err *e)
{
	int64_t memory = json_int(host, "Memory"), swap = json_int(host, "MemorySwap");
	int64_t reserved = json_int(host, "MemoryReservation");

	if (memory && memory < 6 << 20)
		return err_http(e, 400, "Minimum memory limit allowed is 6MB");
	if (swap > 0 && !memory)
		return err_http(e, 400,
				"You should always set the Memory limit when using Memoryswap limit, see usage");
	if (swap > 0 && swap < memory)
		return err_http(e, 400, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (reserved && reserved < 6 << 20)
		return err_http(e, 400, "Minimum memory reservation allowed is 6MB");
	if (memory && reserved > memory)
		return err_http(e, 400,
				"Minimum memory limit can not be less than memory reservation limit, see usage");
	if (json_true_at(host, "OomKillDisable") && !memory)
		return err_http(e, 400, "OomKillDisable: without a Memory limit it could hang the host");
	if (memory && !swap && memory < INT64_MAX / 2)
		json_object_set_new(host, "MemorySwap", json_integer(memory * 2));
	return 0;
}

static int cpu_check(const json_t *host, struct err *e)
{
	int64_t nano = json_int(host, "NanoCpus"), period = json_int(host, "CpuPeriod"),
		quota = json_int(host, "CpuQuota");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (nano && period)
		return err_http(e, 400, "Conflicting options: Nano CPUs and CPU Period cannot both be set.");
	if (nano && quota)
		return err_http(e, 400, "Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
	if (nano && (nano < 10000000 || nano > (int64_t)cpus * 1000000000))
		return err_http(e, 400, "Range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs available",
				cpus, cpus);
	if (period && (period < 1000 || period > 1000000))
		return err_http(e, 400,
				"CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (quota > 0 && quota < 1000)
		return err_http(e, 400, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	return 0;
}

int resources_check(json_t *host, struct err *e)
{
	int64_t weight = json_int(host, "BlkioWeight");
	int rc = memory_check(host, e);

	if (rc == 0)
		rc = cpu_check(host, e);
	if (rc == 0 && weight && weight < 10)
		rc = err_http(e, 400, "Range of blkio weight is from 10 to 1000");
	return rc;
}

int restart_policy_check(const json_t *host, struct err *e)
{
	const json_t *policy = json_object_get(host, "RestartPolicy");
	const char *name = json_text(policy, "Name");
	bool restarts = name && *name && !str_eq(name, "no");

	if (json_int(policy, "MaximumRetryCount") && !str_eq(name, "on-failure"))
		return err_http(e, 400,
				"invalid restart policy: maximum retry count cannot be used with restart policy '%s'",
				name ? name : "");
	if (restarts && json_true_at(host, "AutoRemove"))
		return err_http(e, 400, "can't create 'AutoRemove' container with restart policy");
	return 0;
}

/* ---- modes ---- */

static int mode_check(const json_t *host, const char *key, const char *const *words, bool joinable, struct err *e)
{
	const char *mode = json_text(host, key);

	if (!mode || !*mode || (joinable && joins(host, key)))
		return 0;
	for (; *words; words++)
		if (strcmp(*words, mode) == 0)
			return 0;
	return err_http(e, 400, "invalid %s mode: %s", key, mode);
}

static int modes_check(const json_t *host, struct err *e)
{
	static const char *const ipc[] = {"none", "private", "shareable", "host", NULL};
	static const char *const host_only[] = {"host", NULL};
	static const char *const userns[] = {"host", "private", NULL};
	int rc = mode_check(host, "IpcMode", ipc, true, e);

	if (rc == 0)
		rc = mode_check(host, "PidMode", host_only, true, e);
	if (rc == 0)
		rc = mode_check(host, "UTSMode", host_only, false, e);
	if (rc == 0)
		rc = mode_check(host, "UsernsMode", userns, false, e);
	if (rc == 0 && json_text(host, "Cgroup"))
		rc = err_http(e, 400, "Cgroup: joining another container's cgroup is not supported");
	return rc;
}

/* Who has no network device of its own chooses no addresses for one. */
static int addresses_check(const struct container *c, struct err *e)
{
	const char *mac = json_text(c->config, "MacAddress"), *name;
	json_t *endpoint;

	json_object_foreach(c->endpoints, name, endpoint) {
		const json_t *ipam = json_object_get(endpoint, "IPAMConfig");
		const char *v4 = json_text(ipam, "IPv4Address"), *v6 = json_text(ipam, "IPv6Address");
		if ((v4 && *v4) || (v6 && *v6))
			return err_http(e, 400, "user specified IP address is supported on user defined networks only");
		if (!mac || !*mac)
			mac = json_text(endpoint, "MacAddress");
	}
	return mac && *mac ? err_http(e, 400, "conflicting options: mac-address and the network mode %s",
				      json_text(c->host, "NetworkMode"))
			   : 0;
}

/* A container in another's network has its names, ports and addresses. */
static int joined_network_check(struct container *c, struct err *e)
{
	static const char *const lists[] = {"Dns", "DnsSearch", "DnsOptions", "ExtraHosts", "Links", "PortBindings"};
	const char *mode = json_text(c->host, "NetworkMode");

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		json_t *v = json_object_get(c->host, lists[i]);
		if (json_array_size(v) || json_object_size(v))
			return err_http(e, 400, "conflicting options: %s and the network mode %s", lists[i], mode);
	}
	if (json_true_at(c->host, "PublishAllPorts"))
		return err_http(e, 400, "conflicting options: port publishing and the network mode %s", mode);
	if (json_text(c->config, "Hostname"))
		return err_http(e, 400, "conflicting options: hostname and the network mode %s", mode);
	return addresses_check(c, e);
}

static int names_complete(struct container *c, struct err *e)
{
	const char *mode = json_text(c->host, "NetworkMode");
	char name[65] = "";

	if (is(c->host, "UTSMode", "host") && json_text(c->config, "Hostname"))
		return err_http(e, 400, "conflicting options: hostname and the UTS mode");
	if (joins(c->host, "NetworkMode")) {
		int rc = joined_network_check(c, e);
		struct container *x = rc == 0 ? spec_joined(c, "NetworkMode", e) : NULL;
		if (!x)
			return e->code;
		set_default(c->config, "Hostname", json_text(x->config, "Hostname"));
	} else if (str_eq(mode, "host") || is(c->host, "UTSMode", "host")) {
		gethostname(name, sizeof name - 1);
		set_default(c->config, "Hostname", name);
	} else {
		set_default(c->config, "Hostname", container_short(c, (char[13]){0}));
	}
	return 0;
}

/* The host's network and none have neither addresses to ask for nor ports to publish. */
static int plain_network_check(const struct container *c, json_t *warnings, struct err *e)
{
	const char *mode = json_text(c->host, "NetworkMode");

	if (!str_eq(mode, "host") && !str_eq(mode, "none"))
		return 0;
	if (addresses_check(c, e) < 0)
		return e->code;
	if (json_object_size(json_object_get(c->host, "PortBindings")) || json_true_at(c->host, "PublishAllPorts"))
		json_array_append_new(warnings,
				      json_sprintf("Published ports are discarded when using %s network mode", mode));
	return 0;
}

/* "name:address"; host-gateway is the host's address in the container's network. */
static int extra_hosts_check(const json_t *host, struct err *e)
{
	unsigned char address[16];
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(host, "ExtraHosts"), i, v) {
		const char *text = json_string_value(v), *colon = strchr(text, ':');
		if (!colon || colon == text)
			return err_http(e, 400, "bad format for add-host: \"%s\"", text);
		if (strcmp(colon + 1, "host-gateway") != 0 && inet_pton(AF_INET, colon + 1, address) != 1 &&
		    inet_pton(AF_INET6, colon + 1, address) != 1)
			return err_http(e, 400, "invalid IP address in add-host: \"%s\"", colon + 1);
	}
	return 0;
}

static int runtime_check(struct container *c, struct err *e)
{
	const struct config *config = c->rt->d.config;

	set_default(c->host, "Runtime", config->runtime_default);
	if (!config_runtime(config, json_text(c->host, "Runtime")))
		return err_http(e, 400, "unknown or invalid runtime name: %s", json_text(c->host, "Runtime"));
	return 0;
}

static json_t *object_at(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	if (!v) {
		v = json_object();
		json_object_set_new(o, key, v);
	}
	return v;
}

static int log_check(const struct container *c, struct err *e)
{
	const struct config_texts *sockets = &c->rt->d.config->log_driver_sockets;
	const json_t *log = json_object_get(c->host, "LogConfig");

	return logopt_check(json_text(log, "Type"), json_object_get(log, "Config"), sockets->v, sockets->n, e);
}

int hostconfig_check_asked(const struct container *c, struct err *e)
{
	if (joins(c->host, "NetworkMode") && json_object_size(json_object_get(c->config, "ExposedPorts")))
		return err_http(e, 400, "conflicting options: port exposing and the container type network mode");
	return 0;
}

int hostconfig_complete(struct container *c, json_t *warnings, struct err *e)
{
	const struct config *config = c->rt->d.config;
	json_t *host = c->host;

	if (json_true_at(c->config, "NetworkDisabled"))
		json_object_set_new(host, "NetworkMode", json_string("none"));
	set_default(host, "NetworkMode", "default");
	set_default(host, "IpcMode", "private");
	set_default(host, "CgroupnsMode", json_true_at(host, "Privileged") ? "host" : "private");
	set_default(object_at(host, "RestartPolicy"), "Name", "no");
	set_default(object_at(host, "LogConfig"), "Type", config->log_driver);
	object_at(object_at(host, "LogConfig"), "Config");
	if (json_int(host, "ShmSize") == 0)
		json_object_set_new(host, "ShmSize", json_integer((json_int_t)config->containers_shm_size));
	int rc = log_check(c, e);
	if (rc == 0)
		rc = modes_check(host, e);
	if (rc == 0)
		rc = names_complete(c, e);
	if (rc == 0)
		rc = plain_network_check(c, warnings, e);
	if (rc == 0)
		rc = extra_hosts_check(host, e);
	if (rc == 0)
		rc = runtime_check(c, e);
	if (rc == 0)
		rc = resources_check(host, e);
	return rc == 0 ? restart_policy_check(host, e) : rc;
}

/* ---- ids ---- */

static bool shares_ipc(const struct container *x)
{
	return !is(x->host, "IpcMode", "private") && !is(x->host, "IpcMode", "none");
}

int hostconfig_range(struct container *c, json_t *warnings, struct err *e)
{
	static const char *const modes[] = {"NetworkMode", "IpcMode", "PidMode"};
	struct runtimed *rt = c->rt;
	struct container *of = NULL;
	bool host_ids = json_true_at(c->host, "Privileged") || is(c->host, "UsernsMode", "host") ||
			is(c->host, "PidMode", "host") || is(c->host, "IpcMode", "host");

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct container *x = spec_joined(c, modes[i], e);
		if (!x && e->code)
			return e->code;
		if (!x)
			continue;
		if (str_eq(modes[i], "IpcMode") && !shares_ipc(x))
			return err_http(e, 400,
					"cannot join IPC of a container: container %s has a private one (its IpcMode "
					"must be shareable)",
					x->name);
		if ((of && of->range != x->range) || (host_ids && x->range != RANGE_NONE))
			return err_http(
				e, 400,
				"%s: container %s has a user namespace of its own, which cannot be joined together "
				"with the others asked for",
				modes[i], x->name);
		of = x;
	}
	if (of) {
		c->range = of->range;
		idrange_hold(rt->ranges, c->range);
		return 0;
	}
	if (host_ids || !rt->d.config->userns_enabled)
		return 0;
	const char *why = launch_cannot_idmap(rt->launch);
	if (why) {
		json_array_append_new(warnings, json_sprintf("the container runs with the ids of the host: %s", why));
		return 0;
	}
	return idrange_take(rt->ranges, &c->range, e);
}
