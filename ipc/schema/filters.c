/* The filters of lists, prunes and events: {"name": ["value", …]}. */
#include "ipc/schema/rows.h"

#define LABEL	  FILTER("label", "With this label: name or name=value.")
#define NOT_LABEL FILTER("label!", "Without this label.")
#define UNTIL	  FILTER("until", "Made before this time.")
#define DANGLING  FILTER("dangling", "true or false: nobody uses it.")

#define FILTERS(o, what, ...)                                                                                          \
	static const struct schema_object schema_##o##_object = {                                                      \
		.name = what,                                                                                          \
		.doc = "Each a list of values; an object {\"value\": true} is taken too.",                             \
		.filters = true,                                                                                       \
		.fields = (const struct schema_field[]){__VA_ARGS__, {0}},                                             \
	};                                                                                                             \
	ROOT_OBJECT(o)

static const struct schema_field any_filter = {.type = S_FILTER};
const struct schema_field schema_filters = {.type = S_MAP, .rule = G_TEXT, .of = &any_filter, .max = 64};

FILTERS(container_filters, "ContainerFilters", FILTER("ancestor", "Made from this image, or one built upon it."),
	FILTER("before", "Made before this container."), FILTER("exited", "Ended with this exit code."),
	FILTER("expose", "Exposes this port: port[-port][/protocol]."),
	FILTER("health", "starting, healthy, unhealthy or none."), FILTER("id", "Id, or a part of it."),
	FILTER("isolation", "Windows only: no container of Linux has another than default."),
	FILTER("is-task", "true or false: part of a swarm's service; none is."), LABEL, NOT_LABEL,
	FILTER("name", "Name, or a part or pattern of it."), FILTER("network", "Connected to this network."),
	FILTER("publish", "Publishes this port: port[-port][/protocol]."),
	FILTER("since", "Made after this container."),
	FILTER("status", "created, restarting, running, removing, paused, exited, dead; stopped in Pouch's dialect."),
	FILTER("volume", "Uses this volume, or has a mount at this path."));

FILTERS(container_prune_filters, "ContainerPruneFilters", UNTIL, LABEL, NOT_LABEL);

FILTERS(event_filters, "EventFilters", FILTER("config", "Configs of a swarm; there are none."),
	FILTER("container", "This container, by name or id."), FILTER("daemon", "This engine."),
	FILTER("event", "This action."), FILTER("image", "This image."), LABEL, FILTER("network", "This network."),
	FILTER("node", "Nodes of a swarm; there are none."), FILTER("plugin", "This plugin."),
	FILTER("scope", "local or swarm."), FILTER("secret", "Secrets of a swarm; there are none."),
	FILTER("service", "Services of a swarm; there are none."),
	FILTER("type", "container, image, volume, network, daemon or plugin."), FILTER("volume", "This volume."));

FILTERS(image_filters, "ImageFilters", FILTER("before", "Made before this image."), DANGLING, LABEL, NOT_LABEL,
	FILTER("reference", "Reference, or a pattern of it."), FILTER("since", "Made after this image."), UNTIL);

FILTERS(image_prune_filters, "ImagePruneFilters", DANGLING, UNTIL, LABEL, NOT_LABEL);

FILTERS(image_search_filters, "ImageSearchFilters", FILTER("is-official", "true or false."),
	FILTER("is-automated", "true or false."), FILTER("stars", "At least so many stars."));

FILTERS(volume_filters, "VolumeFilters", DANGLING, FILTER("driver", "Driver."), LABEL, NOT_LABEL,
	FILTER("name", "Name, or a part of it."));

FILTERS(volume_prune_filters, "VolumePruneFilters", LABEL, NOT_LABEL,
	FILTER("all", "true: those with names too, not only anonymous ones.", .since = 42));

FILTERS(network_filters, "NetworkFilters", DANGLING, FILTER("driver", "Driver."), FILTER("id", "Id, or a part of it."),
	LABEL, NOT_LABEL, FILTER("name", "Name, or a part of it."), FILTER("scope", "local, global or swarm."),
	FILTER("type", "custom or builtin."));

FILTERS(network_prune_filters, "NetworkPruneFilters", UNTIL, LABEL, NOT_LABEL);

FILTERS(build_prune_filters, "BuildPruneFilters", UNTIL, FILTER("unused-for", "Until, by its old name."),
	FILTER("id", "Id."), FILTER("parent", "Parent's id."), FILTER("type", "Type."),
	FILTER("description", "Description."), FILTER("inuse", "In use."), FILTER("shared", "Shared."),
	FILTER("private", "Private."), LABEL, NOT_LABEL);
