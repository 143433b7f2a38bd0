/* policy_admit: what the checks of policy_admit.def share; for lib/policy_admit*.c only. */
#ifndef POUCH_LIB_POLICY_ADMIT_H
#define POUCH_LIB_POLICY_ADMIT_H

#include "lib/policy_private.h"

enum admit_table { ADMIT_CONFIG, ADMIT_HOST, ADMIT_MOUNT, ADMIT_ENDPOINT, ADMIT_EXEC, ADMIT_VOLUME, ADMIT_NETWORK };

/* One document against the rules of one role. */
struct admit {
	const struct policy_grant *grant;
	const struct policy_role *role;
	const struct policy_rules *rules;
	const struct policy_facts *facts;
	enum policy_document kind;
	char field[256]; /* path of the field that is being looked at */
	struct err *e;
};

typedef int (*admit_check)(struct admit *a, const json_t *value);

/* Each set member of `object` by its row in the table; `prefix` stands before the field's name. */
int admit_object(struct admit *a, enum admit_table table, const char *prefix, const json_t *object);

/* -EPERM: field, value, rule and role in the text. */
int admit_deny(struct admit *a, const char *value, const char *rule);
int admit_deny_json(struct admit *a, const json_t *value, const char *rule);
/* 0 when one of the patterns fits, else admit_deny(). */
int admit_match(struct admit *a, const struct policy_texts *patterns, const char *text, const char *rule);
/* 0 when the flag is on, else admit_deny_json(). */
int admit_flag(struct admit *a, bool flag, const json_t *value, const char *rule);
/* Another container's namespaces, volumes or links. */
int admit_join(struct admit *a, const char *ref, const char *value);

/* "" for what is no text. */
const char *admit_text(const json_t *value);
/* Each text of a list; what is none is denied. */
int admit_each(struct admit *a, const json_t *list, int (*check)(struct admit *a, const char *text));
/* Absolute, and without .. or an empty step: such a path would be compared as one thing and opened as another. */
bool admit_plain(const char *path);

/* false, 0, "", [], {} and null ask for nothing. */
bool admit_is_set(const json_t *value);

/* The limits that hold for what is not set as well: max-memory, max-nano-cpus, max-pids. */
int admit_limits(struct admit *a, const json_t *host);

/* clang-format off */
#define CHECK_NAMES                                                                                                    \
	X(nothing) X(image) X(labels) X(host_config) X(networking) X(memory) X(cgroup_parent) X(realtime) \
	X(devices) X(device_rules) X(device_requests) X(memory_swap) X(oom) X(ulimits) X(binds) \
	X(log_config) X(network_mode) X(port_bindings) X(volume_driver) X(volumes_from) X(mounts) \
	X(annotations) X(capabilities) X(cgroupns_mode) X(ipc_mode) X(links) X(oom_score) X(pid_mode) \
	X(privileged) X(publish_all) X(security_options) X(uts_mode) X(userns_mode) X(shm) X(sysctls) \
	X(runtime) X(paths) X(mount_type) X(bind_options) X(volume_options) X(volume_driver_options) \
	X(network_name) X(network_driver) X(network_options) X(endpoint_options)
/* clang-format on */
#define X(name) int admit_##name(struct admit *a, const json_t *value);
CHECK_NAMES
#undef X

#endif
