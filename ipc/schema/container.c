/* ContainerConfig: what a container runs; POST /containers/create, POST /commit. */
#include "ipc/schema/rows.h"

TEXT_ELEMENT(argument, G_BYTES, ARGUMENT_MAX);
OBJECT_ELEMENT(nothing, nothing);

static const struct schema_object schema_health_config_object = {
	.name = "HealthConfig",
	.doc = "A test that tells whether the container is healthy.",
	.fields =
		(const struct schema_field[]){
			LIST("Test", argument, C_PLAIN,
			     "[] inherited, [\"NONE\"] none, [\"CMD\", …] a program, [\"CMD-SHELL\", text] for the "
			     "shell.",
			     .spec = IN_DOCKER),
			INT("Interval", 0, INT64_MAX, C_PLAIN, "Nanoseconds between tests; 0 inherits.",
			    .spec = IN_DOCKER),
			INT("Timeout", 0, INT64_MAX, C_PLAIN, "Nanoseconds that a test may take; 0 inherits.",
			    .spec = IN_DOCKER),
			INT("Retries", 0, INT32_MAX, C_PLAIN, "Failures in a row that make it unhealthy; 0 inherits.",
			    .spec = IN_DOCKER),
			INT("StartPeriod", 0, INT64_MAX, C_PLAIN,
			    "Nanoseconds after the start in which failures do not count.", .spec = IN_DOCKER,
			    .since = 29),
			INT("StartInterval", 0, INT64_MAX, C_PLAIN, "Nanoseconds between tests in the start period.",
			    .spec = IN_DOCKER, .since = 44),
			{0},
		},
};

const struct schema_object schema_container_config_object = {
	.name = "ContainerConfig",
	.doc = "What a container runs; portable between hosts.",
	.fields =
		(const struct schema_field[]){
			TEXT("Hostname", G_HOSTNAME, 64, C_PLAIN, "Host name inside; the short id when empty."),
			TEXT("Domainname", G_HOSTNAME, 64, C_PLAIN, "NIS domain name inside."),
			TEXT("User", G_WORD, 256, C_PLAIN, "user[:group], by name of the image or by number."),
			FLAG("AttachStdin", C_PLAIN, "The client will attach to standard input."),
			FLAG("AttachStdout", C_PLAIN, "The client will attach to standard output."),
			FLAG("AttachStderr", C_PLAIN, "The client will attach to standard error."),
			MAP("ExposedPorts", G_PORT, nothing, C_PLAIN,
			    "Ports that the container serves: {\"80/tcp\": {}}."),
			FLAG("Tty", C_PLAIN, "Standard streams are a terminal."),
			FLAG("OpenStdin", C_PLAIN, "Keep standard input open without a client."),
			FLAG("StdinOnce", C_PLAIN, "Close standard input when the first attached client leaves."),
			LIST("Env", argument, C_SECRET,
			     "Environment as NAME=value; NAME alone removes one of the image."),
			LIST("Cmd", argument, C_PLAIN, "Program and arguments, or the entry point's arguments.",
			     .text_too = true),
			OBJECT("Healthcheck", health_config, C_PLAIN, "The health test.", .spec = IN_DOCKER),
			FLAG("ArgsEscaped", C_PLAIN,
			     "Cmd is escaped for a Windows shell; kept, without effect on Linux."),
			TEXT("Image", G_IMAGE_REF, 512, C_PLAIN, "Reference or id of the image."),
			MAP("Volumes", G_PATH, nothing, C_MOUNT,
			    "Paths that get an anonymous volume: {\"/data\": {}}."),
			TEXT("WorkingDir", G_PATH, PATH_MAX_, C_PLAIN, "Working directory."),
			LIST("Entrypoint", argument, C_PLAIN, "What runs before Cmd; [\"\"] resets the image's.",
			     .text_too = true),
			FLAG("NetworkDisabled", C_NETWORK, "No network at all."),
			TEXT("MacAddress", G_MAC, 17, C_NETWORK,
			     "Ethernet address; the networks' own MacAddress comes first."),
			LIST("OnBuild", argument, C_PLAIN, "Kept for images built upon this one."),
			MAP("Labels", G_BYTES, schema_label_element, C_PLAIN, "Labels."),
			TEXT("StopSignal", G_SIGNAL, 32, C_PLAIN, "Signal that stops it, by name or number.",
			     .number_too = true),
			INT("StopTimeout", -1, INT32_MAX, C_PLAIN,
			    "Seconds between that signal and SIGKILL; -1 waits for ever."),
			LIST("Shell", argument, C_PLAIN, "Shell for CMD-SHELL health tests."),
			REFUSED("PortSpecs", "ended with API version 1.6: use ExposedPorts", .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(container_config);

static const struct schema_object schema_container_create_object = {
	.name = "ContainerCreate",
	.doc = "The body of POST /containers/create.",
	.parts = {&schema_container_config_object},
	.fields =
		(const struct schema_field[]){
			OBJECT("HostConfig", host_config, C_PLAIN, "How the container stands on its host."),
			OBJECT("NetworkingConfig", networking_config, C_NETWORK, "Its networks."),
			ANSWER("name", "The query's name, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("platform", "The query's platform, which dockerode repeats here.", .spec = IN_CLIENTS),
			REFUSED("Runtime", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("Memory", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("MemorySwap", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("MemoryReservation", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("KernelMemory", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("CpuShares", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("Cpuset", "belongs into HostConfig, as CpusetCpus", .spec = IN_CLIENTS),
			REFUSED("VolumeDriver", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("VolumesFrom", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("Dns", "belongs into HostConfig", .spec = IN_CLIENTS),
			REFUSED("SecurityOpts", "belongs into HostConfig, as SecurityOpt", .spec = IN_CLIENTS),
			REFUSED("Mounts", "belongs into HostConfig", .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(container_create);

static const struct schema_object schema_container_commit_object = {
	.name = "ContainerCommit",
	.doc = "The body of POST /commit.",
	.parts = {&schema_container_config_object},
	.fields =
		(const struct schema_field[]){
			ANSWER("container", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("repo", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("tag", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("comment", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("author", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("pause", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			ANSWER("changes", "The query's, which dockerode repeats here.", .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(container_commit);
