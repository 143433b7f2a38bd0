#include "ipc/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "ipc/schema/rows.h"
#include "ipc/schema/walk.h"
#include "lib/json.h"
#include "lib/util.h"

static const struct {
	const char *name, *what;
	const struct schema_field *root;
} schemas[SCH_COUNT] = {
#define SCHEMA(id, table, what) {#id, what, &schema_##table},
#include "ipc/schemas.def"
#undef SCHEMA
};

static json_t *check(struct walk *w, const struct schema_field *f, json_t *in);

/* ---- values ---- */

static json_t *check_integer(struct walk *w, const struct schema_field *f, json_t *in)
{
	if (!json_is_integer(in))
		return walk_fail_type(w, f, in);
	json_int_t v = json_integer_value(in);
	if (v < f->min || (v > 0 && (uint64_t)v > f->max)) {
		char expected[128];
		schema_expected(f, expected, sizeof expected);
		return walk_fail(w, "", ": expected %s, not %" JSON_INTEGER_FORMAT, expected, v);
	}
	return json_incref(in);
}

static json_t *check_text(struct walk *w, const struct schema_field *f, json_t *in)
{
	if (f->number_too && json_is_integer(in) && json_integer_value(in) >= 0)
		return json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(in));
	if (!json_is_string(in))
		return walk_fail_type(w, f, in);
	size_t len = json_string_length(in);
	if (len > f->max)
		return walk_fail(w, "", ": longer than %" PRIu64 " bytes", f->max);
	if (!grammar_check(f->rule, json_string_value(in), len))
		return walk_fail(w, "", ": not %s", grammar_words(f->rule));
	return json_incref(in);
}

static json_t *check_words(struct walk *w, const struct schema_field *f, json_t *in)
{
	char expected[256];

	if (!json_is_string(in))
		return walk_fail_type(w, f, in);
	for (size_t i = 0; f->words[i]; i++)
		if (strcmp(f->words[i], json_string_value(in)) == 0)
			return json_incref(in);
	schema_expected(f, expected, sizeof expected);
	return walk_fail(w, "", ": expected %s", expected);
}

static json_t *check_list(struct walk *w, const struct schema_field *f, json_t *in)
{
	if (f->text_too && json_is_string(in)) {
		json_t *only = check(w, f->of, in);
		return only ? json_pack("[o]", only) : NULL;
	}
	if (!json_is_array(in))
		return walk_fail_type(w, f, in);
	if (json_array_size(in) > f->max)
		return walk_fail(w, "", ": more than %" PRIu64 " elements", f->max);

	json_t *out = json_array();
	for (size_t i = 0; i < json_array_size(in); i++) {
		json_t *element = walk_enter(w, NULL, i) ? check(w, f->of, json_array_get(in, i)) : NULL;
		if (!element || json_array_append_new(out, element) < 0) {
			json_decref(out);
			return NULL;
		}
		walk_leave(w);
	}
	return out;
}

/* What null means as an element of a map, as Go reads it. */
static json_t *zero_of(const struct schema_field *f)
{
	switch (f->type) {
	case S_TEXT:
		return json_string("");
	case S_LIST:
		return json_array();
	case S_OBJECT:
	case S_MAP:
		return json_object();
	default:
		return NULL;
	}
}

static json_t *check_map(struct walk *w, const struct schema_field *f, json_t *in)
{
	const char *key;
	json_t *value;

	if (!json_is_object(in))
		return walk_fail_type(w, f, in);
	if (json_object_size(in) > f->max)
		return walk_fail(w, "", ": more than %" PRIu64 " members", f->max);

	json_t *out = json_object();
	json_object_foreach(in, key, value) {
		json_t *element = NULL;
		if (!walk_enter(w, key, 0))
			goto failed;
		if (!grammar_check(f->rule, key, strlen(key))) {
			walk_fail(w, "", ": the name is not %s", grammar_words(f->rule));
			goto failed;
		}
		if (json_is_null(value))
			element = zero_of(f->of);
		if (!element)
			element = check(w, f->of, value);
		if (!element || json_object_set_new_nocheck(out, key, element) < 0)
			goto failed;
		walk_leave(w);
	}
	return out;
failed:
	json_decref(out);
	return NULL;
}

/* {"a": true, "b": false} → ["a"] */
static json_t *filter_from_map(struct walk *w, const struct schema_field *f, json_t *in)
{
	json_t *out = json_array(), *value;
	const char *key;

	json_object_foreach(in, key, value) {
		if (!json_is_boolean(value)) {
			json_decref(out);
			return walk_fail_type(w, f, in);
		}
		if (json_is_true(value))
			json_array_append_new(out, json_string_nocheck(key));
	}
	return out;
}

static json_t *check_filter(struct walk *w, const struct schema_field *f, json_t *in)
{
	static const struct schema_field value = {.type = S_TEXT, .rule = G_BYTES, .max = 4096};
	static const struct schema_field list = {.type = S_LIST, .of = &value, .max = LIST_MAX};

	if (json_is_object(in))
		return filter_from_map(w, f, in);
	if (!json_is_array(in))
		return walk_fail_type(w, f, in);
	return check_list(w, &list, in);
}

/* ---- objects ---- */

const struct schema_field *schema_field(const struct schema_object *object, const char *name)
{
	for (const struct schema_field *f = object->fields; f->name; f++)
		if (strcasecmp(f->name, name) == 0)
			return f;
	for (size_t i = 0; i < ARRAY_LEN(object->parts) && object->parts[i]; i++) {
		const struct schema_field *f = schema_field(object->parts[i], name);
		if (f)
			return f;
	}
	return NULL;
}

/* Does the value ask for nothing, as Go's zero values do? */
static bool is_empty(json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_NULL:
	case JSON_FALSE:
		return true;
	case JSON_STRING:
		return json_string_length(v) == 0;
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	case JSON_ARRAY:
		for (size_t i = 0; i < json_array_size(v); i++)
			if (!is_empty(json_array_get(v, i)))
				return false;
		return true;
	case JSON_OBJECT:
		for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it))
			if (!is_empty(json_object_iter_value(it)))
				return false;
		return true;
	default:
		return false;
	}
}

/* Shall the value be left out of the canonical form? Only ever what asks for nothing. */
static bool is_absent(const struct schema_field *f, json_t *v)
{
	if (f->type == S_ANSWER || json_is_null(v))
		return true;
	if (f->type == S_TEXT || f->type == S_WORDS)
		return json_is_string(v) && json_string_length(v) == 0;
	return f->has_unset && json_is_integer(v) && json_integer_value(v) == f->unset;
}

static bool is_served(const struct walk *w, const struct schema_field *f)
{
	return w->version >= f->since && (!f->until || w->version <= f->until);
}

static void fail_version(struct walk *w, const struct schema_field *f)
{
	if (w->version < f->since)
		walk_fail(w, "field ", " needs API version 1.%u", f->since);
	else
		walk_fail(w, "field ", " ended with API version 1.%u", f->until);
}

/* One member of an object into the canonical `out`. */
static int check_member(struct walk *w, const struct schema_object *object, const char *key, json_t *value, json_t *out)
{
	const struct schema_field *f = schema_field(object, key);

	if (!f) {
		if (json_is_null(value))
			return 0;
		if (object->filters)
			walk_fail(w, "invalid filter '", "'");
		else
			walk_fail(w, "unknown field ", "%s", "");
		return -EINVAL;
	}
	if (is_absent(f, value))
		return 0;
	if (f->type == S_REFUSED || !is_served(w, f)) {
		if (is_empty(value))
			return 0;
		if (f->type == S_REFUSED)
			walk_fail(w, "field ", " %s", f->doc);
		else
			fail_version(w, f);
		return -EINVAL;
	}
	json_t *checked = check(w, f, value);
	if (!checked)
		return -EINVAL;
	if (json_object_get(out, f->name)) {
		json_decref(checked);
		walk_fail(w, "field ", " is given twice, in different spellings");
		return -EINVAL;
	}
	return json_object_set_new_nocheck(out, f->name, checked);
}

static bool has_required(struct walk *w, const struct schema_object *object, json_t *out)
{
	for (const struct schema_field *f = object->fields; f->name; f++)
		if (f->required && !json_object_get(out, f->name)) {
			char expected[256];
			schema_expected(f, expected, sizeof expected);
			walk_fail(w, "", ": \"%s\" is missing: %s", f->name, expected);
			return false;
		}
	for (size_t i = 0; i < ARRAY_LEN(object->parts) && object->parts[i]; i++)
		if (!has_required(w, object->parts[i], out))
			return false;
	return true;
}

static json_t *check_object(struct walk *w, const struct schema_field *f, json_t *in)
{
	const char *key;
	json_t *value;

	if (!json_is_object(in))
		return walk_fail_type(w, f, in);
	json_t *out = json_object();
	json_object_foreach(in, key, value) {
		if (!walk_enter(w, key, 0) || check_member(w, f->object, key, value, out) < 0) {
			json_decref(out);
			return NULL;
		}
		walk_leave(w);
	}
	if (has_required(w, f->object, out))
		return out;
	json_decref(out);
	return NULL;
}

/* A new reference to the canonical form of `in`, NULL with w->e set. */
static json_t *check(struct walk *w, const struct schema_field *f, json_t *in)
{
	switch (f->type) {
	case S_ANY:
		return json_is_object(in) || json_is_array(in) ? json_incref(in) : walk_fail_type(w, f, in);
	case S_BOOL:
		return json_is_boolean(in) ? json_incref(in) : walk_fail_type(w, f, in);
	case S_INT:
		return check_integer(w, f, in);
	case S_TEXT:
		return check_text(w, f, in);
	case S_WORDS:
		return check_words(w, f, in);
	case S_LIST:
		return check_list(w, f, in);
	case S_MAP:
		return check_map(w, f, in);
	case S_OBJECT:
		return check_object(w, f, in);
	case S_FILTER:
		return check_filter(w, f, in);
	case S_ANSWER:
	case S_REFUSED:
		break; /* dealt with by check_member() */
	}
	return walk_fail_type(w, f, in);
}

/* ---- documents ---- */

static int check_document(struct walk *w, enum schema_id id, json_t *doc, json_t **out)
{
	const struct schema_field *root = schemas[id].root;

	*out = json_is_null(doc) ? zero_of(root) : check(w, root, doc);
	if (*out && json_is_null(doc) && root->type == S_OBJECT && !has_required(w, root->object, *out)) {
		json_decref(*out);
		*out = NULL;
	}
	if (*out)
		return 0;
	if (json_is_null(doc) && root->type != S_OBJECT)
		walk_fail_type(w, root, doc);
	return -EINVAL;
}

int schema_parse_as(enum schema_id id, const struct schema_context *context, const char *text, size_t len,
		    struct json_t **out, struct err *e)
{
	struct walk w = {.version = context->version, .text = text, .len = len, .e = e};
	json_t *doc;

	*out = NULL;
	if ((unsigned)id >= SCH_COUNT)
		return err_set(e, -EINVAL, "no such schema: %d", (int)id);
	if (id == SCH_OPAQUE)
		return 0;
	if (id == SCH_EMPTY && len == 0) {
		*out = json_object();
		return 0;
	}
	int r = json_parse(text, len, &JSON_BOUNDS_DOCUMENT, &doc, e);
	if (r == 0) {
		r = check_document(&w, id, doc, out);
		json_decref(doc);
	}
	return r;
}

int schema_parse(enum schema_id id, const char *text, size_t len, struct json_t **out, struct err *e)
{
	return schema_parse_as(id, &(struct schema_context){API_VERSION_LAST}, text, len, out, e);
}

int schema_check(enum schema_id id, const struct schema_context *context, struct json_t *doc, struct json_t **out,
		 struct err *e)
{
	struct walk w = {.version = context->version, .e = e};

	*out = NULL;
	if ((unsigned)id >= SCH_COUNT || id == SCH_OPAQUE)
		return err_set(e, -EINVAL, "no such schema: %d", (int)id);
	return check_document(&w, id, doc, out);
}

const struct schema_field *schema_root(enum schema_id id)
{
	return (unsigned)id < SCH_COUNT ? schemas[id].root : NULL;
}

const char *schema_name(enum schema_id id)
{
	return (unsigned)id < SCH_COUNT ? schemas[id].name : "?";
}

const char *schema_what(enum schema_id id)
{
	return (unsigned)id < SCH_COUNT ? schemas[id].what : "?";
}

const char *schema_class_name(enum schema_class class)
{
	static const char *const names[] = {
		[C_PLAIN] = "plain",	       [C_SECRET] = "secret",	    [C_RESOURCE] = "resource",
		[C_NETWORK] = "network",       [C_MOUNT] = "mount",	    [C_DEVICE] = "device",
		[C_CAPABILITY] = "capability", [C_NAMESPACE] = "namespace", [C_SECURITY] = "security",
		[C_KERNEL] = "kernel",	       [C_RUNTIME] = "runtime",	    [C_LOGGING] = "logging",
	};

	return (unsigned)class < ARRAY_LEN(names) ? names[class] : "?";
}
