/*
 * limits: new limits for a running container. What HostConfig comes to in the files of its cgroup is written down for
 * the old and for the new document; the difference is written to the kernel, and taken back when one is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

#define NONE (-1) /* no limit; the kernel's word for it depends on the file */

struct limit {
	const char *field;	/* of HostConfig, for messages */
	const char *controller; /* v1's hierarchy */
	const char *file;
	char device[32]; /* "8:0", in files with a line for each; else "" */
	char value[64];
};

struct limits {
	struct limit *v;
	size_t n;
};

static struct limit *add(struct limits *all, const char *field, const char *controller, const char *file)
{
	all->v = xrealloc(all->v, all->n + 1, sizeof *all->v);
	struct limit *l = &all->v[all->n++];
	*l = (struct limit){.field = field, .controller = controller, .file = file};
	return l;
}

static void add_number(struct limits *all, const char *field, const char *controller, const char *file, int64_t value)
{
	struct limit *l = add(all, field, controller, file);

	if (value == NONE && (cgroup_is_v2() || str_eq(controller, "pids")))
		snprintf(l->value, sizeof l->value, "max");
	else
		snprintf(l->value, sizeof l->value, "%lld", (long long)value);
}

static int64_t or_none(int64_t value)
{
	return value > 0 ? value : NONE;
}

/* ---- the documents' fields ---- */

static void memory_of(const json_t *host, struct limits *all)
{
	int64_t limit = doc_int(host, "Memory", 0), swap = doc_int(host, "MemorySwap", 0);
	int64_t reserved = doc_int(host, "MemoryReservation", 0), swappiness = doc_int(host, "MemorySwappiness", -1);

	if (limit > 0 && swap == 0)
		swap = limit * 2;
	if (cgroup_is_v2()) {
		add_number(all, "Memory", "", "memory.max", or_none(limit));
		add_number(all, "MemorySwap", "", "memory.swap.max", swap > 0 ? swap - limit : NONE);
		add_number(all, "MemoryReservation", "", "memory.low", reserved);
		return;
	}
	add_number(all, "Memory", "memory", "memory.limit_in_bytes", or_none(limit));
	add_number(all, "MemorySwap", "memory", "memory.memsw.limit_in_bytes", or_none(swap));
	add_number(all, "MemoryReservation", "memory", "memory.soft_limit_in_bytes", or_none(reserved));
	if (swappiness >= 0)
		add_number(all, "MemorySwappiness", "memory", "memory.swappiness", swappiness);
	add_number(all, "OomKillDisable", "memory", "memory.oom_control", doc_true(host, "OomKillDisable"));
}

/* crun's and systemd's mapping of 2…262144 to 1…10000 */
static int64_t cpu_weight(int64_t shares)
{
	return 1 + (shares - 2) * 9999 / 262142;
}

static void cpu_of(const json_t *host, struct limits *all)
{
	int64_t shares = doc_int(host, "CpuShares", 0), nano = doc_int(host, "NanoCpus", 0);
	int64_t quota = doc_int(host, "CpuQuota", 0), period = doc_int(host, "CpuPeriod", 0);
	int64_t rt_runtime = doc_int(host, "CpuRealtimeRuntime", 0), rt_period = doc_int(host, "CpuRealtimePeriod", 0);
	const char *field = nano ? "NanoCpus" : "CpuQuota";

	if (nano > 0)
		quota = nano / 10000;
	if (nano > 0 || period <= 0)
		period = 100000;
	if (cgroup_is_v2()) {
		struct limit *l = add(all, field, "", "cpu.max");
		if (quota > 0)
			snprintf(l->value, sizeof l->value, "%lld %lld", (long long)quota, (long long)period);
		else
			snprintf(l->value, sizeof l->value, "max %lld", (long long)period);
		add_number(all, "CpuShares", "", "cpu.weight", shares ? cpu_weight(shares) : 100);
	} else {
		add_number(all, "CpuPeriod", "cpu", "cpu.cfs_period_us", period);
		add_number(all, field, "cpu", "cpu.cfs_quota_us", or_none(quota));
		add_number(all, "CpuShares", "cpu", "cpu.shares", shares ? shares : 1024);
		if (rt_period)
			add_number(all, "CpuRealtimePeriod", "cpu", "cpu.rt_period_us", rt_period);
		if (rt_runtime)
			add_number(all, "CpuRealtimeRuntime", "cpu", "cpu.rt_runtime_us", rt_runtime);
	}
	if (*doc_text(host, "CpusetCpus"))
		snprintf(add(all, "CpusetCpus", "cpuset", "cpuset.cpus")->value, 64, "%s",
			 doc_text(host, "CpusetCpus"));
	if (*doc_text(host, "CpusetMems"))
		snprintf(add(all, "CpusetMems", "cpuset", "cpuset.mems")->value, 64, "%s",
			 doc_text(host, "CpusetMems"));
}

static const char *blkio_file(const char *plain, const char *bfq)
{
	return access(plain, F_OK) == 0 ? strrchr(plain, '/') + 1 : bfq;
}

/* A device's line, "8:0 value"; none asked for is `none`. */
static void devices_of(const json_t *host, const char *field, const char *file, const char *key, const char *value,
		       struct limits *all)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(host, field), i, item) {
		struct stat st;
		if (stat(doc_text(item, "Path"), &st) < 0)
			continue; /* told by the check */
		struct limit *l = add(all, field, "blkio", file);
		snprintf(l->device, sizeof l->device, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
		snprintf(l->value, sizeof l->value, "%s%lld", value, (long long)doc_int(item, key, 0));
	}
}

/* What a weight of 10…1000 is in io.weight, which has 1…10000; the runtime's own mapping. */
static int64_t io_weight(int64_t weight)
{
	return 1 + (weight - 10) * 9999 / 990;
}

/* v1 has a file for each scheduler; v2 has BFQ's, or else the kernel's own. Weights by device are BFQ's alone. */
static void weights_of(const struct launch_run *run, const json_t *host, struct limits *all)
{
	const char *file = "io.bfq.weight", *device = file;
	char text[64];
	int64_t weight = doc_int(host, "BlkioWeight", 0);

	if (!cgroup_is_v2()) {
		file = blkio_file("/sys/fs/cgroup/blkio/blkio.weight", "blkio.bfq.weight");
		device = blkio_file("/sys/fs/cgroup/blkio/blkio.weight_device", "blkio.bfq.weight_device");
	} else if (weight && cgroup_read("", run->cgroup, file, text, sizeof text) == -ENOENT) {
		file = "io.weight";
		weight = io_weight(weight);
	}
	if (weight)
		add_number(all, "BlkioWeight", "blkio", file, weight);
	devices_of(host, "BlkioWeightDevice", device, "Weight", "", all);
}

static void blkio_of(const struct launch_run *run, const json_t *host, struct limits *all)
{
	bool v2 = cgroup_is_v2();

	weights_of(run, host, all);
	devices_of(host, "BlkioDeviceReadBps", v2 ? "io.max" : "blkio.throttle.read_bps_device", "Rate",
		   v2 ? "rbps=" : "", all);
	devices_of(host, "BlkioDeviceWriteBps", v2 ? "io.max" : "blkio.throttle.write_bps_device", "Rate",
		   v2 ? "wbps=" : "", all);
	devices_of(host, "BlkioDeviceReadIOps", v2 ? "io.max" : "blkio.throttle.read_iops_device", "Rate",
		   v2 ? "riops=" : "", all);
	devices_of(host, "BlkioDeviceWriteIOps", v2 ? "io.max" : "blkio.throttle.write_iops_device", "Rate",
		   v2 ? "wiops=" : "", all);
}

static void limits_of(const struct launch_run *run, const json_t *host, struct limits *all)
{
	int64_t pids = doc_int(host, "PidsLimit", 0);

	memory_of(host, all);
	cpu_of(host, all);
	blkio_of(run, host, all);
	add_number(all, "PidsLimit", "pids", "pids.max", or_none(pids ? pids : run->launch->c.pids_limit));
}

/* ---- the difference ---- */

static bool same_place(const struct limit *a, const struct limit *b)
{
	return str_eq(a->field, b->field) && str_eq(a->file, b->file) && str_eq(a->device, b->device);
}

static const struct limit *find(const struct limits *all, const struct limit *like)
{
	for (size_t i = 0; i < all->n; i++)
		if (same_place(&all->v[i], like))
			return &all->v[i];
	return NULL;
}

static struct limits difference(const struct limits *old, const struct limits *new)
{
	struct limits todo = {0};

	for (size_t i = 0; i < new->n; i++) {
		const struct limit *was = find(old, &new->v[i]);
		if (!was || !str_eq(was->value, new->v[i].value))
			*add(&todo, NULL, NULL, NULL) = new->v[i];
	}
	/* A device that is no longer named has no limit: 0 is v1's word for it, and weights have their own. */
	for (size_t i = 0; i < old->n; i++)
		if (*old->v[i].device && !find(new, &old->v[i])) {
			struct limit *l = add(&todo, NULL, NULL, NULL);
			*l = old->v[i];
			char *equals = strchr(l->value, '=');
			const char *none = str_eq(l->field, "BlkioWeightDevice") ? "default" : "0";
			snprintf(equals ? equals + 1 : l->value, 8, "%s", equals ? "max" : none);
		}
	return todo;
}

/* v1's limit of both together must never be below that of memory: which one goes first depends on the direction. */
static void order_memory(struct limits *todo, const char *path)
{
	char text[64] = "";

	for (size_t i = 0; i + 1 < todo->n; i++) {
		struct limit *memory = &todo->v[i], both = todo->v[i + 1];
		if (!str_eq(memory->file, "memory.limit_in_bytes") || !str_eq(both.file, "memory.memsw.limit_in_bytes"))
			continue;
		long long value = strtoll(memory->value, NULL, 10);
		cgroup_read("memory", path, memory->file, text, sizeof text);
		if (value != NONE && value < strtoll(text, NULL, 10))
			return;
		todo->v[i + 1] = *memory;
		todo->v[i] = both;
		return;
	}
}

static int write_one(const struct limit *l, const char *path)
{
	char text[128];

	snprintf(text, sizeof text, "%s%s%s", l->device, *l->device ? " " : "", l->value);
	return cgroup_write(l->controller, path, l->file, text);
}

static int refused(const struct limit *l, int rc, struct err *e)
{
	if (rc == -ENOENT)
		return err_http(e, 400, "%s: the kernel has no %s for this container", l->field, l->file);
	/* EBUSY: less memory than is in use; the others: values that the kernel does not take. */
	bool asked = rc == -EBUSY || rc == -EINVAL || rc == -ERANGE || rc == -EACCES || rc == -ENOSPC || rc == -ENODEV;
	return err_http(e, asked ? 400 : 500, "%s: the kernel refuses %s in %s: %s", l->field, l->value, l->file,
			strerror(-rc));
}

static int write_all(const struct limits *todo, const struct limits *old, const char *path, struct err *e)
{
	for (size_t i = 0; i < todo->n; i++) {
		const struct limit *l = &todo->v[i];
		int rc = write_one(l, path);
		/* Without swap accounting there is nothing to limit; the engine's /info says so. */
		if (rc == 0 || (rc == -ENOENT && str_eq(l->field, "MemorySwap")))
			continue;
		rc = refused(l, rc, e);
		while (i-- > 0) {
			const struct limit *was = find(old, &todo->v[i]);
			if (was)
				write_one(was, path);
		}
		return rc;
	}
	return 0;
}

int launch_update(struct launch_run *run, const json_t *old_host, const json_t *host, struct err *e)
{
	struct limits old = {0}, new = {0};

	if (run->state != RUN_RUNNING)
		return err_set(e, -ESRCH, "container %.12s is not running", run->id);
	limits_of(run, old_host, &old);
	limits_of(run, host, &new);
	struct limits todo = difference(&old, &new);
	order_memory(&todo, run->cgroup);
	int rc = write_all(&todo, &old, run->cgroup, e);
	free(old.v);
	free(new.v);
	free(todo.v);
	if (rc < 0)
		return rc;
	json_decref(run->host);
	run->host = json_incref((json_t *)(uintptr_t)host);
	return 0;
}
