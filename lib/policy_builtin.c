#include "lib/policy_private.h"

/*
 * The roles that every policy has. operator may do everything with containers that stay inside their walls (the
 * defaults of policy_rules.def); viewer changes nothing and reads no file, log, environment value or archive.
 */
const char policy_builtin_roles[] =
	"{\"admin\":{\"permissions\":[\"*\"],\"containers\":\"any\"},"
	"\"operator\":{\"permissions\":[\"container.*\",\"exec.*\",\"image.*\",\"network.*\",\"volume.*\","
	"\"system.*\"],\"containers\":{}},"
	"\"viewer\":{\"permissions\":[\"container.list\",\"container.inspect\",\"container.top\",\"container.stats\","
	"\"container.changes\",\"container.wait\",\"exec.inspect\",\"image.list\",\"image.inspect\",\"image.history\","
	"\"image.search\",\"network.list\",\"network.inspect\",\"volume.list\",\"volume.inspect\",\"system.ping\","
	"\"system.version\",\"system.info\",\"system.df\",\"system.events\"],\"containers\":{}}}";
