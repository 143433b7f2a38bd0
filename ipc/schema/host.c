/* HostConfig: how a container stands on its host. Resources are in resources.c, mounts in mount.c. */
#include "ipc/schema/rows.h"

/* A seccomp profile travels as text in SecurityOpt. */
#define SECURITY_OPTION_MAX (1u << 20)

TEXT_ELEMENT(path, G_PATH, PATH_MAX_);
TEXT_ELEMENT(bind, G_PATH, 3 * PATH_MAX_);
TEXT_ELEMENT(word, G_WORD, 1024);
TEXT_ELEMENT(capability, G_CAPABILITY, 64);
TEXT_ELEMENT(address, G_IP, 45);
TEXT_ELEMENT(security_option, G_BYTES, SECURITY_OPTION_MAX);
TEXT_ELEMENT(option, G_TEXT, 4096);
TEXT_ELEMENT(remark, G_BYTES, 65536);
OBJECT_ELEMENT(mount, mount);

static const struct schema_field cells = {.type = S_INT, .min = 0, .max = 65535};
static const struct schema_object schema_port_binding_object = {
	.name = "PortBinding",
	.doc = "Where on the host a container's port is published.",
	.fields =
		(const struct schema_field[]){
			TEXT("HostIp", G_IP, 45, C_NETWORK, "Address of the host; empty: the engine's default."),
			TEXT("HostPort", G_HOST_PORT, 11, C_NETWORK, "Port or range of ports; empty or 0: a free one.",
			     .number_too = true),
			{0},
		},
};
OBJECT_ELEMENT(binding, port_binding);
static const struct schema_field bindings = {.type = S_LIST, .of = &binding, .max = LIST_MAX};

static const struct schema_object schema_log_config_object = {
	.name = "LogConfig",
	.doc = "Where the container's output goes.",
	.fields =
		(const struct schema_field[]){
			TEXT("Type", G_NAME, 64, C_LOGGING,
			     "Log driver: json-file, local, none, syslog, journald, gelf, fluentd or splunk."),
			MAP("Config", G_BYTES, schema_option_element, C_LOGGING, "Options of the driver."),
			{0},
		},
};

static const char *const cgroupns_modes[] = {"private", "host", NULL};
static const char *const isolations[] = {"default", NULL};

static const struct schema_field fields[] = {
	/* files */
	LIST("Binds", bind, C_MOUNT, "source:target[:options]; the source is a path of the host or a volume's name."),
	TEXT("ContainerIDFile", G_PATH, PATH_MAX_, C_PLAIN, "File in which the client has written the id; only kept."),
	TEXT("VolumeDriver", G_NAME, 128, C_MOUNT, "Driver of volumes that Binds and Volumes make."),
	LIST("VolumesFrom", word, C_MOUNT, "Containers whose mounts this one gets: name[:ro|:rw]."),
	LIST("Mounts", mount, C_MOUNT, "Mounts.", .spec = IN_DOCKER, .since = 25),
	MAP("Tmpfs", G_ABS_PATH, option, C_MOUNT, "tmpfs by target: {\"/run\": \"size=64m,mode=755\"}."),
	FLAG("ReadonlyRootfs", C_PLAIN, "The root file system is read-only."),
	MAP("StorageOpt", G_BYTES, option, C_RESOURCE, "size: limit of the container's own layer."),
	INT("ShmSize", 0, INT64_MAX, C_RESOURCE, "Bytes of /dev/shm; 0: the engine's default."),

	/* life */
	OBJECT("LogConfig", log_config, C_LOGGING, "Where its output goes."),
	OBJECT("RestartPolicy", restart_policy, C_PLAIN, "What happens when it ends.", .spec = IN_DOCKER),
	FLAG("AutoRemove", C_PLAIN, "Remove it when it ends."),
	LIST("ConsoleSize", cells, C_PLAIN, "Height and width of its terminal at first."),
	MAP("Annotations", G_ANNOTATION, remark, C_RUNTIME, "Remarks for the runtime.", .spec = IN_DOCKER, .since = 43),
	TEXT("Runtime", G_NAME, 128, C_RUNTIME, "OCI runtime, by its name in the engine's config."),

	/* network */
	TEXT("NetworkMode", G_WORD, 256, C_NETWORK,
	     "default, bridge, host, none, container:NAME, or the name or id of a network."),
	MAP("PortBindings", G_PORT, bindings, C_NETWORK, "Published ports: {\"80/tcp\": [{\"HostPort\": \"8080\"}]}."),
	FLAG("PublishAllPorts", C_NETWORK, "Publish each exposed port on a free one of the host."),
	LIST("Dns", address, C_NETWORK, "Name servers."),
	LIST("DnsOptions", word, C_NETWORK, "Options of resolv.conf."),
	LIST("DnsSearch", word, C_NETWORK, "Search domains."),
	LIST("ExtraHosts", word, C_NETWORK, "Lines for /etc/hosts: name:address, the address may be host-gateway."),
	LIST("Links", word, C_NETWORK, "Other containers by a name of one's own: container:alias."),

	/* privilege */
	LIST("CapAdd", capability, C_CAPABILITY, "Capabilities beyond the default."),
	LIST("CapDrop", capability, C_CAPABILITY, "Capabilities taken away."),
	LIST("GroupAdd", word, C_PLAIN, "Further groups, by name of the image or by number."),
	FLAG("Privileged", C_SECURITY, "All that the engine itself may do: devices, capabilities, no filter."),
	LIST("SecurityOpt", security_option, C_SECURITY,
	     "no-new-privileges[=…], seccomp=PROFILE|unconfined, apparmor=NAME|unconfined, label=…, "
	     "systempaths=unconfined."),
	LIST("MaskedPaths", path, C_SECURITY, "Paths hidden inside; null: the default ones.", .spec = IN_DOCKER),
	LIST("ReadonlyPaths", path, C_SECURITY, "Paths read-only inside; null: the default ones.", .spec = IN_DOCKER),
	MAP("Sysctls", G_SYSCTL, option, C_KERNEL, "Kernel parameters of the container's own namespaces."),
	INT("OomScoreAdj", -1000, 1000, C_RESOURCE, "Preference of the kernel when memory is short."),

	/* namespaces */
	WORDS("CgroupnsMode", cgroupns_modes, C_NAMESPACE, "Cgroup namespace: its own or the host's.",
	      .spec = IN_DOCKER, .since = 41),
	TEXT("IpcMode", G_WORD, 256, C_NAMESPACE, "none, private, shareable, host or container:NAME."),
	TEXT("PidMode", G_WORD, 256, C_NAMESPACE, "host or container:NAME; its own when empty."),
	TEXT("UTSMode", G_WORD, 256, C_NAMESPACE, "host; its own when empty."),
	TEXT("UsernsMode", G_WORD, 256, C_NAMESPACE, "host: the ids of the host; otherwise a range of its own."),
	TEXT("Cgroup", G_WORD, 256, C_NAMESPACE, "Another container's cgroup."),

	/* not here */
	WORDS("Isolation", isolations, C_PLAIN, "default; others are for Windows."),
	REFUSED("LxcConf", "ended with API version 1.21", .spec = IN_CLIENTS),
	REFUSED("DiskQuota", WINDOWS_ONLY, .spec = IN_CLIENTS),
	REFUSED("Capabilities", "ended with API version 1.40: use CapAdd and CapDrop", .spec = IN_CLIENTS),
	REFUSED("Cpuset", "was renamed CpusetCpus", .spec = IN_CLIENTS),
	{0},
};

const struct schema_object schema_host_config_object = {
	.name = "HostConfig",
	.doc = "How a container stands on its host.",
	.fields = fields,
	.parts = {&schema_resources_object},
};
ROOT_OBJECT(host_config);
