/* check: what this host cannot do for a container, told at create with the field's name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

static void warn(json_t *warnings, const char *text)
{
	if (warnings)
		json_array_append_new(warnings, json_string(text));
}

/* ---- sysctls ---- */

static const char *const ipc_sysctls[] = {
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
};

static int check_sysctls(const struct launch_spec *spec, struct err *e)
{
	bool host_net = str_eq(doc_text(spec->host, "NetworkMode"), "host") && spec->join_net < 0;
	bool host_ipc = str_eq(doc_text(spec->host, "IpcMode"), "host");
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)json_object_get(spec->host, "Sysctls"), key, v) {
		bool ipc = str_starts(key, "fs.mqueue.");
		for (size_t i = 0; i < ARRAY_LEN(ipc_sysctls); i++)
			ipc = ipc || str_eq(key, ipc_sysctls[i]);
		if (strchr(key, '/') || strstr(key, ".."))
			return err_http(e, 400, "Sysctls: invalid name '%s'", key);
		if (ipc && host_ipc)
			return err_http(e, 400, "sysctl '%s' not allowed in host ipc namespace", key);
		if (str_starts(key, "net.") && host_net)
			return err_http(e, 400, "sysctl '%s' not allowed in host network namespace", key);
		if (!ipc && !str_starts(key, "net."))
			return err_http(e, 400, "sysctl '%s' is not whitelisted", key);
	}
	return 0;
}

static int check_annotations(const json_t *host, struct err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)json_object_get(host, "Annotations"), key, v)
		if (str_starts(key, "run.oci.") || str_starts(key, "org.systemd.property.") ||
		    str_starts(key, "org.criu."))
			return err_http(e, 400,
					"Annotations: \"%s\" would steer the "
					"runtime and is refused",
					key);
	return 0;
}

/* ---- limits ---- */

static int check_ulimits(const json_t *host, json_t *warnings, struct err *e)
{
	bool may_raise = cap_may(CAP_SYS_RESOURCE);
	char text[160];
	json_t *item;
	size_t at;

	json_array_foreach(json_object_get(host, "Ulimits"), at, item) {
		const char *name = doc_text(item, "Name");
		int64_t soft = doc_int(item, "Soft", 0), hard = doc_int(item, "Hard", 0);
		int resource = rlimit_number(name);
		struct rlimit own;
		if (resource < 0)
			return err_http(e, 400, "Ulimits: invalid ulimit type: %s", name);
		if (hard >= 0 && (soft < 0 || soft > hard))
			return err_http(e, 400,
					"Ulimits: ulimit soft limit must be less than or equal to hard limit: %s: "
					"%lld > %lld",
					name, (long long)soft, (long long)hard);
		if (may_raise || getrlimit((__rlimit_resource_t)resource, &own) < 0 || own.rlim_max == RLIM_INFINITY ||
		    (hard >= 0 && (uint64_t)hard <= own.rlim_max))
			continue;
		snprintf(text, sizeof text, "Ulimits: %s is limited to %llu: the engine may not raise it further", name,
			 (unsigned long long)own.rlim_max);
		warn(warnings, text);
	}
	return 0;
}

static bool in_list(const char *list, long n)
{
	for (const char *at = list; *at;) {
		char *end;
		long first = strtol(at, &end, 10), last = *end == '-' ? strtol(end + 1, &end, 10) : first;
		if (n >= first && n <= last)
			return true;
		if (*end != ',')
			return false;
		at = end + 1;
	}
	return false;
}

/* "0-3,7" within what the root of the hierarchy has, which is a list of the same form. */
static int check_cpuset(const json_t *host, const char *field, const char *what, const char *file, struct err *e)
{
	const char *asked = doc_text(host, field);
	char have[1024];

	if (!*asked || cgroup_read("cpuset", "", file, have, sizeof have) < 0)
		return 0;
	for (const char *at = asked; *at;) {
		char *end;
		long first = strtol(at, &end, 10), last = first;
		if (end != at && *end == '-')
			last = strtol(at = end + 1, &end, 10);
		if (end == at || last < first || (*end && *end != ','))
			return err_http(e, 400, "%s: invalid value %s", field, asked);
		for (long n = first; n <= last; n++)
			if (!in_list(have, n))
				return err_http(e, 400, "Requested %s are not available - requested %s, available: %s",
						what, asked, have);
		at = end + (*end == ',');
	}
	return 0;
}

static int check_files(const json_t *host, struct err *e)
{
	static const struct {
		const char *field, *plain, *bfq, *reason;
	} needs[] = {
		{"CpuRealtimeRuntime", "cpu/cpu.rt_runtime_us", NULL, "realtime scheduling of groups"},
		{"CpuRealtimePeriod", "cpu/cpu.rt_period_us", NULL, "realtime scheduling of groups"},
		{"BlkioWeight", "blkio/blkio.weight", "blkio/blkio.bfq.weight", "weights of block I/O"},
		{"BlkioWeightDevice", "blkio/blkio.weight_device", "blkio/blkio.bfq.weight_device",
		 "weights of block I/O by device"},
	};
	char plain[96], bfq[96];

	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		json_t *v = json_object_get(host, needs[i].field);
		bool blkio = needs[i].bfq != NULL;
		if (json_integer_value(v) == 0 && json_array_size(v) == 0)
			continue;
		snprintf(plain, sizeof plain, "/sys/fs/cgroup/%s", needs[i].plain);
		snprintf(bfq, sizeof bfq, "/sys/fs/cgroup/%s", blkio ? needs[i].bfq : needs[i].plain);
		if ((blkio && cgroup_is_v2()) || access(plain, F_OK) == 0 || access(bfq, F_OK) == 0)
			continue;
		return err_http(e, 400, "%s: the kernel has no %s", needs[i].field, needs[i].reason);
	}
	return 0;
}

/* The kernel takes a device's weight while its scheduler is BFQ. */
static int check_weights(const json_t *host, struct err *e)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(host, "BlkioWeightDevice"), i, item) {
		const char *path = doc_text(item, "Path");
		char name[80], text[256] = "";
		struct stat st;
		if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
			continue; /* told by the check of the documents */
		snprintf(name, sizeof name, "/sys/dev/block/%u:%u/queue/scheduler", major(st.st_rdev),
			 minor(st.st_rdev));
		AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fd_read_full(fd, text, sizeof text - 1, NULL) < 0 || !strstr(text, "[bfq]"))
			return err_http(e, 400, "BlkioWeightDevice: %s has no weights: its I/O scheduler is not bfq",
					path);
	}
	return 0;
}

int launch_check_limits(const json_t *host, json_t *warnings, struct err *e)
{
	const char *effective = cgroup_is_v2() ? ".effective" : "";
	char cpus[40], mems[40];

	snprintf(cpus, sizeof cpus, "cpuset.cpus%s", effective);
	snprintf(mems, sizeof mems, "cpuset.mems%s", effective);
	int r = check_files(host, e);
	if (r == 0)
		r = check_weights(host, e);
	if (r == 0)
		r = check_cpuset(host, "CpusetCpus", "CPUs", cpus, e);
	if (r == 0)
		r = check_cpuset(host, "CpusetMems", "memory nodes", mems, e);
	if (r == 0)
		r = check_ulimits(host, warnings, e);
	if (r < 0)
		return r;
	if (cgroup_is_v2() && doc_int(host, "MemorySwappiness", -1) >= 0)
		warn(warnings, "MemorySwappiness: cgroup v2 has no such setting; it is not used");
	if (cgroup_is_v2() && doc_true(host, "OomKillDisable"))
		warn(warnings, "OomKillDisable: cgroup v2 has no such setting; it is not used");
	if (doc_int(host, "OomScoreAdj", 0) < oom_score_least())
		warn(warnings, "OomScoreAdj: raised to the engine's own: it may not set a lower one");
	return 0;
}

/* ---- the rest ---- */

static int check_ids(const struct launch *l, const struct launch_spec *spec, struct err *e)
{
	if (spec->ids.size && l->no_idmap)
		return err_http(e, 400, "ids cannot be mapped, only UsernsMode=host is possible here: %s", l->no_idmap);
	return 0;
}

char *launch_clean_target(const char *path)
{
	char *out = xcalloc(strlen(path) + 2, 1);
	size_t n = 0;

	for (const char *at = path + strspn(path, "/"); *at; at += strspn(at, "/")) {
		size_t len = strcspn(at, "/");
		if (len == 2 && at[0] == '.' && at[1] == '.') {
			while (n && out[--n] != '/')
				;
		} else if (len != 1 || at[0] != '.') {
			out[n++] = '/';
			memcpy(out + n, at, len);
			n += len;
		}
		at += len;
	}
	if (n == 0)
		out[n++] = '/';
	out[n] = '\0';
	return out;
}

/*
 * Files of /proc that tell what the machine has, which a bind may tell in another way (lxcfs): those of runc, without
 * /proc/net/dev: every process has one of its own, so that a mount reaches none but the runtime's.
 */
static const char *const told[] = {
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo",
	"/proc/stat",	 "/proc/swaps",	    "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo",  "/proc/sys/kernel/ns_last_pid",
};

static bool is_told(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		if (str_eq(path, told[i]))
			return true;
	return false;
}

/* What would take the place of the kernel's own files, by which a container is confined and looked at. */
int target_check(const char *given, bool file, struct err *e)
{
	AUTO_FREE char *path = launch_clean_target(given);

	if (given[0] != '/' || str_eq(path, "/"))
		return err_http(e, 400, "invalid specification: destination can't be '%s'", given);
	if (file && is_told(path))
		return 0;
	if (str_eq(path, "/proc") || str_starts(path, "/proc/"))
		return err_http(e, 400, "a mount at %s would hide the container's own /proc", path);
	if (str_eq(path, "/sys"))
		return err_http(e, 400, "a mount at /sys would hide the container's own");
	return 0;
}

int launch_check_mount(const struct launch_ids *ids, const struct launch_mount *m, struct err *e)
{
	AUTO_CLOSE int user = -1;
	AUTO_CLOSE int net = -1;
	struct stat st;
	bool file = m->source >= 0 && fstat(m->source, &st) == 0 && S_ISREG(st.st_mode);
	int r = target_check(m->destination, file, e);

	if (r == 0 && ids->size && (m->propagation == LAUNCH_RSHARED || m->propagation == LAUNCH_SHARED))
		r = err_http(e, 400, "mount %s: shared propagation needs UsernsMode=host", m->destination);
	if (r < 0 || !ids->size || m->source < 0 || m->plain)
		return r;
	/* Can it be idmapped? Found out by doing it. */
	r = namespaces_make(ids, false, -1, &user, &net, e);
	if (r < 0)
		return r;
	AUTO_CLOSE int fd = clone_mount(m->source, m->recursive, false, MS_PRIVATE, user, e);
	return fd < 0 ? err_prefix(e, "mount %s at %s", m->name, m->destination), e->code : 0;
}

/* Plain names: the path is put behind that of each hierarchy. */
static int check_cgroup_parent(const json_t *host, struct err *e)
{
	const char *parent = doc_text(host, "CgroupParent");
	bool plain = strlen(parent) < 256;

	for (const char *at = parent; *at && plain;) {
		size_t n = strcspn(at, "/");
		plain = n ? *at != '.' && *at != '-' : at == parent;
		at += n + (at[n] == '/');
	}
	return plain && !str_eq(parent, "/")
		       ? 0
		       : err_http(e, 400, "CgroupParent: \"%s\" is not a path of plain names", parent);
}

static int check_storage(const json_t *host, struct err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach(json_object_get(host, "StorageOpt"), key, v) {
		if (!str_eq(key, "size"))
			return err_http(e, 400, "StorageOpt: unknown option \"%s\": only size is known", key);
		if (!storage_size(host))
			return err_http(e, 400, "StorageOpt: size: \"%.100s\" is no size, as 500m or 10g",
					json_is_string(v) ? json_string_value(v) : "");
	}
	return 0;
}

static int check_modes(const struct launch *l, const struct launch_spec *spec, struct err *e)
{
	const json_t *host = spec->host;
	int r = check_cgroup_parent(host, e);

	if (r == 0)
		r = check_storage(host, e);
	if (r < 0)
		return r;
	if (doc_true(host, "Init") && (!l->c.init || access(l->c.init, X_OK) < 0))
		return err_http(e, 400, "Init: there is no init program at %s",
				l->c.init ? l->c.init : "(none configured)");
	if (json_array_size(json_object_get(host, "DeviceRequests")))
		return err_http(e, 400,
				"could not select device driver: DeviceRequests need CDI, which this engine has not");
	if (*doc_text(host, "Isolation") && !str_eq(doc_text(host, "Isolation"), "default"))
		return err_http(e, 400, "Isolation: only \"default\" exists on Linux");
	if (spec->ids.size && str_eq(doc_text(host, "PidMode"), "host"))
		return err_http(e, 400, "PidMode=host needs UsernsMode=host");
	if (spec->ids.size && str_eq(doc_text(host, "IpcMode"), "host"))
		return err_http(e, 400, "IpcMode=host needs UsernsMode=host");
	if (spec->ids.size && doc_true(host, "Privileged"))
		return err_http(e, 400, "Privileged needs UsernsMode=host");
	return 0;
}

static int check_documents(struct launch *l, const struct launch_spec *spec, struct err *e)
{
	struct bundle b = {.launch = l,
			   .id = spec->id,
			   .config = spec->config,
			   .host = spec->host,
			   .ids = spec->ids,
			   .stage = "/",
			   .user_fd = -1,
			   .net_fd = -1,
			   .ipc_fd = spec->join_ipc,
			   .pid_fd = spec->join_pid,
			   .uts_fd = spec->join_uts,
			   .nodes_fd = -1,
			   .cgroup = "/"};
	json_t *document = NULL;

	/* What a start would find wrong is found now: devices, options, capabilities, the seccomp profile, the command.
	 */
	int r = bundle_make(&b, &document, e);
	json_decref(document);
	return r;
}

int launch_check(struct launch *l, const struct launch_spec *spec, json_t *warnings, struct err *e)
{
	int r = runtime_of(l, spec->host, e) ? 0 : -EINVAL;

	if (r == 0)
		r = check_modes(l, spec, e);
	if (r == 0)
		r = check_ids(l, spec, e);
	if (r == 0)
		r = check_sysctls(spec, e);
	if (r == 0)
		r = check_annotations(spec->host, e);
	if (r == 0)
		r = launch_check_limits(spec->host, warnings, e);
	for (size_t i = 0; r == 0 && i < spec->nmounts; i++)
		r = launch_check_mount(&spec->ids, &spec->mounts[i], e);
	return r == 0 ? check_documents(l, spec, e) : r;
}

int64_t oom_score_least(void)
{
	AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (cap_may(CAP_SYS_RESOURCE))
		return -1000;
	if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
		return 0;
	return strtol(text, NULL, 10);
}
