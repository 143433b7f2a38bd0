/* bundle: config.json (OCI runtime spec) from the canonical documents. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

static const char *const masked_paths[] = {
	"/proc/asound",	     "/proc/acpi",	    "/proc/interrupts", "/proc/kcore",
	"/proc/keys",	     "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
	"/proc/sched_debug", "/proc/scsi",	    "/sys/firmware",	"/sys/devices/virtual/powercap",
	"/sys/fs/selinux",
};
static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* ---- paths of /proc and /sys ---- */

static json_t *list_of(const char *const *words, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(words[i]));
	return list;
}

/* And each CPU's temperature events, which tell of what else the host does. Looked for once: every inspect shows them.
 */
json_t *launch_masked_paths(void)
{
	static json_t *list;
	char path[80];

	if (list)
		return json_incref(list);
	list = list_of(masked_paths, ARRAY_LEN(masked_paths));
	const long cpus = sysconf(_SC_NPROCESSORS_CONF);
	for (long i = 0; i < cpus; i++) {
		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%ld/thermal_throttle", i);
		if (access(path, F_OK) == 0)
			json_array_append_new(list, json_string(path));
	}
	return json_incref(list);
}

json_t *launch_readonly_paths(void)
{
	return list_of(readonly_paths, ARRAY_LEN(readonly_paths));
}

/* ---- process ---- */

static bool env_has(const json_t *env, const char *name)
{
	size_t n = strlen(name), i;
	json_t *item;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item);
		if (text && strncmp(text, name, n) == 0 && (text[n] == '=' || text[n] == '\0'))
			return true;
	}
	return false;
}

static json_t *env_of(const json_t *config, const json_t *more, bool tty, const char *hostname)
{
	json_t *env = json_array(), *item;
	const json_t *own = json_object_get(config, "Env");
	size_t i;

	if (!env_has(own, "PATH") && !env_has(more, "PATH"))
		json_array_append_new(env,
				      json_string("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	if (!env_has(own, "HOSTNAME") && !env_has(more, "HOSTNAME") && *hostname)
		json_array_append_new(env, json_sprintf("HOSTNAME=%s", hostname));
	if (tty && !env_has(own, "TERM") && !env_has(more, "TERM"))
		json_array_append_new(env, json_string("TERM=xterm"));
	json_array_foreach(own, i, item) {
		const char *text = json_string_value(item);
		size_t n = text ? strcspn(text, "=") : 0;
		AUTO_FREE char *name = xstrndup(text ? text : "", n);
		/* "NAME" without a value takes it away; what an exec sets anew does not stand twice. */
		if (text && text[n] == '=' && !env_has(more, name))
			json_array_append(env, item);
	}
	json_array_foreach(more, i, item)
		if (json_string_value(item) && strchr(json_string_value(item), '='))
			json_array_append(env, item);
	return env;
}

static json_t *cap_list(uint64_t caps)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < CAP_COUNT; i++)
		if (caps & 1ull << i)
			json_array_append_new(list, json_string(cap_name(i)));
	return list;
}

/* Never inheritable or ambient: a program that is not set-id root gains nothing by exec. */
static json_t *capabilities_of(uint64_t caps, bool root)
{
	json_t *o = json_object();

	json_object_set_new(o, "bounding", cap_list(caps));
	json_object_set_new(o, "effective", cap_list(root ? caps : 0));
	json_object_set_new(o, "permitted", cap_list(root ? caps : 0));
	json_object_set_new(o, "inheritable", json_array());
	json_object_set_new(o, "ambient", json_array());
	return o;
}

static json_t *user_of(const struct bundle *b)
{
	json_t *user = json_pack("{s:I, s:I, s:i}", "uid", (json_int_t)b->uid, "gid", (json_int_t)b->gid, "umask", 022);
	json_t *groups = json_array();

	for (size_t i = 0; i < b->ngroups; i++)
		json_array_append_new(groups, json_integer(b->groups[i]));
	json_object_set_new(user, "additionalGids", groups);
	return user;
}

static const char *hostname_of(const struct bundle *b, char out[128])
{
	const char *name = doc_text(b->config, "Hostname");

	snprintf(out, 128, "%s", *name ? name : "");
	if (!*name && !str_eq(doc_text(b->host, "UTSMode"), "host"))
		snprintf(out, 128, "%.12s", b->id);
	return out;
}

static json_t *args_of(const struct bundle *b, bool init)
{
	json_t *args = json_array(), *item;
	size_t i;

	if (init) {
		json_array_append_new(args, json_string("/sbin/docker-init"));
		json_array_append_new(args, json_string("--"));
	}
	json_array_foreach(json_object_get(b->config, "Entrypoint"), i, item)
		json_array_append(args, item);
	json_array_foreach(json_object_get(b->config, "Cmd"), i, item)
		json_array_append(args, item);
	return args;
}

static void add_console(json_t *process, bool tty, int64_t rows, int64_t columns)
{
	json_object_set_new(process, "terminal", json_boolean(tty));
	if (tty && rows > 0 && columns > 0)
		json_object_set_new(process, "consoleSize",
				    json_pack("{s:I, s:I}", "height", (json_int_t)rows, "width", (json_int_t)columns));
}

static json_t *oom_score(const json_t *host)
{
	int64_t score = doc_int(host, "OomScoreAdj", 0), least = oom_score_least();

	return json_integer(score < least ? least : score);
}

static int process_of(const struct bundle *b, const struct security *sec, uint64_t caps, json_t **out, struct err *e)
{
	bool tty = doc_true(b->config, "Tty");
	const json_t *size = json_object_get(b->host, "ConsoleSize");
	const char *cwd = b->workdir ? b->workdir : doc_text(b->config, "WorkingDir");
	char hostname[128];

	json_t *args = args_of(b, doc_true(b->host, "Init"));
	if (json_array_size(args) == 0) {
		json_decref(args);
		return err_http(e, 400, "no command specified");
	}
	json_t *p = json_object();
	json_object_set_new(p, "user", user_of(b));
	json_object_set_new(p, "args", args);
	json_object_set_new(p, "env", env_of(b->config, NULL, tty, hostname_of(b, hostname)));
	json_object_set_new(p, "cwd", json_string(*cwd ? cwd : "/"));
	json_object_set_new(p, "capabilities", capabilities_of(caps, b->uid == 0));
	json_object_set_new(p, "noNewPrivileges", json_boolean(sec->no_new_privileges));
	json_object_set_new(p, "rlimits", bundle_rlimits(b->host));
	add_console(p, tty, json_integer_value(json_array_get(size, 0)), json_integer_value(json_array_get(size, 1)));
	if (*sec->apparmor)
		json_object_set_new(p, "apparmorProfile", json_string(sec->apparmor));
	*out = p;
	return 0;
}

int bundle_exec(const struct bundle *b, const json_t *exec, unsigned rows, unsigned columns, json_t **out,
		struct err *e)
{
	bool tty = doc_true(exec, "Tty"), privileged = doc_true(exec, "Privileged");
	const char *cwd = doc_text(exec, "WorkingDir");
	struct security sec;
	char hostname[128];
	uint64_t caps;

	int r = security_parse(b->launch, b->host, &sec, e);
	if (r == 0)
		r = cap_of_host(b->launch, b->host, b->ids.size, &caps, e);
	if (r < 0)
		return r;
	if (privileged)
		caps = b->ids.size ? (1ull << CAP_COUNT) - 1 : b->launch->capabilities;
	if (!*cwd)
		cwd = doc_text(b->config, "WorkingDir");
	json_t *p = json_object();
	json_object_set_new(p, "user", user_of(b));
	json_object_set(p, "args", json_object_get(exec, "Cmd"));
	json_object_set_new(p, "env", env_of(b->config, json_object_get(exec, "Env"), tty, hostname_of(b, hostname)));
	json_object_set_new(p, "cwd", json_string(*cwd ? cwd : "/"));
	json_object_set_new(p, "capabilities", capabilities_of(caps, b->uid == 0));
	json_object_set_new(p, "noNewPrivileges", json_boolean(sec.no_new_privileges && !privileged));
	json_object_set_new(p, "rlimits", bundle_rlimits(b->host));
	json_object_set_new(p, "oomScoreAdj", oom_score(b->host));
	add_console(p, tty, rows, columns);
	if (*sec.apparmor && !privileged)
		json_object_set_new(p, "apparmorProfile", json_string(sec.apparmor));
	*out = p;
	return 0;
}

/* ---- linux ---- */

/* Not as /proc/self/…: runc opens them in a child that has not inherited them. */
static void add_namespace(const struct bundle *b, json_t *list, const char *type, int fd)
{
	json_t *o = json_object();

	json_object_set_new(o, "type", json_string(type));
	if (fd >= 0)
		json_object_set_new(o, "path", json_sprintf("/proc/%d/fd/%d", (int)b->starter, fd));
	json_array_append_new(list, o);
}

static bool cgroup_private(const struct bundle *b)
{
	const char *mode = doc_text(b->host, "CgroupnsMode");

	/* Docker's defaults: private with v2, the host's with v1 and for privileged containers. */
	return *mode ? str_eq(mode, "private") : cgroup_is_v2() && !doc_true(b->host, "Privileged");
}

static json_t *namespaces_of(const struct bundle *b)
{
	json_t *list = json_array();

	add_namespace(b, list, "mount", -1);
	if (b->user_fd >= 0)
		add_namespace(b, list, "user", b->user_fd);
	if (!b->host_net)
		add_namespace(b, list, "network", b->net_fd);
	if (b->pid_fd >= 0 || !str_eq(doc_text(b->host, "PidMode"), "host"))
		add_namespace(b, list, "pid", b->pid_fd);
	if (b->ipc_fd >= 0 || !str_eq(doc_text(b->host, "IpcMode"), "host"))
		add_namespace(b, list, "ipc", b->ipc_fd);
	if (b->uts_fd >= 0 || !str_eq(doc_text(b->host, "UTSMode"), "host"))
		add_namespace(b, list, "uts", b->uts_fd);
	if (cgroup_private(b))
		add_namespace(b, list, "cgroup", -1);
	return list;
}

static int add_filter(const struct bundle *b, const struct security *sec, uint64_t caps, json_t *linux_,
		      json_t *annotations, struct err *e)
{
	const struct launch_runtime *rt = runtime_of(b->launch, b->host, e);
	const char *filter = NULL;
	json_t *oci = NULL;

	if (!rt)
		return e ? e->code : -EINVAL;
	if (sec->unconfined_seccomp)
		return 0;
	if (rt->bpf_annotation) {
		int r = seccomp_filter(b->launch, sec->seccomp, caps, &filter, e);
		if (r == 0 && filter)
			json_object_set_new(annotations, "run.oci.seccomp_bpf_data", json_string(filter));
		return r;
	}
	int r = seccomp_oci(b->launch, sec->seccomp, caps, &oci, e);
	if (r == 0 && oci)
		json_object_set_new(linux_, "seccomp", oci);
	return r;
}

static void add_sysctls(const struct bundle *b, json_t *linux_)
{
	json_t *all = json_object(), *v;
	const char *key;

	/* Every container may bind any port, and ping: both are confined to its own network namespace. */
	if (!b->host_net && b->net_fd >= 0 && b->launch && !doc_true(b->host, "Privileged")) {
		json_object_set_new(all, "net.ipv4.ip_unprivileged_port_start", json_string("0"));
		if (b->ids.size)
			json_object_set_new(all, "net.ipv4.ping_group_range", json_sprintf("0 %u", b->ids.size - 1));
	}
	json_object_foreach((json_t *)(uintptr_t)json_object_get(b->host, "Sysctls"), key, v)
		json_object_set(all, key, v);
	if (json_object_size(all))
		json_object_set(linux_, "sysctl", all);
	json_decref(all);
}

static json_t *mapping(const struct launch_ids *ids)
{
	return json_pack("[{s:i, s:I, s:I}]", "containerID", 0, "hostID", (json_int_t)ids->base, "size",
			 (json_int_t)ids->size);
}

/* A mount cannot take part in more than its root does. */
static const char *root_propagation(const struct bundle *b)
{
	const char *most = "rprivate";

	for (size_t i = 0; i < b->nmounts; i++) {
		if (b->mounts[i].propagation == LAUNCH_RSHARED || b->mounts[i].propagation == LAUNCH_SHARED)
			return "rshared";
		if (b->mounts[i].propagation == LAUNCH_RSLAVE || b->mounts[i].propagation == LAUNCH_SLAVE)
			most = "rslave";
	}
	return most;
}

static int linux_of(const struct bundle *b, const struct security *sec, uint64_t caps, json_t *config, struct err *e)
{
	json_t *l = json_object(), *resources = json_object(), *annotations = json_object();

	json_object_set_new(config, "linux", l);
	json_object_set_new(config, "annotations", annotations);
	json_object_update(annotations, (json_t *)(uintptr_t)json_object_get(b->host, "Annotations"));
	json_object_set_new(l, "namespaces", namespaces_of(b));
	json_object_set_new(l, "resources", resources);
	json_object_set_new(l, "cgroupsPath", json_string(b->cgroup));
	json_object_set_new(l, "rootfsPropagation", json_string(root_propagation(b)));
	if (b->user_fd >= 0) {
		json_object_set_new(l, "uidMappings", mapping(&b->ids));
		json_object_set_new(l, "gidMappings", mapping(&b->ids));
	}
	if (!sec->unconfined_paths) {
		json_t *masked = json_object_get(b->host, "MaskedPaths");
		json_t *readonly = json_object_get(b->host, "ReadonlyPaths");
		json_object_set_new(l, "maskedPaths",
				    json_is_array(masked) ? json_incref(masked) : launch_masked_paths());
		json_object_set_new(l, "readonlyPaths",
				    json_is_array(readonly) ? json_incref(readonly) : launch_readonly_paths());
	}
	add_sysctls(b, l);
	int r = bundle_resources(b->launch, b->host, resources, e);
	if (r == 0)
		r = bundle_devices(b, l, resources, json_object_get(config, "mounts"), e);
	if (r == 0)
		r = add_filter(b, sec, caps, l, annotations, e);
	return r;
}

int bundle_make(const struct bundle *b, json_t **out, struct err *e)
{
	json_t *config = json_object(), *process = NULL, *mounts = json_array();
	char hostname[128], root[300];
	struct security sec;
	uint64_t caps = 0;

	json_object_set_new(config, "mounts", mounts);
	int r = security_parse(b->launch, b->host, &sec, e);
	if (r == 0)
		r = cap_of_host(b->launch, b->host, b->ids.size, &caps, e);
	if (r == 0)
		r = process_of(b, &sec, caps, &process, e);
	if (r == 0) {
		json_object_set_new(process, "oomScoreAdj", oom_score(b->host));
		json_object_set_new(config, "process", process);
		r = bundle_mounts(b, mounts, e);
	}
	if (r == 0)
		r = linux_of(b, &sec, caps, config, e);
	if (r < 0) {
		json_decref(config);
		return r;
	}
	snprintf(root, sizeof root, "%s/root", b->stage);
	json_object_set_new(config, "ociVersion", json_string("1.0.2"));
	json_object_set_new(config, "root",
			    json_pack("{s:s, s:b}", "path", root, "readonly", doc_true(b->host, "ReadonlyRootfs")));
	if (*hostname_of(b, hostname) && b->uts_fd < 0 && !str_eq(doc_text(b->host, "UTSMode"), "host"))
		json_object_set_new(config, "hostname", json_string(hostname));
	if (*doc_text(b->config, "Domainname") && b->uts_fd < 0 && !str_eq(doc_text(b->host, "UTSMode"), "host"))
		json_object_set_new(config, "domainname", json_string(doc_text(b->config, "Domainname")));
	*out = config;
	return 0;
}
