/* caps: capabilities by name, and those a container gets. */
#include <ctype.h>
#include <errno.h>
#include <strings.h>
#include <sys/prctl.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

/* By number, capabilities(7). */
static const char *const names[CAP_COUNT] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

int cap_number(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < CAP_COUNT; i++)
		if (strcasecmp(names[i] + 4, name) == 0)
			return (int)i;
	return -1;
}

const char *cap_name(unsigned number)
{
	return names[number];
}

bool cap_may(unsigned number)
{
	return prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1;
}

uint64_t cap_own(void)
{
	uint64_t own = 0;

	for (unsigned i = 0; i < CAP_COUNT; i++)
		if (cap_may(i))
			own |= 1ull << i;
	return own;
}

static int read_list(const json_t *list, const char *field, bool *all, uint64_t *out, struct err *e)
{
	json_t *item;
	size_t i;

	*all = false;
	*out = 0;
	json_array_foreach(list, i, item) {
		const char *name = json_string_value(item);
		if (name && strcasecmp(name, "ALL") == 0) {
			*all = true;
			continue;
		}
		int n = name ? cap_number(name) : -1;
		if (n < 0)
			return err_http(e, 400, "invalid %s: unknown capability: \"%s\"", field, name ? name : "");
		*out |= 1ull << n;
	}
	return 0;
}

int cap_of_host(const struct launch *l, const json_t *host, bool userns, uint64_t *out, struct err *e)
{
	const uint64_t every = (1ull << CAP_COUNT) - 1;
	/* In a user namespace of its own the kernel gives all; with the host's ids only what the engine has. */
	uint64_t most = userns ? every : l->capabilities;
	uint64_t caps = 0, add, drop;
	bool add_all, drop_all;

	int r = read_list(json_object_get(host, "CapAdd"), "CapAdd", &add_all, &add, e);
	if (r == 0)
		r = read_list(json_object_get(host, "CapDrop"), "CapDrop", &drop_all, &drop, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->c.ncapabilities; i++) {
		int n = cap_number(l->c.capabilities[i]);
		caps |= n < 0 ? 0 : 1ull << n;
	}
	if (doc_true(host, "Privileged")) {
		*out = most;
		return 0;
	}
	if (add_all)
		caps = every & ~drop;
	else if (drop_all)
		caps = add;
	else
		caps = (caps | add) & ~drop;
	*out = caps & most;
	return 0;
}
