#include "imaged/imageconf.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "imaged/stage.h"
#include "lib/json.h"

static const struct {
	const char *key;
	json_type type;
} members[] = {
	{"architecture", JSON_STRING},	 {"os", JSON_STRING},	  {"variant", JSON_STRING},
	{"created", JSON_STRING},	 {"author", JSON_STRING}, {"comment", JSON_STRING},
	{"config", JSON_OBJECT},	 {"rootfs", JSON_OBJECT}, {"history", JSON_ARRAY},
	{"docker_version", JSON_STRING},
};

static const struct {
	const char *key;
	json_type type;
} config_members[] = {
	{"User", JSON_STRING},	     {"Env", JSON_ARRAY},	    {"WorkingDir", JSON_STRING},
	{"Labels", JSON_OBJECT},     {"ExposedPorts", JSON_OBJECT}, {"Volumes", JSON_OBJECT},
	{"StopSignal", JSON_STRING}, {"Healthcheck", JSON_OBJECT},  {"OnBuild", JSON_ARRAY},
	{"Shell", JSON_ARRAY},	     {"Cmd", JSON_ARRAY},	    {"Entrypoint", JSON_ARRAY},
};

static bool type_fits(const json_t *value, json_type type)
{
	return !value || json_is_null(value) || json_typeof(value) == type;
}

static bool texts_only(const json_t *value)
{
	const json_t *x;
	size_t i;
	const char *key;

	if (json_is_array(value))
		json_array_foreach(value, i, x)
			if (!json_is_string(x))
				return false;
	if (json_is_object(value))
		json_object_foreach((json_t *)(uintptr_t)value, key, x)
			if (!json_is_string(x))
				return false;
	return true;
}

static int check_config(const json_t *config, struct err *e)
{
	static const char *const lists[] = {"Env", "OnBuild", "Shell", "Cmd", "Entrypoint", "Labels"};

	for (size_t i = 0; i < ARRAY_LEN(config_members); i++)
		if (!type_fits(json_object_get(config, config_members[i].key), config_members[i].type))
			return err_set(e, -EINVAL, "the image's config: %s has the wrong type", config_members[i].key);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (!texts_only(json_object_get(config, lists[i])))
			return err_set(e, -EINVAL, "the image's config: %s holds something that is no text", lists[i]);
	return 0;
}

static int check_history(const json_t *history, struct err *e)
{
	const json_t *step;
	size_t i;

	json_array_foreach(history, i, step) {
		static const char *const keys[] = {"created", "created_by", "author", "comment"};
		if (!json_is_object(step))
			return err_set(e, -EINVAL, "the image's config: history has the wrong type");
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			if (!type_fits(json_object_get(step, keys[k]), JSON_STRING))
				return err_set(e, -EINVAL, "the image's config: history: %s has the wrong type",
					       keys[k]);
	}
	return 0;
}

static int check_rootfs(const json_t *config, unsigned max_layers, struct err *e)
{
	const json_t *ids = imageconf_diff_ids(config), *id;
	size_t i;

	if (!json_is_array(ids))
		return err_set(e, -EINVAL, "the image's config has no rootfs.diff_ids");
	if (json_array_size(ids) > max_layers)
		return err_set(e, -EFBIG, "%zu layers where the configuration allows %u", json_array_size(ids),
			       max_layers);
	json_array_foreach(ids, i, id)
		if (!json_is_string(id) || !digest_valid(json_string_value(id)))
			return err_set(e, -EINVAL,
				       "the image's config: rootfs.diff_ids holds something that is no digest");
	return 0;
}

int imageconf_parse(const char *text, size_t len, unsigned max_layers, json_t **out, struct err *e)
{
	json_t *config = NULL;
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	int rc = json_parse(text, len, &bounds, &config, e);

	if (rc < 0)
		return err_prefix(e, "the image's config");
	if (!json_is_object(config))
		rc = err_set(e, -EINVAL, "the image's config is no object");
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(members); i++)
		if (!type_fits(json_object_get(config, members[i].key), members[i].type))
			rc = err_set(e, -EINVAL, "the image's config: %s has the wrong type", members[i].key);
	if (rc == 0)
		rc = check_config(json_object_get(config, "config"), e);
	if (rc == 0)
		rc = check_history(json_object_get(config, "history"), e);
	if (rc == 0)
		rc = check_rootfs(config, max_layers, e);
	if (rc < 0)
		json_decref(config);
	else
		*out = config;
	return rc;
}

json_t *imageconf_diff_ids(const json_t *config)
{
	return json_object_get(json_object_get(config, "rootfs"), "diff_ids");
}

const char *imageconf_text(const json_t *config, const char *key)
{
	const char *text = json_string_value(json_object_get(config, key));

	return text ? text : "";
}

json_t *imageconf_config(const json_t *config)
{
	json_t *inner = json_object_get(config, "config");

	return json_is_object(inner) ? inner : NULL;
}

void imageconf_describe(const json_t *config, struct image *out)
{
	json_t *labels = json_object_get(imageconf_config(config), "Labels");
	const char *os = imageconf_text(config, "os");
	const char *architecture = imageconf_text(config, "architecture");

	out->created = imageconf_seconds(imageconf_text(config, "created"));
	out->os = xstrdup(*os ? os : "linux");
	out->architecture = xstrdup(*architecture ? architecture : imageconf_architecture());
	out->variant = xstrdup(imageconf_text(config, "variant"));
	out->labels = json_is_object(labels) ? json_dumps(labels, JSON_COMPACT) : NULL;
	if (!out->labels)
		out->labels = xstrdup("{}");
}

int64_t imageconf_seconds(const char *rfc3339)
{
	struct tm tm = {0};
	const char *rest = strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm);
	int hours, minutes;
	char sign;

	if (!rest)
		return 0;
	int64_t seconds = timegm(&tm);
	rest += *rest == '.' ? 1 + strspn(rest + 1, "0123456789") : 0;
	if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
		seconds += (sign == '+' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return seconds;
}

/* uname(2)'s names and Go's. */
static const struct {
	const char *machine, *architecture, *variant;
} machines[] = {
	{"x86_64", "amd64", ""}, {"aarch64", "arm64", ""},   {"armv7l", "arm", "v7"}, {"armv6l", "arm", "v6"},
	{"i686", "386", ""},	 {"ppc64le", "ppc64le", ""}, {"s390x", "s390x", ""},  {"riscv64", "riscv64", ""},
};

static size_t machine(void)
{
	struct utsname name;

	if (uname(&name) == 0)
		for (size_t i = 0; i < ARRAY_LEN(machines); i++)
			if (str_eq(name.machine, machines[i].machine))
				return i;
	return 0;
}

const char *imageconf_architecture(void)
{
	return machines[machine()].architecture;
}

const char *imageconf_variant(void)
{
	return machines[machine()].variant;
}

int imageconf_load(struct imaged *d, const char *id, json_t **out, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int rc = stage_read_blob(d, id, d->daemon.config->images_max_config, &text, &len, e);

	return rc < 0 ? rc : imageconf_parse(text, len, 500, out, e);
}
