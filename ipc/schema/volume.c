/* POST /volumes/create. */
#include "ipc/schema/rows.h"

static const struct schema_object schema_volume_create_object = {
	.name = "VolumeCreate",
	.doc = "A volume to create.",
	.fields =
		(const struct schema_field[]){
			TEXT("Name", G_VOLUME_NAME, 255, C_MOUNT,
			     "Name; 64 hexadecimal digits are made up when empty."),
			TEXT("Driver", G_NAME, 128, C_MOUNT, "Driver; local when empty."),
			MAP("DriverOpts", G_BYTES, schema_option_element, C_MOUNT,
			    "Options of the driver; local: type, device, o, size."),
			MAP("Labels", G_BYTES, schema_label_element, C_PLAIN, "Labels."),
			REFUSED("ClusterVolumeSpec", "is only for a swarm", .spec = IN_DOCKER, .since = 42),
			{0},
		},
};
ROOT_OBJECT(volume_create);
