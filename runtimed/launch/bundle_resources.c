/* bundle_resources: limits of HostConfig as OCI's linux.resources and rlimits. */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

/* ---- limits ---- */

enum where { MEMORY, CPU, BLKIO };

/* Numbers that stand in OCI's document as they stand in Docker's. */
static const struct {
	const char *docker;
	enum where where;
	const char *oci;
} numbers[] = {
	{"Memory", MEMORY, "limit"},
	{"MemoryReservation", MEMORY, "reservation"},
	{"MemorySwap", MEMORY, "swap"},
	{"CpuShares", CPU, "shares"},
	{"CpuQuota", CPU, "quota"},
	{"CpuPeriod", CPU, "period"},
	{"CpuRealtimePeriod", CPU, "realtimePeriod"},
	{"CpuRealtimeRuntime", CPU, "realtimeRuntime"},
	{"BlkioWeight", BLKIO, "weight"},
};

static const struct {
	const char *docker, *oci, *value, *oci_value;
} throttles[] = {
	{"BlkioWeightDevice", "weightDevice", "Weight", "weight"},
	{"BlkioDeviceReadBps", "throttleReadBpsDevice", "Rate", "rate"},
	{"BlkioDeviceWriteBps", "throttleWriteBpsDevice", "Rate", "rate"},
	{"BlkioDeviceReadIOps", "throttleReadIOPSDevice", "Rate", "rate"},
	{"BlkioDeviceWriteIOps", "throttleWriteIOPSDevice", "Rate", "rate"},
};

static int add_throttles(const json_t *host, json_t *blkio, struct err *e)
{
	for (size_t t = 0; t < ARRAY_LEN(throttles); t++) {
		json_t *list = json_array(), *item;
		size_t i;
		json_array_foreach(json_object_get(host, throttles[t].docker), i, item) {
			struct stat st;
			const char *path = doc_text(item, "Path");
			if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode)) {
				json_decref(list);
				return err_http(e, 400, "%s: %s is not a block device", throttles[t].docker, path);
			}
			json_array_append_new(list,
					      json_pack("{s:I, s:I, s:I}", "major", (json_int_t)major(st.st_rdev),
							"minor", (json_int_t)minor(st.st_rdev), throttles[t].oci_value,
							(json_int_t)doc_int(item, throttles[t].value, 0)));
		}
		if (json_array_size(list))
			json_object_set(blkio, throttles[t].oci, list);
		json_decref(list);
	}
	return 0;
}

static void add_cpu(const json_t *host, json_t *cpu)
{
	int64_t nano = doc_int(host, "NanoCpus", 0);

	if (nano > 0) {
		json_object_set_new(cpu, "period", json_integer(100000));
		json_object_set_new(cpu, "quota", json_integer(nano / 10000));
	}
	if (*doc_text(host, "CpusetCpus"))
		json_object_set_new(cpu, "cpus", json_string(doc_text(host, "CpusetCpus")));
	if (*doc_text(host, "CpusetMems"))
		json_object_set_new(cpu, "mems", json_string(doc_text(host, "CpusetMems")));
}

static void add_memory(const json_t *host, json_t *memory)
{
	int64_t limit = doc_int(host, "Memory", 0), swappiness = doc_int(host, "MemorySwappiness", -1);

	/* Docker's rule: with a limit and no word on swap, twice the limit for both together. */
	if (limit > 0 && doc_int(host, "MemorySwap", 0) == 0)
		json_object_set_new(memory, "swap", json_integer(limit * 2));
	if (swappiness >= 0 && !cgroup_is_v2())
		json_object_set_new(memory, "swappiness", json_integer(swappiness));
	if (doc_true(host, "OomKillDisable") && !cgroup_is_v2())
		json_object_set_new(memory, "disableOOMKiller", json_true());
}

int bundle_resources(const struct launch *l, const json_t *host, json_t *resources, struct err *e)
{
	static const char *const names[] = {[MEMORY] = "memory", [CPU] = "cpu", [BLKIO] = "blockIO"};
	json_t *parts[3] = {json_object(), json_object(), json_object()};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t v = doc_int(host, numbers[i].docker, 0);
		if (v)
			json_object_set_new(parts[numbers[i].where], numbers[i].oci, json_integer(v));
	}
	add_cpu(host, parts[CPU]);
	add_memory(host, parts[MEMORY]);
	int r = add_throttles(host, parts[BLKIO], e);
	for (size_t i = 0; i < 3; i++) {
		if (json_object_size(parts[i]))
			json_object_set(resources, names[i], parts[i]);
		json_decref(parts[i]);
	}
	int64_t pids = doc_int(host, "PidsLimit", 0);
	if (pids == 0)
		pids = l->c.pids_limit;
	if (pids > 0)
		json_object_set_new(resources, "pids", json_pack("{s:I}", "limit", (json_int_t)pids));
	return r;
}

/* ---- rlimits ---- */

static const struct {
	const char *name;
	int resource;
} limits[] = {
	{"as", RLIMIT_AS},	     {"core", RLIMIT_CORE},	    {"cpu", RLIMIT_CPU},
	{"data", RLIMIT_DATA},	     {"fsize", RLIMIT_FSIZE},	    {"locks", RLIMIT_LOCKS},
	{"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
	{"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},	    {"rss", RLIMIT_RSS},
	{"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},	    {"sigpending", RLIMIT_SIGPENDING},
	{"stack", RLIMIT_STACK},
};

int rlimit_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (strcasecmp(limits[i].name, name) == 0)
			return limits[i].resource;
	return -1;
}

static uint64_t as_limit(int64_t v)
{
	return v < 0 ? UINT64_MAX : (uint64_t)v;
}

json_t *bundle_rlimits(const json_t *host)
{
	json_t *list = json_array(), *item;
	bool may_raise = cap_may(CAP_SYS_RESOURCE);
	size_t at;

	json_array_foreach(json_object_get(host, "Ulimits"), at, item) {
		for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
			struct rlimit own;
			char type[32] = "RLIMIT_";
			if (strcasecmp(limits[i].name, doc_text(item, "Name")) != 0 ||
			    getrlimit((__rlimit_resource_t)limits[i].resource, &own) < 0)
				continue;
			uint64_t hard = as_limit(doc_int(item, "Hard", 0)), soft = as_limit(doc_int(item, "Soft", 0));
			if (!may_raise && hard > own.rlim_max)
				hard = own.rlim_max;
			soft = soft > hard ? hard : soft;
			for (size_t c = 0; limits[i].name[c]; c++)
				type[7 + c] = (char)(limits[i].name[c] - 'a' + 'A');
			json_array_append_new(list,
					      json_pack("{s:s, s:I, s:I}", "type", type, "hard",
							hard > INT64_MAX ? (json_int_t)-1 : (json_int_t)hard, "soft",
							soft > INT64_MAX ? (json_int_t)-1 : (json_int_t)soft));
		}
	}
	return list;
}
