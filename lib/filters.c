#include "lib/filters.h"

#include <errno.h>
#include <string.h>

#include "lib/util.h"
#include "lib/pattern.h"

#define VALUES_MAX 1000

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(*known, key) == 0)
			return true;
	return false;
}

static int read_values(json_t *list, const char *key, json_t *given, struct err *e)
{
	const char *name;
	json_t *value;
	size_t i;

	if (json_is_array(given)) {
		json_array_foreach(given, i, value) {
			if (!json_is_string(value))
				return err_set(e, -EINVAL, "invalid filter '%s': values must be strings", key);
			json_array_append(list, value);
		}
	} else if (json_is_object(given)) {
		json_object_foreach(given, name, value)
			if (json_is_true(value))
				json_array_append_new(list, json_string(name));
	} else {
		return err_set(e, -EINVAL, "invalid filter '%s': want a list of strings", key);
	}
	if (json_array_size(list) > VALUES_MAX)
		return err_set(e, -EINVAL, "invalid filter '%s': more than %d values", key, VALUES_MAX);
	return 0;
}

int filters_read(struct filters *out, json_t *doc, const char *const *known, struct err *e)
{
	const char *key;
	json_t *given;

	out->keys = json_object();
	if (!doc)
		return 0;
	json_object_foreach(doc, key, given) {
		json_t *list = json_array();
		json_object_set_new(out->keys, key, list);
		int rc = is_known(key, known) ? read_values(list, key, given, e)
					      : err_set(e, -EINVAL, "invalid filter '%s'", key);
		if (rc < 0) {
			filters_clean(out);
			return rc;
		}
		if (json_array_size(list) == 0)
			json_object_del(out->keys, key);
	}
	return 0;
}

void filters_clean(struct filters *f)
{
	json_decref(f->keys);
	f->keys = NULL;
}

bool filters_has(const struct filters *f, const char *key)
{
	return json_object_get(f->keys, key) != NULL;
}

const char *filters_first(const struct filters *f, const char *key)
{
	return json_string_value(json_array_get(json_object_get(f->keys, key), 0));
}

int filters_only(const struct filters *f, const char *key, const char **out, struct err *e)
{
	*out = filters_first(f, key);
	if (json_array_size(json_object_get(f->keys, key)) > 1)
		return err_http(e, 400, "more than one %s filter specified", key);
	return 0;
}

bool filters_any(const struct filters *f, const char *key, bool (*match)(const char *value, void *arg), void *arg)
{
	json_t *list = json_object_get(f->keys, key), *value;
	size_t i;

	if (!list)
		return true;
	json_array_foreach(list, i, value)
		if (match(json_string_value(value), arg))
			return true;
	return false;
}

static bool same(const char *value, void *arg)
{
	return str_eq(value, arg);
}

bool filters_exact(const struct filters *f, const char *key, const char *value)
{
	return filters_any(f, key, same, (void *)(uintptr_t)value);
}

static bool matches(const char *value, void *arg)
{
	return arg && (strcmp(value, arg) == 0 || pattern_match(value, arg));
}

bool filters_pattern(const struct filters *f, const char *key, const char *value)
{
	return filters_any(f, key, matches, (void *)(uintptr_t)value);
}

static bool begins(const char *value, void *arg)
{
	return arg && str_starts(arg, value);
}

bool filters_prefix(const struct filters *f, const char *key, const char *value)
{
	return filters_any(f, key, begins, (void *)(uintptr_t)value);
}

static bool has_label(json_t *labels, const char *wanted)
{
	const char *equals = strchr(wanted, '=');

	/* The volumes' routes also write name:value; a name that has a colon itself comes first. */
	if (!equals && !json_object_get(labels, wanted))
		equals = strchr(wanted, ':');
	AUTO_FREE char *name = equals ? xstrndup(wanted, (size_t)(equals - wanted)) : xstrdup(wanted);
	const char *value = json_string_value(json_object_get(labels, name));

	return value && (!equals || strcmp(value, equals + 1) == 0);
}

bool filters_labels(const struct filters *f, const char *key, json_t *labels)
{
	json_t *wanted;
	size_t i;
	bool inverted = key[strlen(key) - 1] == '!';

	json_array_foreach(json_object_get(f->keys, key), i, wanted)
		if (has_label(labels, json_string_value(wanted)) == inverted)
			return false;
	return true;
}

int filters_bool(const struct filters *f, const char *key, bool *out, struct err *e)
{
	static const char *const yes[] = {"1", "true", "True", "TRUE", "t", "T"};
	static const char *const no[] = {"0", "false", "False", "FALSE", "f", "F"};
	json_t *list = json_object_get(f->keys, key);
	const char *text = json_string_value(json_array_get(list, 0));

	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(yes) && json_array_size(list) == 1; i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*out = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "invalid filter '%s=%s': want true or false", key, text);
}
