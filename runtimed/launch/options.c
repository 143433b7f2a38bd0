/* options: HostConfig.SecurityOpt. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

static int option_label(struct security *s, const char *value, struct err *e)
{
	static const struct {
		const char *key;
		size_t offset;
	} parts[] = {
		{"user:", offsetof(struct security, label_user)},
		{"role:", offsetof(struct security, label_role)},
		{"type:", offsetof(struct security, label_type)},
		{"level:", offsetof(struct security, label_level)},
	};

	if (str_eq(value, "disable")) {
		s->label_disable = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (str_starts(value, parts[i].key)) {
			const char *rest = value + strlen(parts[i].key);
			memcpy((char *)s + parts[i].offset, &rest, sizeof rest);
			return 0;
		}
	return err_http(e, 400, "invalid --security-opt: label=%s", value);
}

static int option(struct security *s, const char *text, struct err *e)
{
	const char *sep = strpbrk(text, "=:");
	const char *value = sep ? sep + 1 : "";
	size_t n = sep ? (size_t)(sep - text) : strlen(text);

	if (n == 17 && memcmp(text, "no-new-privileges", n) == 0) {
		if (*value && !str_eq(value, "true") && !str_eq(value, "false"))
			return err_http(e, 400, "invalid --security-opt: %s", text);
		s->no_new_privileges = !str_eq(value, "false");
		return 0;
	}
	if (sep && n == 7 && memcmp(text, "seccomp", n) == 0) {
		s->unconfined_seccomp = str_eq(value, "unconfined");
		s->seccomp = s->unconfined_seccomp || str_eq(value, "builtin") ? NULL : value;
		return 0;
	}
	if (sep && n == 8 && memcmp(text, "apparmor", n) == 0) {
		s->apparmor = str_eq(value, "unconfined") ? "" : value;
		return 0;
	}
	if (sep && n == 11 && memcmp(text, "systempaths", n) == 0 && str_eq(value, "unconfined")) {
		s->unconfined_paths = true;
		return 0;
	}
	if (sep && n == 5 && memcmp(text, "label", n) == 0)
		return option_label(s, value, e);
	return err_http(e, 400, "invalid --security-opt 1: \"%.200s\"", text);
}

int security_parse(const struct launch *l, const json_t *host, struct security *out, struct err *e)
{
	json_t *item;
	size_t i;

	*out = (struct security){.no_new_privileges = l->c.no_new_privileges,
				 .apparmor = l->c.apparmor ? l->c.apparmor : ""};
	json_array_foreach(json_object_get(host, "SecurityOpt"), i, item) {
		int r = option(out, json_string_value(item) ? json_string_value(item) : "", e);
		if (r < 0)
			return r;
	}
	if (doc_true(host, "Privileged")) {
		out->unconfined_seccomp = out->unconfined_seccomp || !out->seccomp;
		out->unconfined_paths = true;
		out->no_new_privileges = false;
		out->apparmor = "";
	}
	if (*out->apparmor && access("/sys/kernel/security/apparmor/profiles", F_OK) < 0 &&
	    out->apparmor != l->c.apparmor)
		return err_http(e, 400, "SecurityOpt apparmor=%s: AppArmor is not enabled on this host", out->apparmor);
	if ((out->label_user || out->label_role || out->label_type || out->label_level) &&
	    access("/sys/fs/selinux/enforce", F_OK) < 0)
		return err_http(e, 400, "SecurityOpt label: SELinux is not enabled on this host");
	return 0;
}
