/* stats: what a container uses, in Docker's form. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/times.h"
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
	char when[TIME_TEXT];

	if (run->state != RUN_RUNNING || run->pid <= 0)
		return err_set(e, -ESRCH, "container %.12s is not running", run->id);
	*out = json_pack("{s:s, s:o, s:o, s:i, s:{}, s:o, s:o}", "read", time_rfc3339_full(time_now(), when),
			 "pids_stats", pids_of(run->cgroup), "blkio_stats", blkio_of(run->cgroup), "num_procs", 0,
			 "storage_stats", "cpu_stats", cpu_of(run->cgroup), "memory_stats", memory_of(run->cgroup));
	if (!run->host_net)
		json_object_set_new(*out, "networks", networks_of(run));
	return 0;
}
