#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include "lib/config.h"
#include "lib/policy_private.h"
#include "lib/util.h"

#define NSS_BUFFER (64u << 10)

static bool number(const char *text, uint32_t *out)
{
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10)
		return false;
	unsigned long v = strtoul(text, &end, 10);
	*out = (uint32_t)v;
	return v < UINT32_MAX;
}

static int user_id(const char *name, uint32_t *out)
{
	AUTO_FREE char *buf = xcalloc(1, NSS_BUFFER);
	struct passwd pw, *found = NULL;

	if (getpwnam_r(name, &pw, buf, NSS_BUFFER, &found) != 0 || !found)
		return -ENOENT;
	*out = found->pw_uid;
	return 0;
}

static int group_id(const char *name, uint32_t *out)
{
	AUTO_FREE char *buf = xcalloc(1, NSS_BUFFER);
	struct group gr, *found = NULL;

	if (getgrnam_r(name, &gr, buf, NSS_BUFFER, &found) != 0 || !found)
		return -ENOENT;
	*out = found->gr_gid;
	return 0;
}

int policy_ids_set(struct policy_ids *ids, json_t *value, bool users, struct err *e)
{
	const char *what = users ? "user" : "group";
	size_t i;
	json_t *id;

	if (!json_is_array(value))
		return err_set(e, -EINVAL, "expected a list of %ss, names or numbers", what);
	json_array_foreach(value, i, id) {
		const char *name = json_string_value(id);
		uint32_t v = 0;

		if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < UINT32_MAX)
			v = (uint32_t)json_integer_value(id);
		else if (!name)
			return err_set(e, -EINVAL, "expected a list of %ss, names or numbers (element %zu)", what, i);
		else if (!number(name, &v) && (users ? user_id(name, &v) : group_id(name, &v)) < 0)
			return err_set(e, -EINVAL, "there is no %s of the name %s", what, name);
		ids->v = xrealloc(ids->v, ids->n + 1, sizeof *ids->v);
		ids->v[ids->n++] = v;
		if (name)
			json_array_set_new(value, i, json_integer(v));
	}
	return 0;
}

gid_t policy_socket_group(const struct config *config)
{
	for (size_t i = 0; config && i < config->listeners.n; i++) {
		const struct config_listener *l = &config->listeners.v[i];
		uint32_t gid;

		if (l->type != LISTENER_UNIX)
			continue;
		if (l->group[0])
			return number(l->group, &gid) || group_id(l->group, &gid) == 0 ? gid : (gid_t)-1;
		return group_id("pouch", &gid) == 0 ? gid : 0;
	}
	return (gid_t)-1;
}
