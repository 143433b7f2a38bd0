#include "runtimed/merge.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/container.h"
#include "runtimed/signals.h"

/* Docker refuses shorter ones: they are meant as seconds and given as nanoseconds. */
#define HEALTH_LEAST 1000000

static bool empty(const json_t *v)
{
	return !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) ||
	       (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0) ||
	       (json_is_integer(v) && json_integer_value(v) == 0);
}

/* The image's value where the client gave none. */
static void inherit(json_t *config, const json_t *image, const char *key)
{
	json_t *own = json_object_get(config, key), *from = json_object_get(image, key);

	if (empty(own) && !empty(from))
		json_object_set_new(config, key, json_deep_copy(from));
}

/* Both, the client's value where both have one. */
static void unite(json_t *config, const json_t *image, const char *key)
{
	json_t *own = json_object_get(config, key), *from = json_object_get(image, key);

	if (empty(from))
		return;
	json_t *both = json_deep_copy(from);
	if (own)
		json_object_update(both, own);
	json_object_set_new(config, key, both);
}

json_t *labels_of_image(const json_t *config, const json_t *image)
{
	json_t *own = json_object_get(config, "Labels"), *from = json_object_get(image, "Labels"), *names = NULL, *v;
	const char *name;

	json_object_foreach(from, name, v) {
		if (json_object_get(own, name))
			continue;
		if (!names)
			names = json_array();
		json_array_append_new(names, json_string(name));
	}
	return names;
}

json_t *labels_asked(const json_t *config, const json_t *of_image)
{
	const json_t *all = json_object_get(config, "Labels");
	json_t *asked = all ? json_copy((json_t *)(uintptr_t)all) : json_object(), *name;
	size_t i;

	json_array_foreach(of_image, i, name)
		json_object_del(asked, json_string_value(name));
	return asked;
}

static size_t name_len(const char *variable)
{
	return strcspn(variable, "=");
}

static bool has_variable(const json_t *list, const char *wanted)
{
	size_t i, len = name_len(wanted);
	json_t *v;

	json_array_foreach(list, i, v) {
		const char *have = json_string_value(v);
		if (have && name_len(have) == len && memcmp(have, wanted, len) == 0)
			return true;
	}
	return false;
}

/* The image's variables behind the client's. A name alone stays: it takes a variable away when the container starts. */
static void merge_environment(json_t *config, const json_t *image)
{
	json_t *own = json_object_get(config, "Env"), *from = json_object_get(image, "Env"), *v;
	size_t i;

	if (empty(from))
		return;
	json_t *all = own ? json_copy(own) : json_array();
	json_array_foreach(from, i, v)
		if (json_is_string(v) && !(own && has_variable(own, json_string_value(v))))
			json_array_append(all, v);
	json_object_set_new(config, "Env", all);
}

/* The client's entry point resets the image's command; [""] resets the entry point itself. */
static void merge_command(json_t *config, const json_t *image)
{
	json_t *entrypoint = json_object_get(config, "Entrypoint");

	if (empty(entrypoint)) {
		if (empty(json_object_get(config, "Cmd"))) {
			inherit(config, image, "Cmd");
			inherit(config, image, "ArgsEscaped");
		}
		if (!entrypoint)
			inherit(config, image, "Entrypoint");
	} else if (json_array_size(entrypoint) == 1 && json_string_length(json_array_get(entrypoint, 0)) == 0) {
		json_object_del(config, "Entrypoint");
	}
}

static void merge_health(json_t *config, const json_t *image)
{
	static const char *const keys[] = {"Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"};
	json_t *own = json_object_get(config, "Healthcheck"), *from = json_object_get(image, "Healthcheck");

	if (empty(own))
		inherit(config, image, "Healthcheck");
	else if (!empty(from))
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			inherit(own, from, keys[i]);
}

static int check_health(const json_t *health, struct err *e)
{
	static const char *const times[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
	const char *kind = json_string_value(json_array_get(json_object_get(health, "Test"), 0));

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		int64_t ns = json_int(health, times[i]);
		if (ns && ns < HEALTH_LEAST)
			return err_http(e, 400, "%s in Healthcheck cannot be less than 1ms", times[i]);
	}
	if (kind && *kind && strcmp(kind, "NONE") != 0 && strcmp(kind, "CMD") != 0 && strcmp(kind, "CMD-SHELL") != 0)
		return err_http(e, 400, "Healthcheck: unknown type of test \"%s\": want NONE, CMD or CMD-SHELL", kind);
	return 0;
}

int environment_check(const json_t *env, struct err *e)
{
	json_t *v;
	size_t i;

	json_array_foreach(env, i, v)
		if (name_len(json_string_value(v)) == 0)
			return err_http(e, 400, "invalid environment variable: %s", json_string_value(v));
	return 0;
}

static int check(json_t *config, struct err *e)
{
	const char *dir = json_text(config, "WorkingDir");

	if (empty(json_object_get(config, "Entrypoint")) && empty(json_object_get(config, "Cmd")))
		return err_http(e, 400, "No command specified");
	if (dir && *dir && *dir != '/')
		return err_http(e, 400, "The working directory '%s' is invalid. It needs to be an absolute path", dir);
	if (environment_check(json_object_get(config, "Env"), e) < 0)
		return e->code;
	int sig = signal_parse(json_text(config, "StopSignal"), 1, e);
	return sig < 0 ? sig : check_health(json_object_get(config, "Healthcheck"), e);
}

int config_merge(json_t *config, const json_t *image, struct err *e)
{
	static const char *const inherited[] = {"User", "WorkingDir", "StopSignal", "Shell", "OnBuild", "StopTimeout"};
	static const char *const united[] = {"ExposedPorts", "Volumes", "Labels"};

	for (size_t i = 0; i < ARRAY_LEN(inherited); i++)
		inherit(config, image, inherited[i]);
	for (size_t i = 0; i < ARRAY_LEN(united); i++)
		unite(config, image, united[i]);
	merge_environment(config, image);
	merge_command(config, image);
	merge_health(config, image);
	/* An image may say it without the slash. */
	const char *dir = json_text(config, "WorkingDir"), *image_dir = json_text(image, "WorkingDir");
	if (dir && *dir != '/' && str_eq(dir, image_dir)) {
		AUTO_FREE char *absolute = xasprintf("/%s", dir);
		json_object_set_new(config, "WorkingDir", json_string(absolute));
	}
	return check(config, e);
}
