/* inspect: GET /containers/{id}/json. */
#include <errno.h>

#include "runtimed/exec.h"
#include "runtimed/files.h"
#include "runtimed/health.h"
#include "runtimed/links.h"
#include "runtimed/mounts.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"
#include "runtimed/show.h"
#include "lib/times.h"

/* What Docker's clients find in HostConfig even when nobody set it. */
static json_t *host_defaults(void)
{
	static const char *const nulls[] = {
		"Binds",	"VolumesFrom", "CapAdd",	   "CapDrop",		"ExtraHosts",
		"GroupAdd",	"Links",       "SecurityOpt",	   "DeviceCgroupRules", "DeviceRequests",
		"Ulimits",	"PidsLimit",   "MemorySwappiness", "OomKillDisable",	"MaskedPaths",
		"ReadonlyPaths"};
	static const char *const texts[] = {"ContainerIDFile", "VolumeDriver", "Cgroup",    "PidMode",
					    "UTSMode",	       "UsernsMode",   "Isolation", "CgroupParent",
					    "CpusetCpus",      "CpusetMems"};
	static const char *const numbers[] = {"OomScoreAdj",	   "CpuShares",		"Memory",
					      "NanoCpus",	   "BlkioWeight",	"CpuPeriod",
					      "CpuQuota",	   "CpuRealtimePeriod", "CpuRealtimeRuntime",
					      "MemoryReservation", "MemorySwap",	"CpuCount",
					      "CpuPercent",	   "IOMaximumIOps",	"IOMaximumBandwidth"};
	static const char *const flags[] = {"AutoRemove", "Privileged", "PublishAllPorts", "ReadonlyRootfs"};
	static const char *const lists[] = {"Dns",
					    "DnsOptions",
					    "DnsSearch",
					    "BlkioWeightDevice",
					    "BlkioDeviceReadBps",
					    "BlkioDeviceWriteBps",
					    "BlkioDeviceReadIOps",
					    "BlkioDeviceWriteIOps",
					    "Devices"};
	json_t *o = json_pack("{s:[ii] s:{} s:{s:s s:i}}", "ConsoleSize", 0, 0, "PortBindings", "RestartPolicy", "Name",
			      "no", "MaximumRetryCount", 0);

	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		json_object_set_new(o, nulls[i], json_null());
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		json_object_set_new(o, texts[i], json_string(""));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		json_object_set_new(o, numbers[i], json_integer(0));
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		json_object_set_new(o, flags[i], json_false());
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		json_object_set_new(o, lists[i], json_array());
	return o;
}

/* What holds when nothing is said. With Privileged and systempaths=unconfined nothing is hidden. */
static void show_paths(json_t *o)
{
	const json_t *option;
	size_t i;

	if (json_is_true(json_object_get(o, "Privileged")))
		return;
	json_array_foreach(json_object_get(o, "SecurityOpt"), i, option) {
		if (str_eq(json_string_value(option), "systempaths=unconfined"))
			return;
	}
	if (!json_is_array(json_object_get(o, "MaskedPaths")))
		json_object_set_new(o, "MaskedPaths", launch_masked_paths());
	if (!json_is_array(json_object_get(o, "ReadonlyPaths")))
		json_object_set_new(o, "ReadonlyPaths", launch_readonly_paths());
}

static json_t *host_shown(const struct container *c)
{
	json_t *o = host_defaults(), *policy;

	json_object_update(o, c->host);
	show_paths(o);
	if (json_array_size(json_object_get(c->host, "Links")))
		json_object_set_new(o, "Links", links_shown(c));
	policy = json_object_get(o, "RestartPolicy");
	if (!json_object_get(policy, "MaximumRetryCount")) {
		policy = json_copy(policy);
		json_object_set_new(policy, "MaximumRetryCount", json_integer(0));
		json_object_set_new(o, "RestartPolicy", policy);
	}
	return o;
}

static json_t *config_shown(const struct container *c, const struct ipc_request *req)
{
	static const char *const flags[] = {"AttachStdin", "AttachStdout", "AttachStderr",
					    "Tty",	   "OpenStdin",	   "StdinOnce"};
	json_t *o = json_pack("{s:s s:s s:s s:[] s:n s:s s:n s:s s:n s:n s:{}}", "Hostname", "", "Domainname", "",
			      "User", "", "Env", "Cmd", "Image", "", "Volumes", "WorkingDir", "", "Entrypoint",
			      "OnBuild", "Labels");

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		json_object_set_new(o, flags[i], json_false());
	json_object_update(o, c->config);
	show_env(o, req);
	return o;
}

json_t *state_shown(const struct container *c)
{
	const struct container_state *s = &c->state;
	char started[TIME_TEXT], finished[TIME_TEXT];
	json_t *o =
		json_pack("{s:s s:b s:b s:b s:b s:b s:i s:i s:s s:s s:s}", "Status",
			  s->status == CT_REMOVING ? "removing" : container_status_name(s->status), "Running",
			  container_running(c), "Paused", s->status == CT_PAUSED, "Restarting",
			  s->status == CT_RESTARTING, "OOMKilled", s->oom_killed, "Dead", s->status == CT_DEAD, "Pid",
			  (int)s->pid, "ExitCode", s->exit_code, "Error", s->error ? s->error : "", "StartedAt",
			  time_rfc3339(s->started, started), "FinishedAt", time_rfc3339(s->finished, finished));
	json_t *health = health_shown(c);

	if (health)
		json_object_set_new(o, "Health", health);
	if (s->status == CT_EXITED && s->stopped_by_user)
		json_object_set_new(o, "PouchStatus", json_string("stopped"));
	return o;
}

static json_t *exec_ids(const struct container *c)
{
	struct exec *x;
	json_t *ids = NULL;

	TAILQ_FOREACH(x, &c->execs, link) {
		if (x->status == EXEC_ENDED || x->hidden)
			continue;
		if (!ids)
			ids = json_array();
		json_array_append_new(ids, json_string(x->id));
	}
	return ids ? ids : json_null();
}

/* Entrypoint and Cmd as one list: what is executed. */
static void show_command(json_t *o, const struct container *c)
{
	json_t *all = json_array();
	const json_t *parts[] = {json_object_get(c->config, "Entrypoint"), json_object_get(c->config, "Cmd")};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i])
			json_array_extend(all, (json_t *)(uintptr_t)parts[i]);
	const char *path = json_string_value(json_array_get(all, 0));
	json_object_set_new(o, "Path", json_string(path ? path : ""));
	json_array_remove(all, 0);
	json_object_set_new(o, "Args", all);
}

static char *state_path(const struct container *c, const char *file)
{
	return xasprintf("%s/runtimed/containers/%s/%s", c->rt->d.root, c->id, file);
}

static void show_path(json_t *o, const char *key, const struct container *c, const char *file)
{
	AUTO_FREE char *path = file ? state_path(c, file) : xstrdup("");

	json_object_set_new(o, key, json_string(path));
}

/* The layers, the topmost first, and what the container writes. The merged tree is in its own mount namespace alone. */
static json_t *graph_shown(const struct container *c)
{
	AUTO_FREE char *upper = state_path(c, "upper"), *work = state_path(c, "work"), *lower = NULL;
	size_t len;
	FILE *text = open_memstream(&lower, &len);

	for (size_t i = json_array_size(c->layers); text && i-- > 0;)
		fprintf(text, "%s/imaged/layers/%s%s", c->rt->d.root, json_string_value(json_array_get(c->layers, i)),
			i ? ":" : "");
	if (!text || fclose(text) != 0)
		abort();
	return json_pack("{s:s s:{s:s s:s s:s}}", "Name", "overlay2", "Data", "LowerDir", lower, "UpperDir", upper,
			 "WorkDir", work);
}

static json_t *inspect(const struct container *c, const struct ipc_request *req)
{
	char created[TIME_TEXT];
	AUTO_FREE char *name = xasprintf("/%s", c->name), *log = xasprintf("log/%s-json.log", c->id);
	const char *driver = json_text(json_object_get(c->host, "LogConfig"), "Type");
	bool file = str_eq(driver, "json-file") || str_eq(driver, "local");
	json_t *o = json_pack("{s:s s:s s:o s:s s:s s:i s:s s:s s:s s:s s:s}", "Id", c->id, "Created",
			      time_rfc3339(c->created, created), "State", state_shown(c), "Image", c->image, "Name",
			      name, "RestartCount", (int)c->state.restart_count, "Driver", "overlay2", "Platform",
			      "linux", "MountLabel", "", "ProcessLabel", "", "AppArmorProfile", "");

	show_command(o, c);
	show_path(o, "ResolvConfPath", c, "files/resolv.conf");
	show_path(o, "HostnamePath", c, "files/hostname");
	show_path(o, "HostsPath", c, "files/hosts");
	show_path(o, "LogPath", c, file ? log : NULL);
	json_object_set_new(o, "GraphDriver", graph_shown(c));
	json_object_set_new(o, "ExecIDs", exec_ids(c));
	json_object_set_new(o, "HostConfig", host_shown(c));
	json_object_set_new(o, "Config", config_shown(c, req));
	json_object_set_new(o, "Mounts", mounts_shown(c));
	json_object_set_new(o, "NetworkSettings", networks_shown(c));
	return o;
}

void show_env(json_t *config, const struct ipc_request *req)
{
	json_t *env = json_object_get(config, "Env");

	if (json_array_size(env) && !guard_may(req, "container.inspect.env"))
		json_object_set_new(config, "Env", guard_redact_env(env));
}

static void on_size(struct container *c, int64_t rw, int64_t root, const struct err *e, void *arg)
{
	struct ipc_request *req = arg;

	if (e) {
		ipc_reply_error(req, e);
		return;
	}
	json_t *o = inspect(c, req);
	json_object_set_new(o, "SizeRw", json_integer(rw));
	json_object_set_new(o, "SizeRootFs", json_integer(root));
	ipc_reply_json(req, 200, o);
}

void on_container_inspect(struct ipc_request *req, struct container_inspect *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);

	if (!c)
		return;
	if (m->size)
		files_size(c, on_size, req);
	else
		ipc_reply_json(req, 200, inspect(c, req));
}
