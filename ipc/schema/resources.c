/* Resources and RestartPolicy: parts of HostConfig that POST /containers/{id}/update changes too. */
#include "ipc/schema/rows.h"

#define DOCKER .spec = IN_DOCKER

TEXT_ELEMENT(device_rule, G_DEVICE_RULE, 64);
TEXT_ELEMENT(word, G_WORD, 256);

static const struct schema_object schema_weight_device_object = {
	.name = "WeightDevice",
	.doc = "I/O weight of a device.",
	.fields =
		(const struct schema_field[]){
			TEXT("Path", G_ABS_PATH, PATH_MAX_, C_DEVICE, "Block device.", .required = true, DOCKER),
			INT("Weight", 0, 1000, C_RESOURCE, "Weight, 10 to 1000.", DOCKER),
			{0},
		},
};

static const struct schema_object schema_throttle_device_object = {
	.name = "ThrottleDevice",
	.doc = "Limit of a device.",
	.fields =
		(const struct schema_field[]){
			TEXT("Path", G_ABS_PATH, PATH_MAX_, C_DEVICE, "Block device.", .required = true, DOCKER),
			INT("Rate", 0, INT64_MAX, C_RESOURCE, "Bytes or operations a second.", DOCKER),
			{0},
		},
};

static const struct schema_object schema_device_mapping_object = {
	.name = "DeviceMapping",
	.doc = "A device of the host inside the container.",
	.fields =
		(const struct schema_field[]){
			TEXT("PathOnHost", G_PATH, PATH_MAX_, C_DEVICE, "Device, or directory of devices.",
			     .required = true, DOCKER),
			TEXT("PathInContainer", G_PATH, PATH_MAX_, C_DEVICE, "Path inside; the same when empty.",
			     DOCKER),
			TEXT("CgroupPermissions", G_DEVICE_ACCESS, 3, C_DEVICE, "Of r, w and m; rwm when empty.",
			     DOCKER),
			{0},
		},
};

static const struct schema_field capabilities = {.type = S_LIST, .of = &word, .max = 64};
static const struct schema_object schema_device_request_object = {
	.name = "DeviceRequest",
	.doc = "Devices of a driver (GPUs).",
	.fields =
		(const struct schema_field[]){
			TEXT("Driver", G_WORD, 256, C_DEVICE, "Driver.", DOCKER),
			INT("Count", -1, INT32_MAX, C_DEVICE, "How many; -1: all.", DOCKER),
			LIST("DeviceIDs", word, C_DEVICE, "Which.", DOCKER),
			LIST("Capabilities", capabilities, C_DEVICE, "Alternatives of capabilities, each a list.",
			     DOCKER),
			MAP("Options", G_BYTES, schema_option_element, C_DEVICE, "Options of the driver.", DOCKER),
			{0},
		},
};

static const struct schema_object schema_ulimit_object = {
	.name = "Ulimit",
	.doc = "A resource limit of processes.",
	.fields =
		(const struct schema_field[]){
			TEXT("Name", G_NAME, 32, C_RESOURCE, "Name without RLIMIT_, as nofile.", .required = true,
			     DOCKER),
			INT("Soft", -1, INT64_MAX, C_RESOURCE, "Soft limit; -1: none.", DOCKER),
			INT("Hard", -1, INT64_MAX, C_RESOURCE, "Hard limit; -1: none.", DOCKER),
			{0},
		},
};

OBJECT_ELEMENT(weight_device, weight_device);
OBJECT_ELEMENT(throttle_device, throttle_device);
OBJECT_ELEMENT(device_mapping, device_mapping);
OBJECT_ELEMENT(device_request, device_request);
OBJECT_ELEMENT(ulimit, ulimit);

static const struct schema_field fields[] = {
	INT("CpuShares", 0, INT64_MAX, C_RESOURCE, "CPU weight against other containers.", DOCKER),
	INT("Memory", 0, INT64_MAX, C_RESOURCE, "Bytes of memory; 0: no limit.", DOCKER),
	TEXT("CgroupParent", G_PATH, 1024, C_RESOURCE, "Cgroup below which the container's is made.", DOCKER),
	INT("BlkioWeight", 0, 1000, C_RESOURCE, "I/O weight, 10 to 1000; 0: the default.", DOCKER),
	LIST("BlkioWeightDevice", weight_device, C_RESOURCE, "I/O weight by device.", DOCKER),
	LIST("BlkioDeviceReadBps", throttle_device, C_RESOURCE, "Bytes a second read from a device.", DOCKER),
	LIST("BlkioDeviceWriteBps", throttle_device, C_RESOURCE, "Bytes a second written to a device.", DOCKER),
	LIST("BlkioDeviceReadIOps", throttle_device, C_RESOURCE, "Reads a second from a device.", DOCKER),
	LIST("BlkioDeviceWriteIOps", throttle_device, C_RESOURCE, "Writes a second to a device.", DOCKER),
	INT("CpuPeriod", 0, 1000000, C_RESOURCE, "Microseconds of a CPU period.", DOCKER),
	INT("CpuQuota", -1, INT64_MAX, C_RESOURCE, "Microseconds of CPU time in a period; -1: no limit.", DOCKER),
	INT("CpuRealtimePeriod", 0, INT64_MAX, C_RESOURCE, "Microseconds of a real-time period.", DOCKER),
	INT("CpuRealtimeRuntime", -1, INT64_MAX, C_RESOURCE, "Microseconds of real-time CPU time in it.", DOCKER),
	TEXT("CpusetCpus", G_CPUSET, 1024, C_RESOURCE, "CPUs, as 0-3,7.", DOCKER),
	TEXT("CpusetMems", G_CPUSET, 1024, C_RESOURCE, "Memory nodes, as 0-1.", DOCKER),
	LIST("Devices", device_mapping, C_DEVICE, "Devices of the host.", DOCKER),
	LIST("DeviceCgroupRules", device_rule, C_DEVICE, "Device rules, as 'c 13:* rwm'.", DOCKER, .since = 28),
	LIST("DeviceRequests", device_request, C_DEVICE, "Devices of drivers.", DOCKER, .since = 40),
	INT("MemoryReservation", 0, INT64_MAX, C_RESOURCE, "Bytes of memory it gets when memory is short.", DOCKER),
	INT("MemorySwap", -1, INT64_MAX, C_RESOURCE, "Bytes of memory and swap together; -1: no limit of swap.",
	    DOCKER),
	INT("MemorySwappiness", -1, 100, C_RESOURCE, "0 to 100; -1 is the same as leaving it out.", DOCKER,
	    .has_unset = true, .unset = -1),
	INT("NanoCpus", 0, INT64_MAX, C_RESOURCE, "CPUs in units of 10⁻⁹.", DOCKER, .since = 25),
	FLAG("OomKillDisable", C_RESOURCE, "Do not kill it when memory is short.", DOCKER),
	FLAG("Init", C_PLAIN, "Run an init that forwards signals and reaps; null: the engine's default.", DOCKER,
	     .since = 25),
	INT("PidsLimit", -1, INT64_MAX, C_RESOURCE,
	    "Processes; -1: no limit; 0: the default, in an update no limit; null: the default, or no change.", DOCKER),
	LIST("Ulimits", ulimit, C_RESOURCE, "Resource limits of processes.", DOCKER),
	REFUSED("KernelMemory", "is not supported: limit Memory", .spec = IN_CLIENTS),
	REFUSED("KernelMemoryTCP", "is not supported: limit Memory", DOCKER),
	REFUSED("CpuCount", WINDOWS_ONLY, DOCKER),
	REFUSED("CpuPercent", WINDOWS_ONLY, DOCKER),
	REFUSED("IOMaximumIOps", WINDOWS_ONLY, DOCKER),
	REFUSED("IOMaximumBandwidth", WINDOWS_ONLY, DOCKER),
	{0},
};

const struct schema_object schema_resources_object = {
	.name = "Resources",
	.doc = "What a container may use of memory, CPU, I/O, processes and devices.",
	.fields = fields,
};

static const char *const restart_names[] = {"no", "always", "unless-stopped", "on-failure", NULL};

const struct schema_object schema_restart_policy_object = {
	.name = "RestartPolicy",
	.doc = "What happens when a container ends by itself.",
	.fields =
		(const struct schema_field[]){
			WORDS("Name", restart_names, C_PLAIN, "When to start it again; no when empty.", DOCKER),
			INT("MaximumRetryCount", 0, INT32_MAX, C_PLAIN, "With on-failure: how often; 0: for ever.",
			    DOCKER),
			{0},
		},
};

static const struct schema_object schema_container_update_object = {
	.name = "ContainerUpdate",
	.doc = "The body of POST /containers/{id}/update.",
	.parts = {&schema_resources_object},
	.fields =
		(const struct schema_field[]){
			OBJECT("RestartPolicy", restart_policy, C_PLAIN, "The new restart policy.", DOCKER),
			{0},
		},
};
ROOT_OBJECT(container_update);
