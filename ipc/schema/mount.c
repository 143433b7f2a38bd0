/* Mount: one of HostConfig.Mounts. */
#include "ipc/schema/rows.h"

#define DOCKER .spec = IN_DOCKER

TEXT_ELEMENT(word, G_WORD, 256);
static const struct schema_field words_of_option = {.type = S_LIST, .of = &word, .max = 2};

static const char *const types[] = {"bind", "volume", "tmpfs", NULL};
static const char *const consistencies[] = {"default", "consistent", "cached", "delegated", NULL};
static const char *const propagations[] = {"private", "rprivate", "shared", "rshared", "slave", "rslave", NULL};

static const struct schema_object schema_bind_options_object = {
	.name = "BindOptions",
	.doc = "Options of a bind.",
	.fields =
		(const struct schema_field[]){
			WORDS("Propagation", propagations, C_MOUNT,
			      "Propagation of mounts below it; rprivate when empty.", DOCKER),
			FLAG("NonRecursive", C_MOUNT, "Without the mounts below the source.", DOCKER, .since = 40),
			FLAG("CreateMountpoint", C_MOUNT, "Make the source when it is missing.", DOCKER, .since = 42),
			FLAG("ReadOnlyNonRecursive", C_MOUNT, "ReadOnly does not reach the mounts below.", DOCKER,
			     .since = 44),
			FLAG("ReadOnlyForceRecursive", C_MOUNT, "An error when ReadOnly cannot reach the mounts below.",
			     DOCKER, .since = 44),
			{0},
		},
};

static const struct schema_object schema_driver_config_object = {
	.name = "DriverConfig",
	.doc = "The driver of a volume to create.",
	.fields =
		(const struct schema_field[]){
			TEXT("Name", G_NAME, 128, C_MOUNT, "Driver; local when empty.", DOCKER),
			MAP("Options", G_BYTES, schema_option_element, C_MOUNT, "Options of the driver.", DOCKER),
			{0},
		},
};

static const struct schema_object schema_volume_options_object = {
	.name = "VolumeOptions",
	.doc = "Options of a volume.",
	.fields =
		(const struct schema_field[]){
			FLAG("NoCopy", C_MOUNT, "Do not fill an empty volume from the image.", DOCKER),
			MAP("Labels", G_BYTES, schema_label_element, C_PLAIN, "Labels of a volume to create.", DOCKER),
			OBJECT("DriverConfig", driver_config, C_MOUNT, "Driver of a volume to create.", DOCKER),
			TEXT("Subpath", G_PATH, PATH_MAX_, C_MOUNT, "Path inside the volume.", DOCKER, .since = 45),
			{0},
		},
};

static const struct schema_object schema_tmpfs_options_object = {
	.name = "TmpfsOptions",
	.doc = "Options of a tmpfs.",
	.fields =
		(const struct schema_field[]){
			INT("SizeBytes", 0, INT64_MAX, C_RESOURCE, "Bytes; 0: no limit of its own.", DOCKER),
			INT("Mode", 0, 07777, C_PLAIN, "Permission bits, as a decimal number.", DOCKER),
			LIST("Options", words_of_option, C_MOUNT, "Mount options: [[\"noexec\"], [\"uid\", \"1000\"]].",
			     DOCKER, .since = 46),
			{0},
		},
};

const struct schema_object schema_mount_object = {
	.name = "Mount",
	.doc = "One mount of a container.",
	.fields =
		(const struct schema_field[]){
			TEXT("Target", G_PATH, PATH_MAX_, C_MOUNT, "Path inside the container.", .required = true,
			     DOCKER),
			TEXT("Source", G_PATH, PATH_MAX_, C_MOUNT, "Path of the host, or a volume's name.", DOCKER),
			WORDS("Type", types, C_MOUNT,
			      "What it is. Named pipes are for Windows, cluster volumes for a swarm.", .required = true,
			      DOCKER),
			FLAG("ReadOnly", C_MOUNT, "Read-only.", DOCKER),
			WORDS("Consistency", consistencies, C_PLAIN, "Taken; a bind is always consistent on Linux.",
			      DOCKER),
			OBJECT("BindOptions", bind_options, C_MOUNT, "With type bind.", DOCKER),
			OBJECT("VolumeOptions", volume_options, C_MOUNT, "With type volume.", DOCKER),
			OBJECT("TmpfsOptions", tmpfs_options, C_MOUNT, "With type tmpfs.", DOCKER),
			REFUSED("ClusterOptions", "is only for a swarm", .spec = IN_CLIENTS),
			REFUSED("ImageOptions", "needs API version 1.48", .spec = IN_CLIENTS),
			{0},
		},
};
