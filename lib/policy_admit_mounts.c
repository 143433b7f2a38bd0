/* The checks of binds, mounts and volumes. The real path is looked at when it has been opened: policy_admit_bind(). */
#include <stdio.h>
#include <string.h>

#include "lib/policy_admit.h"
#include "lib/util.h"

static int host_path(struct admit *a, const char *path)
{
	return a->rules->binds.n ? 0 : admit_deny(a, path, "binds");
}

static int propagation(struct admit *a, const char *mode)
{
	return a->rules->propagation || !*mode || strcmp(mode, "private") == 0 || strcmp(mode, "rprivate") == 0
		       ? 0
		       : admit_deny(a, mode, "propagation");
}

static int bind(struct admit *a, const char *text)
{
	static const char *const modes[] = {"shared", "rshared", "slave", "rslave"};
	AUTO_FREE char *copy = xstrdup(text);
	char *save = NULL, *options = NULL;
	int r = text[0] == '/' ? host_path(a, text) : 0;

	/* source:target[:options] */
	char *colon = strchr(copy, ':');
	options = colon ? strchr(colon + 1, ':') : NULL;
	for (char *o = options ? strtok_r(options + 1, ",", &save) : NULL; o && r == 0; o = strtok_r(NULL, ",", &save))
		for (size_t i = 0; i < ARRAY_LEN(modes) && r == 0; i++)
			if (strcmp(o, modes[i]) == 0)
				r = propagation(a, o);
	return r;
}

int admit_binds(struct admit *a, const json_t *value)
{
	return admit_each(a, value, bind);
}

int admit_mounts(struct admit *a, const json_t *value)
{
	size_t i;
	json_t *mount;

	json_array_foreach(value, i, mount) {
		char prefix[64];
		snprintf(prefix, sizeof prefix, "HostConfig.Mounts[%zu].", i);
		int r = admit_object(a, ADMIT_MOUNT, prefix, mount);
		if (r < 0)
			return r;
		snprintf(a->field, sizeof a->field, "HostConfig.Mounts[%zu].Source", i);
		if (strcmp(admit_text(json_object_get(mount, "Type")), "bind") == 0)
			r = host_path(a, admit_text(json_object_get(mount, "Source")));
		if (r < 0)
			return r;
	}
	return 0;
}

int admit_mount_type(struct admit *a, const json_t *value)
{
	const char *type = admit_text(value);

	if (strcmp(type, "bind") == 0 || strcmp(type, "volume") == 0 || strcmp(type, "tmpfs") == 0)
		return 0;
	return admit_deny(a, type, "that what is not known is refused");
}

int admit_bind_options(struct admit *a, const json_t *value)
{
	return propagation(a, admit_text(json_object_get(value, "Propagation")));
}

int admit_volume_driver(struct admit *a, const json_t *value)
{
	return admit_match(a, &a->rules->volume_drivers, admit_text(value), "volume-drivers");
}

static int volume_option(struct admit *a, const char *name, const char *value, size_t len)
{
	AUTO_FREE char *text = xasprintf("%s=%.*s", name, (int)len, value);

	return admit_match(a, &a->rules->volume_options, text, "volume-options");
}

int admit_volume_driver_options(struct admit *a, const json_t *value)
{
	const char *name;
	json_t *option;

	json_object_foreach((json_t *)value, name, option) {
		const char *text = admit_text(option);
		int r = 0;

		/* mount(8)'s list: what is allowed with one word is not allowed with another behind it. */
		for (size_t len; r == 0 && strcmp(name, "o") == 0 && text[len = strcspn(text, ",")]; text += len + 1)
			r = volume_option(a, name, text, len);
		if (r == 0 && *text == '/' && !admit_plain(text))
			r = admit_deny(a, text, "volume-options");
		if (r == 0)
			r = volume_option(a, name, text, strlen(text));
		if (r < 0)
			return r;
	}
	return 0;
}

int admit_volume_options(struct admit *a, const json_t *value)
{
	const json_t *driver = json_object_get(value, "DriverConfig");
	const json_t *name = json_object_get(driver, "Name"), *options = json_object_get(driver, "Options");
	int r = name && admit_is_set(name) ? admit_volume_driver(a, name) : 0;

	return r == 0 && options && admit_is_set(options) ? admit_volume_driver_options(a, options) : r;
}
