/* The checks of single fields of HostConfig and networks; policy_admit.def says which field has which. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/config.h"
#include "lib/endpoint_keys.h"
#include "lib/logopt.h"
#include "lib/policy_admit.h"
#include "lib/util.h"

const char *admit_text(const json_t *value)
{
	return json_is_string(value) ? json_string_value(value) : "";
}

int admit_each(struct admit *a, const json_t *list, int (*check)(struct admit *a, const char *text))
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		int r = json_is_string(item) ? check(a, json_string_value(item))
					     : admit_deny_json(a, item, "that what is not known is refused");
		if (r < 0)
			return r;
	}
	return 0;
}

bool admit_plain(const char *path)
{
	return path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/..");
}

/* Each name of an object, against patterns. */
static int each_name(struct admit *a, const json_t *object, const struct policy_texts *patterns, const char *rule)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		int r = admit_match(a, patterns, name, rule);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- power ---- */

static int host_namespace(struct admit *a, const char *name, const char *value)
{
	if (policy_match_any(&a->rules->host_namespaces, name))
		return 0;
	AUTO_FREE char *rule = xasprintf("host-namespaces (%s)", name);
	return admit_deny(a, value, rule);
}

/* Privileged, and the host's processes and IPC, come with the host's user ids. */
static int with_host_ids(struct admit *a, const char *value)
{
	return host_namespace(a, "user", value);
}

int admit_privileged(struct admit *a, const json_t *value)
{
	int r = admit_flag(a, a->rules->privileged, value, "privileged");

	return r < 0 || a->kind != POLICY_CREATE ? r : with_host_ids(a, "true");
}

static int capability(struct admit *a, const char *text)
{
	const struct config *c = a->facts->config;
	char name[64];
	size_t n = 0;

	for (const char *p = strncasecmp(text, "CAP_", 4) == 0 ? text + 4 : text; *p && n < sizeof name - 1; p++)
		name[n++] = (char)toupper((unsigned char)*p);
	name[n] = 0;
	for (size_t i = 0; c && i < c->containers_capabilities.n; i++)
		if (strcmp(c->containers_capabilities.v[i], name) == 0)
			return 0;
	for (size_t i = 0; strcmp(name, "ALL") == 0 && i < a->rules->capabilities.n; i++)
		if (strcmp(a->rules->capabilities.v[i], "*") == 0)
			return 0;
	if (strcmp(name, "ALL") == 0)
		return admit_deny(a, text, "capabilities");
	return policy_match_any(&a->rules->capabilities, name) ? 0 : admit_deny(a, text, "capabilities");
}

int admit_capabilities(struct admit *a, const json_t *value)
{
	return admit_each(a, value, capability);
}

static int security_option(struct admit *a, const char *text)
{
	AUTO_FREE char *option = xstrdup(text);
	char *sign = strpbrk(option, ":=");

	if (sign)
		*sign = '='; /* "name:value" is the old spelling */
	if (strcmp(option, "no-new-privileges") == 0 || strcmp(option, "no-new-privileges=true") == 0)
		return 0;
	return admit_match(a, &a->rules->security_options, option, "security-options");
}

int admit_security_options(struct admit *a, const json_t *value)
{
	return admit_each(a, value, security_option);
}

int admit_paths(struct admit *a, const json_t *value)
{
	return admit_flag(a, a->rules->paths, value, "masked-paths");
}

int admit_sysctls(struct admit *a, const json_t *value)
{
	return each_name(a, value, &a->rules->sysctls, "sysctls");
}

/* "net.ipv4.conf.IFNAME.KEY=VALUE,…": the rule is that of Sysctls. netd refuses what is not of this form. */
static int endpoint_sysctls(struct admit *a, const char *list)
{
	int r = 0;

	while (r == 0 && *list) {
		AUTO_FREE char *name = xstrndup(list, strcspn(list, "=,"));

		list += strcspn(list, ",");
		list += *list == ',';
		r = admit_match(a, &a->rules->sysctls, name, "sysctls");
	}
	return r;
}

int admit_endpoint_options(struct admit *a, const json_t *value)
{
	const char *key;
	json_t *text;
	int r = 0;

	json_object_foreach((json_t *)value, key, text) {
		if (str_eq(key, ENDPOINT_SYSCTLS))
			r = endpoint_sysctls(a, admit_text(text));
		else if (!str_eq(key, ENDPOINT_DEVICE)) /* what a device is called in the container is its own matter */
			r = admit_deny(a, key, "that an option without a rule is refused");
		if (r < 0)
			return r;
	}
	return 0;
}

int admit_runtime(struct admit *a, const json_t *value)
{
	const char *name = admit_text(value);

	if (a->facts->config && strcmp(name, a->facts->config->runtime_default) == 0)
		return 0;
	return admit_match(a, &a->rules->runtimes, name, "runtimes");
}

int admit_annotations(struct admit *a, const json_t *value)
{
	return each_name(a, value, &a->rules->annotations, "annotations");
}

int admit_cgroup_parent(struct admit *a, const json_t *value)
{
	return admit_match(a, &a->rules->cgroup_parents, admit_text(value), "cgroup-parents");
}

int admit_oom(struct admit *a, const json_t *value)
{
	return admit_flag(a, a->rules->oom, value, "oom");
}

int admit_oom_score(struct admit *a, const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0 ? 0 : admit_oom(a, value);
}

int admit_realtime(struct admit *a, const json_t *value)
{
	return admit_flag(a, a->rules->realtime, value, "realtime");
}

int admit_ulimits(struct admit *a, const json_t *value)
{
	size_t i;
	json_t *limit;

	json_array_foreach(value, i, limit)
		/* The names of limits are taken in any case of letters. */
		if (strcasecmp(admit_text(json_object_get(limit, "Name")), "rtprio") == 0 && !a->rules->realtime)
			return admit_deny_json(a, limit, "realtime");
	return 0;
}

/* ---- devices ---- */

int admit_devices(struct admit *a, const json_t *value)
{
	size_t i;
	json_t *device;

	json_array_foreach(value, i, device) {
		const char *path = admit_text(json_object_get(device, "PathOnHost"));
		if (!admit_plain(path) || !policy_match_any(&a->rules->devices, path))
			return admit_deny(a, path, "devices");
	}
	return 0;
}

int admit_device_rules(struct admit *a, const json_t *value)
{
	return admit_flag(a, a->rules->device_rules, value, "device-cgroup-rules");
}

int admit_device_requests(struct admit *a, const json_t *value)
{
	return admit_flag(a, a->rules->device_requests, value, "device-requests");
}

/* ---- namespaces ---- */

/*
 * "host" by host-namespaces, "container:X" by join, the words in `plain_words` (separated by |) freely; anything else
 * is not known here.
 */
static int namespace_mode(struct admit *a, const json_t *value, const char *name, const char *plain_words)
{
	const char *mode = admit_text(value);
	size_t len = strlen(mode);

	if (strcmp(mode, "host") == 0)
		return host_namespace(a, name, mode);
	if (str_starts(mode, "container:"))
		return admit_join(a, mode + strlen("container:"), mode);
	for (const char *word = plain_words; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
		if (strcspn(word, "|") == len && strncmp(word, mode, len) == 0)
			return 0;
	return admit_deny(a, mode, "that what is not known is refused");
}

int admit_pid_mode(struct admit *a, const json_t *value)
{
	int r = namespace_mode(a, value, "pid", "private");

	return r == 0 && strcmp(admit_text(value), "host") == 0 ? with_host_ids(a, "host") : r;
}

int admit_ipc_mode(struct admit *a, const json_t *value)
{
	int r = namespace_mode(a, value, "ipc", "private|shareable|none");

	return r == 0 && strcmp(admit_text(value), "host") == 0 ? with_host_ids(a, "host") : r;
}

int admit_uts_mode(struct admit *a, const json_t *value)
{
	return namespace_mode(a, value, "uts", "private");
}

int admit_userns_mode(struct admit *a, const json_t *value)
{
	return namespace_mode(a, value, "user", "private");
}

int admit_cgroupns_mode(struct admit *a, const json_t *value)
{
	return namespace_mode(a, value, "cgroup", "private");
}

int admit_network_mode(struct admit *a, const json_t *value)
{
	const char *mode = admit_text(value);

	if (strcmp(mode, "host") == 0 || str_starts(mode, "container:"))
		return namespace_mode(a, value, "net", NULL);
	if (strcmp(mode, "none") == 0)
		return 0;
	return admit_match(a, &a->rules->networks, strcmp(mode, "default") == 0 ? "bridge" : mode, "networks");
}

static int joined(struct admit *a, const char *text)
{
	AUTO_FREE char *ref = xstrndup(text, strcspn(text, ":"));

	return admit_join(a, ref, text);
}

int admit_links(struct admit *a, const json_t *value)
{
	return admit_each(a, value, joined);
}

int admit_volumes_from(struct admit *a, const json_t *value)
{
	return admit_each(a, value, joined);
}

/* ---- networks and ports ---- */

int admit_network_name(struct admit *a, const json_t *value)
{
	return admit_match(a, &a->rules->networks, admit_text(value), "networks");
}

int admit_network_driver(struct admit *a, const json_t *value)
{
	return admit_match(a, &a->rules->network_drivers, admit_text(value), "network-drivers");
}

int admit_network_options(struct admit *a, const json_t *value)
{
	return each_name(a, value, &a->rules->network_options, "network-options");
}

static bool port_in(const struct policy_ports *ports, unsigned first, unsigned last)
{
	for (size_t i = 0; i < ports->n; i++)
		if (ports->v[i].first <= first && last <= ports->v[i].last)
			return true;
	return false;
}

static int published(struct admit *a, const char *address, const char *port)
{
	unsigned first = 0, last = 0;
	const struct config *c = a->facts->config;
	const char *host = *address ? address : c ? c->network_default_address : "0.0.0.0";

	if (!policy_match_any(&a->rules->publish, host))
		return admit_deny(a, host, "publish");
	int n = *port ? sscanf(port, "%u-%u", &first, &last) : 1;
	if (n == 1)
		last = first;
	if (n < 1 || !port_in(&a->rules->ports, first, last))
		return admit_deny(a, port, "ports");
	return 0;
}

int admit_port_bindings(struct admit *a, const json_t *value)
{
	const char *port;
	json_t *list, *binding;
	size_t i;

	json_object_foreach((json_t *)value, port, list) {
		json_array_foreach(list, i, binding) {
			snprintf(a->field, sizeof a->field, "HostConfig.PortBindings.%.32s", port);
			int r = published(a, admit_text(json_object_get(binding, "HostIp")),
					  admit_text(json_object_get(binding, "HostPort")));
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int admit_publish_all(struct admit *a, const json_t *value)
{
	(void)value;
	return published(a, "", "");
}

int admit_log_config(struct admit *a, const json_t *value)
{
	const char *type = admit_text(json_object_get(value, "Type")), *name;
	const char *preset = a->facts->config ? a->facts->config->log_driver : "";
	json_t *option;
	char field[sizeof a->field];

	if (*type && strcmp(type, preset) != 0)
		return admit_match(a, &a->rules->log_drivers, type, "log-drivers");
	/* Everybody has the engine's own driver as the engine has it; a collector of one's own is a power. */
	snprintf(field, sizeof field, "%s", a->field);
	json_object_foreach(json_object_get(value, "Config"), name, option) {
		if (!logopt_reaches_out(name) || policy_match_any(&a->rules->log_drivers, preset))
			continue;
		snprintf(a->field, sizeof a->field, "%.120s.Config.%.120s", field, name);
		return admit_deny_json(a, option, "log-drivers");
	}
	return 0;
}

/* ---- ceilings ---- */

static int within(struct admit *a, const char *field, int64_t value, int64_t max, const char *rule)
{
	char text[64], name[64];

	if (value > 0 && value <= max)
		return 0;
	snprintf(a->field, sizeof a->field, "%s%s", a->kind == POLICY_CREATE ? "HostConfig." : "", field);
	snprintf(text, sizeof text, value > 0 ? "%lld" : "%lld (no limit)", (long long)value);
	snprintf(name, sizeof name, "%s (%lld)", rule, (long long)max);
	return admit_deny(a, text, name);
}

static int64_t number(const json_t *host, const char *field)
{
	return json_integer_value(json_object_get(host, field));
}

int admit_memory(struct admit *a, const json_t *value)
{
	if (a->rules->memory < 0)
		return 0;
	return within(a, "Memory", json_integer_value(value), a->rules->memory, "max-memory");
}

/* Memory and swap together, as Docker counts; twice the memory is what a container gets that does not ask. */
int admit_memory_swap(struct admit *a, const json_t *value)
{
	int64_t max;

	if (a->rules->memory < 0)
		return 0;
	if (__builtin_mul_overflow(a->rules->memory, 2, &max))
		max = INT64_MAX;
	return within(a, "MemorySwap", json_integer_value(value), max, "max-memory, twice");
}

int admit_shm(struct admit *a, const json_t *value)
{
	return a->rules->shm < 0 ? 0 : within(a, "ShmSize", json_integer_value(value), a->rules->shm, "max-shm");
}

/* NanoCpus, or what CpuQuota in CpuPeriod comes to; 0 when neither is set. */
static int64_t nano_cpus(const json_t *host)
{
	int64_t quota = number(host, "CpuQuota"), period = number(host, "CpuPeriod"), nano;

	if (number(host, "NanoCpus") || quota <= 0)
		return number(host, "NanoCpus");
	if (__builtin_mul_overflow(quota, 1000000000, &nano))
		return INT64_MAX;
	return nano / (period > 0 ? period : 100000);
}

static int pids(struct admit *a, const json_t *host)
{
	int64_t asked = number(host, "PidsLimit");
	int64_t given = a->facts->config ? a->facts->config->containers_pids_limit : 0;

	if (a->kind == POLICY_UPDATE && !json_object_get(host, "PidsLimit"))
		return 0;
	if (a->kind == POLICY_UPDATE)
		given = 0; /* 0 in an update is no limit */
	return within(a, "PidsLimit", asked ? asked : given, a->rules->pids, "max-pids");
}

int admit_limits(struct admit *a, const json_t *host)
{
	const struct policy_rules *rules = a->rules;
	bool update = a->kind == POLICY_UPDATE; /* what it leaves out stays as it is */
	int r = 0;

	if (rules->memory >= 0 && !(update && !number(host, "Memory")))
		r = within(a, "Memory", number(host, "Memory"), rules->memory, "max-memory");
	bool cpus_asked = number(host, "NanoCpus") || number(host, "CpuQuota") || number(host, "CpuPeriod");
	if (r == 0 && rules->nano_cpus >= 0 && !(update && !cpus_asked))
		r = within(a, "NanoCpus", nano_cpus(host), rules->nano_cpus, "max-nano-cpus");
	if (r == 0 && rules->pids >= 0)
		r = pids(a, host);
	return r;
}
