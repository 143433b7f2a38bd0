/*
 * Where the numbers come from: user ids as systemd's UIDS-GIDS page and Debian's policy 9.2.2 leave them free.
 * 2147418112..2147483647 belongs to nobody: processes of the engine. 1879048192..2147352575, above the ranges of
 * systemd-nspawn: containers of the engine on the default root. 134217728..1879048191 is shared with nspawn: containers
 * of engines on other roots, which are for tests.
 */
#include "lib/config_derive.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/daemon.h"
#include "lib/util.h"

#define PROCESS_IDS	   2147418112u
#define PROCESS_SLOTS	   4096u /* of 16 ids */
#define RANGES_OTHER	   134217728u
#define RANGES_OTHER_N	   1024u
#define RANGES_OTHER_SLOTS 26u
#define RANGE_IDS	   65536u

/* FNV-1a and a final mix, so that roots that differ in one character land in different slots. */
static uint32_t root_hash(const char *root)
{
	uint32_t h = 2166136261u;

	for (const unsigned char *p = (const unsigned char *)root; *p; p++)
		h = (h ^ *p) * 16777619u;
	h ^= h >> 15;
	h *= 2246822519u;
	return h ^ (h >> 13);
}

static const struct {
	const char *key;
	const char *value; /* of the default root */
} fixed[] = {
	{"ids.base", "2147418112"},
	{"ids.containers.base", "1879048192"},
	{"ids.containers.count", "4094"},
	{"policy", "/etc/pouch/policy.json"},
	{"cgroup.parent", "/pouch"},
	{"network.bridge.name", "pouch0"},
	{"network.bridge.subnet", "172.31.0.0/16"},
	{"network.nft-table", "pouch"},
};

static void derive_other(const char *key, uint32_t h, char *buf, size_t size)
{
	if (str_eq(key, "ids.base")) /* slot 0 is the default engine's */
		snprintf(buf, size, "%u", PROCESS_IDS + 16 * (1 + h % (PROCESS_SLOTS - 1)));
	else if (str_eq(key, "ids.containers.base"))
		snprintf(buf, size, "%u", RANGES_OTHER + h % RANGES_OTHER_SLOTS * RANGES_OTHER_N * RANGE_IDS);
	else if (str_eq(key, "ids.containers.count"))
		snprintf(buf, size, "%u", RANGES_OTHER_N);
	else if (str_eq(key, "policy"))
		buf[0] = '\0';
	else if (str_eq(key, "cgroup.parent"))
		snprintf(buf, size, "/pouch-%08x", h);
	else if (str_eq(key, "network.bridge.name"))
		snprintf(buf, size, "pouch-%08x", h);
	else if (str_eq(key, "network.bridge.subnet")) /* one of 1,024 in 10.64.0.0/10 */
		snprintf(buf, size, "10.%u.%u.0/20", 64 + h % 64, (h >> 6) % 16 * 16);
	else
		snprintf(buf, size, "pouch_%08x", h);
}

const char *config_derive(const char *key, const char *root, char *buf, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		if (!str_eq(fixed[i].key, key))
			continue;
		if (str_eq(root, DAEMON_DEFAULT_ROOT))
			snprintf(buf, size, "%s", fixed[i].value);
		else
			derive_other(key, root_hash(root), buf, size);
		return buf;
	}
	return NULL;
}
