/* stats: what a container uses, in Docker's form, and new limits for a running one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define TEXT_MAX 65536

static int64_t read_number(const char *controller, const char *path, const char *file)
{
	char text[64];

	return cgroup_read(controller, path, file, text, sizeof text) < 0 ? 0 : strtoll(text, NULL, 10);
}

/* "key value" lines as an object. */
static json_t *read_pairs(const char *controller, const char *path, const char *file)
{
	json_t *o = json_object();
	char *text = xcalloc(1, TEXT_MAX), *rest = NULL;

	if (cgroup_read(controller, path, file, text, TEXT_MAX) == 0)
		for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
			char *space = strrchr(line, ' ');
			if (!space)
				continue;
			*space = '\0';
			json_object_set_new(o, line, json_integer(strtoll(space + 1, NULL, 10)));
		}
	free(text);
	return o;
}

static int64_t pair(const json_t *pairs, const char *key)
{
	return json_integer_value(json_object_get(pairs, key));
}

/* ---- cpu ---- */

static int64_t system_cpu(void)
{
	char text[512];
	int64_t sum = 0;
	FILE *f = fopen("/proc/stat", "re");

	if (!f)
		return 0;
	if (fgets(text, sizeof text, f)) {
		char *at = text + strcspn(text, " ");
		/* user, nice, system, idle, iowait, irq, softirq; guest time is in user already */
		for (int i = 0; i < 7; i++)
			sum += strtoll(at, &at, 10);
	}
	fclose(f);
	return sum * (1000000000ll / sysconf(_SC_CLK_TCK));
}

static json_t *cpu_of(const char *path)
{
	int64_t total, user, kernel;
	json_t *stat, *per_cpu = NULL;

	if (cgroup_is_v2()) {
		stat = read_pairs("", path, "cpu.stat");
		total = pair(stat, "usage_usec") * 1000;
		user = pair(stat, "user_usec") * 1000;
		kernel = pair(stat, "system_usec") * 1000;
	} else {
		char *text = xcalloc(1, TEXT_MAX), *at = text, *end;
		stat = read_pairs("cpu", path, "cpu.stat");
		total = read_number("cpuacct", path, "cpuacct.usage");
		json_t *halves = read_pairs("cpuacct", path, "cpuacct.stat");
		user = pair(halves, "user") * (1000000000ll / sysconf(_SC_CLK_TCK));
		kernel = pair(halves, "system") * (1000000000ll / sysconf(_SC_CLK_TCK));
		json_decref(halves);
		per_cpu = json_array();
		if (cgroup_read("cpuacct", path, "cpuacct.usage_percpu", text, TEXT_MAX) == 0)
			for (long long v = strtoll(at, &end, 10); end != at; v = strtoll(at, &end, 10)) {
				json_array_append_new(per_cpu, json_integer(v));
				at = end;
			}
		free(text);
	}
	json_t *usage = json_pack("{s:I, s:I, s:I}", "total_usage", (json_int_t)total, "usage_in_kernelmode",
				  (json_int_t)kernel, "usage_in_usermode", (json_int_t)user);
	if (per_cpu)
		json_object_set_new(usage, "percpu_usage", per_cpu);
	json_t *o = json_pack(
		"{s:o, s:I, s:i, s:{s:I, s:I, s:I}}", "cpu_usage", usage, "system_cpu_usage", (json_int_t)system_cpu(),
		"online_cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "throttling_data", "periods",
		(json_int_t)pair(stat, "nr_periods"), "throttled_periods", (json_int_t)pair(stat, "nr_throttled"),
		"throttled_time",
		(json_int_t)(cgroup_is_v2() ? pair(stat, "throttled_usec") * 1000 : pair(stat, "throttled_time")));
	json_decref(stat);
	return o;
}

/* ---- memory ---- */

static int64_t host_memory(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static json_t *memory_of(const char *path)
{
	bool v2 = cgroup_is_v2();
	int64_t limit = read_number("memory", path, v2 ? "memory.max" : "memory.limit_in_bytes");

	if (limit <= 0 || limit > host_memory())
		limit = host_memory();
	json_t *o = json_pack("{s:I, s:o, s:I}", "usage",
			      (json_int_t)read_number("memory", path, v2 ? "memory.current" : "memory.usage_in_bytes"),
			      "stats", read_pairs("memory", path, "memory.stat"), "limit", (json_int_t)limit);
	if (!v2) {
		json_object_set_new(o, "max_usage",
				    json_integer(read_number("memory", path, "memory.max_usage_in_bytes")));
		json_object_set_new(o, "failcnt", json_integer(read_number("memory", path, "memory.failcnt")));
	}
	return o;
}

/* ---- block devices ---- */

static void add_blkio(json_t *list, unsigned maj, unsigned min, const char *op, long long value)
{
	json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:I}", "major", (int)maj, "minor", (int)min, "op", op,
					      "value", (json_int_t)value));
}

/* v1: "8:0 Read 4096" */
static json_t *blkio_v1(const char *path, const char *file)
{
	char *text = xcalloc(1, TEXT_MAX), *rest = NULL, op[32];
	json_t *list = json_array();
	unsigned maj, min;
	long long value;

	if (cgroup_read("blkio", path, file, text, TEXT_MAX) == 0)
		for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			if (sscanf(line, "%u:%u %31s %lld", &maj, &min, op, &value) == 4)
				add_blkio(list, maj, min, op, value);
	free(text);
	return list;
}

/* v2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" */
static void blkio_v2(const char *path, json_t *bytes, json_t *counts)
{
	char *text = xcalloc(1, TEXT_MAX), *rest = NULL;
	unsigned maj, min;
	long long v[4];

	if (cgroup_read("", path, "io.stat", text, TEXT_MAX) == 0)
		for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
			if (sscanf(line, "%u:%u rbytes=%lld wbytes=%lld rios=%lld wios=%lld", &maj, &min, &v[0], &v[1],
				   &v[2], &v[3]) != 6)
				continue;
			add_blkio(bytes, maj, min, "read", v[0]);
			add_blkio(bytes, maj, min, "write", v[1]);
			add_blkio(counts, maj, min, "read", v[2]);
			add_blkio(counts, maj, min, "write", v[3]);
		}
	free(text);
}

static json_t *blkio_of(const char *path)
{
	json_t *bytes, *counts;

	if (cgroup_is_v2()) {
		bytes = json_array();
		counts = json_array();
		blkio_v2(path, bytes, counts);
	} else {
		bytes = blkio_v1(path, "blkio.throttle.io_service_bytes_recursive");
		counts = blkio_v1(path, "blkio.throttle.io_serviced_recursive");
	}
	return json_pack("{s:o, s:o, s:n, s:n, s:n, s:n, s:n, s:n}", "io_service_bytes_recursive", bytes,
			 "io_serviced_recursive", counts, "io_queue_recursive", "io_service_time_recursive",
			 "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive");
}

/* ---- network ---- */

/* The counters of the container's own interfaces, from its view of /proc/net/dev. */
static json_t *networks_of(const struct launch_run *run)
{
	static const char *const keys[16] = {"rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
					     NULL,	 NULL,	       NULL,	    NULL,
					     "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"};
	json_t *o = json_object();
	char path[64], line[512];

	snprintf(path, sizeof path, "/proc/%d/net/dev", run->pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		char *colon = strchr(line, ':'), *name = line + strspn(line, " ");
		if (!colon)
			continue;
		*colon = '\0';
		if (str_eq(name, "lo"))
			continue;
		json_t *one = json_object();
		char *at = colon + 1;
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			long long v = strtoll(at, &at, 10);
			if (keys[i])
				json_object_set_new(one, keys[i], json_integer(v));
		}
		json_object_set_new(o, name, one);
	}
	if (f)
		fclose(f);
	return o;
}

static json_t *pids_of(const char *path)
{
	json_t *o = json_pack("{s:I}", "current", (json_int_t)read_number("pids", path, "pids.current"));
	int64_t limit = read_number("pids", path, "pids.max");

	if (limit > 0)
		json_object_set_new(o, "limit", json_integer(limit));
	return o;
}

int launch_stats(struct launch_run *run, json_t **out, struct err *e)
{
	char when[64], date[32];
	struct timespec now;
	struct tm tm;

	if (run->state != RUN_RUNNING || run->pid <= 0)
		return err_set(e, -ESRCH, "container %.12s is not running", run->id);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(when, sizeof when, "%s.%09ldZ", date, now.tv_nsec);
	*out = json_pack("{s:s, s:o, s:o, s:i, s:{}, s:o, s:o}", "read", when, "pids_stats", pids_of(run->cgroup),
			 "blkio_stats", blkio_of(run->cgroup), "num_procs", 0, "storage_stats", "cpu_stats",
			 cpu_of(run->cgroup), "memory_stats", memory_of(run->cgroup));
	if (!run->host_net)
		json_object_set_new(*out, "networks", networks_of(run));
	return 0;
}

/* ---- update ---- */

/* Limits as files of cgroup v1 and v2. A v2 value may need words of its own: `convert`. */
struct knob {
	const char *docker, *controller, *v1, *v2;
	int64_t unlimited; /* Docker's number for "none"; the kernel's is -1 (v1), max (v2) */
	int64_t (*convert)(int64_t v);
};

/* crun's and systemd's mapping of 2…262144 to 1…10000 */
static int64_t cpu_weight(int64_t shares)
{
	return 1 + (shares - 2) * 9999 / 262142;
}

static const struct knob knobs[] = {
	{"PidsLimit", "pids", "pids.max", "pids.max", -1, NULL},
	{"MemoryReservation", "memory", "memory.soft_limit_in_bytes", "memory.low", 0, NULL},
	{"CpuShares", "cpu", "cpu.shares", "cpu.weight", 0, cpu_weight},
	{"BlkioWeight", "blkio", "blkio.bfq.weight", "io.bfq.weight", 0, NULL},
};

struct write {
	const char *controller, *file;
	char value[96], old[96];
};

struct writes {
	struct write v[16];
	size_t n;
};

static void plan(struct writes *w, const char *controller, const char *file, const char *value)
{
	struct write *x = &w->v[w->n++];

	x->controller = controller;
	x->file = file;
	snprintf(x->value, sizeof x->value, "%s", value);
}

static void plan_number(struct writes *w, const char *controller, const char *file, int64_t value, bool none)
{
	char text[32];

	snprintf(text, sizeof text, "%lld", (long long)value);
	plan(w, controller, file, none ? (cgroup_is_v2() || str_eq(controller, "pids") ? "max" : "-1") : text);
}

static bool differs(const json_t *old_host, const json_t *host, const char *key)
{
	return doc_int(old_host, key, 0) != doc_int(host, key, 0);
}

static void plan_memory(const json_t *old_host, const json_t *host, const char *path, struct writes *w)
{
	int64_t limit = doc_int(host, "Memory", 0), swap = doc_int(host, "MemorySwap", 0);

	if (!differs(old_host, host, "Memory") && !differs(old_host, host, "MemorySwap"))
		return;
	if (limit > 0 && swap == 0)
		swap = limit * 2;
	if (cgroup_is_v2()) {
		plan_number(w, "", "memory.max", limit, limit <= 0);
		plan_number(w, "", "memory.swap.max", swap - limit, swap <= 0);
		return;
	}
	/* The limit of both together must never be below that of memory: which one goes first depends on the direction.
	 */
	bool up = limit <= 0 || limit > read_number("memory", path, "memory.limit_in_bytes");
	char with[64];
	bool has_swap = cgroup_read("memory", path, "memory.memsw.limit_in_bytes", with, sizeof with) == 0;
	if (up && has_swap)
		plan_number(w, "memory", "memory.memsw.limit_in_bytes", swap, swap <= 0);
	plan_number(w, "memory", "memory.limit_in_bytes", limit, limit <= 0);
	if (!up && has_swap)
		plan_number(w, "memory", "memory.memsw.limit_in_bytes", swap, swap <= 0);
}

static void plan_cpu(const json_t *old_host, const json_t *host, struct writes *w)
{
	int64_t quota = doc_int(host, "CpuQuota", 0), period = doc_int(host, "CpuPeriod", 0);
	int64_t nano = doc_int(host, "NanoCpus", 0);
	char text[64];

	if (!differs(old_host, host, "CpuQuota") && !differs(old_host, host, "CpuPeriod") &&
	    !differs(old_host, host, "NanoCpus"))
		return;
	if (nano > 0) {
		period = 100000;
		quota = nano / 10000;
	}
	if (period <= 0)
		period = 100000;
	if (cgroup_is_v2()) {
		snprintf(text, sizeof text, "%lld %lld", (long long)quota, (long long)period);
		if (quota <= 0)
			snprintf(text, sizeof text, "max %lld", (long long)period);
		plan(w, "", "cpu.max", text);
		return;
	}
	plan_number(w, "cpu", "cpu.cfs_period_us", period, false);
	plan_number(w, "cpu", "cpu.cfs_quota_us", quota, quota <= 0);
}

static void plan_all(const json_t *old_host, const json_t *host, const char *path, struct writes *w)
{
	static const char *const sets[] = {"CpusetCpus", "CpusetMems"};
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};

	plan_memory(old_host, host, path, w);
	plan_cpu(old_host, host, w);
	for (size_t i = 0; i < ARRAY_LEN(knobs); i++) {
		const struct knob *k = &knobs[i];
		int64_t v = doc_int(host, k->docker, 0);
		if (!differs(old_host, host, k->docker))
			continue;
		bool none = v <= 0;
		plan_number(w, k->controller, cgroup_is_v2() ? k->v2 : k->v1,
			    k->convert && cgroup_is_v2() && !none ? k->convert(v) : v, none);
	}
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		if (!str_eq(doc_text(old_host, sets[i]), doc_text(host, sets[i])) && *doc_text(host, sets[i]))
			plan(w, "cpuset", files[i], doc_text(host, sets[i]));
}

int launch_update(struct launch_run *run, const json_t *old_host, const json_t *host, struct err *e)
{
	struct writes w = {.n = 0};

	if (run->state != RUN_RUNNING)
		return err_set(e, -ESRCH, "container %.12s is not running", run->id);
	plan_all(old_host, host, run->cgroup, &w);
	for (size_t i = 0; i < w.n; i++) {
		struct write *x = &w.v[i];
		cgroup_read(x->controller, run->cgroup, x->file, x->old, sizeof x->old);
		int r = cgroup_write(x->controller, run->cgroup, x->file, x->value);
		if (r == 0)
			continue;
		err_http(e, r == -EBUSY || r == -EINVAL ? 400 : 500, "the kernel refuses %s in %s: %s", x->value,
			 x->file, strerror(-r));
		while (i-- > 0)
			cgroup_write(w.v[i].controller, run->cgroup, w.v[i].file, w.v[i].old);
		return r;
	}
	json_decref(run->host);
	run->host = json_incref((json_t *)(uintptr_t)host);
	return 0;
}
