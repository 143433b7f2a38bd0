#include <jansson.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "lib/sandbox/sandbox.h"
#include "lib/util.h"

/* By number: linux/capability.h. */
static const char *const names[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_LEN(names) == CAP_CHECKPOINT_RESTORE + 1, "one name a capability");

static json_t *capabilities(uint64_t set)
{
	json_t *list = json_array();

	for (unsigned cap = 0; cap < ARRAY_LEN(names); cap++)
		if (set >> cap & 1)
			json_array_append_new(list, json_string(names[cap]));
	return list;
}

json_t *sandbox_report_json(const struct sandbox_report *report)
{
	json_t *out = json_object();
	json_t *missing = json_array();

	for (size_t i = 0; i < report->nmissing; i++)
		json_array_append_new(missing, json_string(report->missing[i]));
	json_object_set_new(out, "Uid", json_integer(report->uid));
	json_object_set_new(out, "Gid", json_integer(report->gid));
	json_object_set_new(out, "Missing", missing);
	json_object_set_new(out, "MemoryDenyWriteExecute", json_boolean(report->mdwe));
	if (report->keeps) {
		json_object_set_new(out, "KeepsRoot", json_string(report->keeps));
		return out;
	}
	json_object_set_new(out, "Capabilities", capabilities(report->capabilities));
	json_object_set_new(out, "BoundingSet", capabilities(report->bounding));
	json_object_set_new(out, "OwnRoot", json_boolean(report->new_root));
	json_object_set_new(out, "EmptyNetwork", json_boolean(report->new_net));
	json_object_set_new(out, "NoNewPrivileges", json_boolean(report->no_new_privs));
	json_object_set_new(out, "Landlock", json_integer(report->landlock_abi));
	json_object_set_new(out, "Seccomp", json_boolean(report->seccomp));
	return out;
}

void sandbox_report_text(const struct sandbox_report *report, char *buf, size_t size)
{
	char caps[512] = "no capability";
	size_t n = 0;

	if (report->keeps) {
		snprintf(buf, size, "uid %u, keeps root: %s", (unsigned)report->uid, report->keeps);
		return;
	}
	for (unsigned cap = 0; cap < ARRAY_LEN(names); cap++)
		if (report->capabilities >> cap & 1 && n < sizeof caps)
			n += (size_t)snprintf(caps + n, sizeof caps - n, "%s%s", n ? " " : "", names[cap]);
	snprintf(buf, size, "uid %u, %s%s%s, landlock %d, %s", (unsigned)report->uid, caps,
		 report->new_root ? ", own root" : "", report->new_net ? ", empty network" : "", report->landlock_abi,
		 report->seccomp ? "seccomp" : "no seccomp");
}
