/* One setting: from JSON into the struct, by its row. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/config_parse.h"
#include "lib/config_rule.h"
#include "lib/util.h"

struct store {
	const struct config_reader *r;
	const struct config_row *row;
	const struct config_at *at;
	void *member;
};

static int not_this(const struct store *s, const char *what)
{
	return config_complain(s->r, s->at, "%s is expected", what);
}

/* Digits and a unit of the list; false when it is anything else or does not fit. */
struct unit {
	const char *name;
	uint64_t factor;
};

static bool parse_unit(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t v = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	if (p == text)
		return false;
	for (; units->name; units++)
		if (strcmp(units->name, p) == 0)
			return !__builtin_mul_overflow(v, units->factor, out);
	return false;
}

static const struct unit size_units[] = {{"", 1},	  {"k", 1u << 10},   {"m", 1u << 20},
					 {"g", 1u << 30}, {"t", 1ull << 40}, {NULL, 0}};
static const struct unit time_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};

static int in_bounds(const struct store *s, uint64_t v, const char *unit)
{
	if (v >= s->row->min && v <= s->row->max)
		return 0;
	return config_complain(s->r, s->at, "%" PRIu64 "%s is not between %" PRIu64 " and %" PRIu64, v, unit,
			       s->row->min, s->row->max);
}

static int store_FLAG(const struct store *s, json_t *v)
{
	if (!json_is_boolean(v))
		return not_this(s, "true or false");
	*(bool *)s->member = json_is_true(v);
	return 0;
}

static int store_NUMBER(const struct store *s, json_t *v)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return not_this(s, "a whole number");
	uint64_t n = (uint64_t)json_integer_value(v);
	int r = in_bounds(s, n, "");
	if (r == 0)
		*(uint32_t *)s->member = (uint32_t)n;
	return r;
}

static int store_SIZE(const struct store *s, json_t *v)
{
	uint64_t n = 0;

	if (json_is_integer(v) && json_integer_value(v) >= 0)
		n = (uint64_t)json_integer_value(v);
	else if (!json_is_string(v) || !parse_unit(json_string_value(v), size_units, &n))
		return not_this(s, "a size: bytes, or a text such as \"64k\", \"10m\", \"2g\", \"1t\"");
	int r = in_bounds(s, n, " bytes");
	if (r == 0)
		*(uint64_t *)s->member = n;
	return r;
}

static int store_TIME(const struct store *s, json_t *v)
{
	uint64_t ms = 0;

	if (json_is_number(v) && json_number_value(v) >= 0 && json_number_value(v) <= UINT32_MAX)
		ms = (uint64_t)(json_number_value(v) * 1000 + 0.5);
	else if (!json_is_string(v) || !parse_unit(json_string_value(v), time_units, &ms))
		return not_this(s, "a time: seconds, or a text such as \"500ms\", \"10s\", \"5m\", \"1h\"");
	int r = in_bounds(s, ms, " ms");
	if (r == 0)
		*(uint32_t *)s->member = (uint32_t)ms;
	return r;
}

/* A text of the row's length that keeps its rule; NULL after a complaint. */
static const char *text_of(const struct store *s, const struct config_at *at, json_t *v, uint64_t min, uint64_t max)
{
	const char *text = json_string_value(v);

	if (!text)
		config_complain(s->r, at, "a text is expected");
	else if (!*text && min)
		config_complain(s->r, at, "must be given");
	else if (strlen(text) < min || strlen(text) > max)
		config_complain(s->r, at, "has %zu bytes, not %" PRIu64 " to %" PRIu64, strlen(text), min, max);
	else if (s->row->rule && !s->row->rule->ok(text))
		config_complain(s->r, at, "\"%s\" is not %s", text, s->row->rule->words);
	else
		return text;
	return NULL;
}

static int store_TEXT(const struct store *s, json_t *v)
{
	const char *text = text_of(s, s->at, v, s->row->min, s->row->max);

	*(const char **)s->member = text;
	return text ? 0 : -EINVAL;
}

static int store_PATH(const struct store *s, json_t *v)
{
	const char *text = text_of(s, s->at, v, s->row->min, s->row->max);

	if (!text)
		return -EINVAL;
	if (*text && *text != '/')
		return config_complain(s->r, s->at, "\"%s\" is not an absolute path", text);
	if (!config_rule_any.ok(text))
		return config_complain(s->r, s->at, "a path without control characters is expected");
	*(const char **)s->member = text;
	return 0;
}

static int store_MODE(const struct store *s, json_t *v)
{
	const char *text = json_string_value(v);
	mode_t mode = 0;

	if (!text || !*text || strlen(text) > 4 || text[strspn(text, "01234567")])
		return not_this(s, "a mode as octal text, such as \"0660\",");
	for (; *text; text++)
		mode = mode * 8 + (mode_t)(*text - '0');
	int r = in_bounds(s, mode, "");
	if (r == 0)
		*(mode_t *)s->member = mode;
	return r;
}

static int store_CHOICE(const struct store *s, json_t *v)
{
	char words[256] = "";

	for (unsigned i = 0; s->row->words[i]; i++) {
		if (str_eq(json_string_value(v), s->row->words[i])) {
			*(unsigned *)s->member = i;
			return 0;
		}
		size_t n = strlen(words);
		snprintf(words + n, sizeof words - n, "%s\"%s\"", i ? ", " : "", s->row->words[i]);
	}
	return config_complain(s->r, s->at, "one of %s is expected", words);
}

static int store_TEXTS(const struct store *s, json_t *v)
{
	struct config_texts *out = s->member;

	if (!json_is_array(v))
		return not_this(s, "a list of texts");
	if (json_array_size(v) < s->row->min || json_array_size(v) > s->row->max)
		return config_complain(s->r, s->at, "has %zu elements, not %" PRIu64 " to %" PRIu64, json_array_size(v),
				       s->row->min, s->row->max);
	out->n = json_array_size(v);
	out->v = config_block(s->r->memory, out->n, sizeof *out->v);
	for (size_t i = 0; i < out->n; i++) {
		const struct config_at at = {.up = s->at, .index = i};
		out->v[i] = text_of(s, &at, json_array_get(v, i), 1, 4095);
		if (!out->v[i])
			return -EINVAL;
	}
	return 0;
}

/* Every LIST and MAP is a pointer and a count. */
struct objects {
	void *v;
	size_t n;
};

static int store_LIST(const struct store *s, json_t *v)
{
	const struct config_object *o = s->row->object();
	struct objects *out = s->member;

	if (!json_is_array(v))
		return not_this(s, "a list of objects");
	if (json_array_size(v) < s->row->min || json_array_size(v) > s->row->max)
		return config_complain(s->r, s->at, "has %zu elements, not %" PRIu64 " to %" PRIu64, json_array_size(v),
				       s->row->min, s->row->max);
	out->n = json_array_size(v);
	out->v = config_block(s->r->memory, out->n, o->size);
	for (size_t i = 0; i < out->n; i++) {
		const struct config_at at = {.up = s->at, .index = i};
		int r = config_store_object(s->r, o, json_array_get(v, i), &at, (char *)out->v + i * o->size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int store_MAP(const struct store *s, json_t *v)
{
	const struct config_object *o = s->row->object();
	struct objects *out = s->member;
	const char *key;
	json_t *value;
	size_t i = 0;

	if (!json_is_object(v))
		return not_this(s, "an object of objects");
	if (json_object_size(v) < s->row->min || json_object_size(v) > s->row->max)
		return config_complain(s->r, s->at, "has %zu members, not %" PRIu64 " to %" PRIu64, json_object_size(v),
				       s->row->min, s->row->max);
	out->n = json_object_size(v);
	out->v = config_block(s->r->memory, out->n, o->size);
	json_object_foreach(v, key, value) {
		const struct config_at at = {.up = s->at, .key = key};
		char *element = (char *)out->v + i++ * o->size;
		if (!config_rule_host.ok(key) || !*key)
			return config_complain(s->r, &at, "the name must be %s", config_rule_host.words);
		int r = config_store_object(s->r, o, value, &at, element);
		if (r < 0)
			return r;
		*(const char **)element = key; /* the member `key` comes first */
	}
	return 0;
}

int config_store(const struct config_reader *r, const struct config_row *row, json_t *value, const struct config_at *at,
		 void *object)
{
	static int (*const stores[])(const struct store *s, json_t *v) = {
		[CONFIG_FLAG] = store_FLAG, [CONFIG_NUMBER] = store_NUMBER, [CONFIG_SIZE] = store_SIZE,
		[CONFIG_TIME] = store_TIME, [CONFIG_TEXT] = store_TEXT,	    [CONFIG_PATH] = store_PATH,
		[CONFIG_MODE] = store_MODE, [CONFIG_CHOICE] = store_CHOICE, [CONFIG_TEXTS] = store_TEXTS,
		[CONFIG_LIST] = store_LIST, [CONFIG_MAP] = store_MAP,
	};
	const struct store s = {.r = r, .row = row, .at = at, .member = (char *)object + row->offset};

	return stores[row->type](&s, value);
}

static json_t *list_of_text(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, ",");
		json_array_append_new(list, json_stringn(text, n));
		text += text[n] ? n + 1 : n;
	}
	return list;
}

json_t *config_json_of_text(const struct config_row *row, const char *text)
{
	uint64_t n;

	switch (row->type) {
	case CONFIG_FLAG:
		return str_eq(text, "true") ? json_true() : str_eq(text, "false") ? json_false() : json_string(text);
	case CONFIG_NUMBER:
	case CONFIG_SIZE:
	case CONFIG_TIME:
		return parse_unit(text, (const struct unit[]){{"", 1}, {NULL, 0}}, &n) && n <= INT64_MAX
			       ? json_integer((json_int_t)n)
			       : json_string(text);
	case CONFIG_TEXTS:
		return list_of_text(text);
	case CONFIG_LIST:
	case CONFIG_MAP:
		return json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	case CONFIG_TEXT:
	case CONFIG_PATH:
	case CONFIG_MODE:
	case CONFIG_CHOICE:
		break;
	}
	return json_string(text);
}
