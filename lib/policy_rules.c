#include <errno.h>
#include <stdio.h>

#include "lib/policy_private.h"
#include "lib/util.h"

static const struct policy_rule_row rows[] = {
#define RULE(kind, member, key, def, doc) {key, RULE_##kind, def, offsetof(struct policy_rules, member), doc},
#include "lib/policy_rules.def"
#undef RULE
};

const struct policy_rule_row *policy_rule_rows(size_t *count)
{
	*count = ARRAY_LEN(rows);
	return rows;
}

/* ---- texts ---- */

bool policy_match(const char *pattern, const char *text)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return strncmp(pattern, text, len - 1) == 0;
	return strcmp(pattern, text) == 0;
}

bool policy_match_any(const struct policy_texts *patterns, const char *text)
{
	for (size_t i = 0; i < patterns->n; i++)
		if (policy_match(patterns->v[i], text))
			return true;
	return false;
}

void policy_texts_add(struct policy_texts *t, const char *text)
{
	t->v = xrealloc(t->v, t->n + 1, sizeof *t->v);
	t->v[t->n++] = xstrdup(text);
}

void policy_texts_clean(struct policy_texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
	*t = (struct policy_texts){0};
}

int policy_texts_set(struct policy_texts *t, const json_t *value, const char *what, struct err *e)
{
	size_t i;
	json_t *text;

	if (!json_is_array(value))
		return err_set(e, -EINVAL, "expected a list of %s", what);
	policy_texts_clean(t);
	json_array_foreach(value, i, text) {
		if (!json_is_string(text) || json_string_length(text) == 0)
			return err_set(e, -EINVAL, "expected a list of %s; element %zu is no text", what, i);
		policy_texts_add(t, json_string_value(text));
	}
	return 0;
}

/* ---- the kinds of rules: from a value of the file ---- */

static int set_flag(void *member, const json_t *value, struct err *e)
{
	if (!json_is_boolean(value))
		return err_set(e, -EINVAL, "expected true or false");
	*(bool *)member = json_is_true(value);
	return 0;
}

static int set_patterns(void *member, const json_t *value, struct err *e)
{
	return policy_texts_set(member, value, "texts, each with or without a * at its end", e);
}

static int set_limit(void *member, const json_t *value, struct err *e)
{
	if (!json_is_integer(value) || json_integer_value(value) < -1)
		return err_set(e, -EINVAL, "expected a whole number, -1 for no limit");
	*(int64_t *)member = json_integer_value(value);
	return 0;
}

static int set_reach(void *member, const json_t *value, struct err *e)
{
	static const char *const words[] = {[REACH_NONE] = "none", [REACH_OWN] = "own", [REACH_ANY] = "any"};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(json_string_value(value), words[i])) {
			*(enum policy_reach *)member = (enum policy_reach)i;
			return 0;
		}
	return err_set(e, -EINVAL, "expected \"none\", \"own\" or \"any\"");
}

static void binds_clean(struct policy_binds *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->v[i].path);
	free(b->v);
	*b = (struct policy_binds){0};
}

/* A rule is compared with the kernel's path of a descriptor, which has none of these. */
static bool plain_path(const char *path)
{
	size_t len = path ? strlen(path) : 0;

	return len && path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../") &&
	       (len == 1 || path[len - 1] != '/') && !(len >= 2 && strcmp(path + len - 2, "/.") == 0) &&
	       !(len >= 3 && strcmp(path + len - 3, "/..") == 0);
}

static int set_binds(void *member, const json_t *value, struct err *e)
{
	static const char expected[] = "expected a list of absolute paths or {\"path\": …, \"read-only\": true} "
				       "without .., // and a / at the end";
	struct policy_binds *b = member;
	size_t i;
	json_t *bind;

	if (!json_is_array(value))
		return err_set(e, -EINVAL, "%s", expected);
	binds_clean(b);
	json_array_foreach(value, i, bind) {
		const json_t *read_only = json_object_get(bind, "read-only");
		const char *path = json_is_object(bind) ? json_string_value(json_object_get(bind, "path"))
							: json_string_value(bind);
		if (!plain_path(path) || (read_only && !json_is_boolean(read_only)) ||
		    json_object_size(bind) > (read_only ? 2 : 1))
			return err_set(e, -EINVAL, "%s (element %zu)", expected, i);
		b->v = xrealloc(b->v, b->n + 1, sizeof *b->v);
		b->v[b->n++] = (struct policy_bind){xstrdup(path), json_is_true(read_only)};
	}
	return 0;
}

static bool parse_range(const json_t *value, struct policy_range *out)
{
	char more;

	if (json_is_integer(value)) {
		json_int_t n = json_integer_value(value);
		*out = (struct policy_range){(unsigned)n, (unsigned)n};
		return n >= 0 && n <= 65535;
	}
	const char *text = json_string_value(value);
	if (!text || strspn(text, "0123456789-") != strlen(text) || strlen(text) > 11)
		return false;
	return sscanf(text, "%u-%u%c", &out->first, &out->last, &more) == 2 && out->first <= out->last &&
	       out->last <= 65535;
}

static int set_ports(void *member, const json_t *value, struct err *e)
{
	struct policy_ports *p = member;
	size_t i;
	json_t *port;

	if (!json_is_array(value))
		return err_set(e, -EINVAL, "expected a list of ports and ranges \"first-last\"");
	free(p->v);
	*p = (struct policy_ports){0};
	json_array_foreach(value, i, port) {
		struct policy_range range;
		if (!parse_range(port, &range))
			return err_set(e, -EINVAL, "expected a port or a range \"first-last\" (element %zu)", i);
		p->v = xrealloc(p->v, p->n + 1, sizeof *p->v);
		p->v[p->n++] = range;
	}
	return 0;
}

typedef int (*setter)(void *member, const json_t *value, struct err *e);
static const setter setters[] = {
	[RULE_FLAG] = set_flag,	  [RULE_PATTERNS] = set_patterns, [RULE_LIMIT] = set_limit,
	[RULE_REACH] = set_reach, [RULE_BINDS] = set_binds,	  [RULE_PORTS] = set_ports,
};

int policy_rule_set(struct policy_rules *r, const struct policy_rule_row *row, const json_t *value, struct err *e)
{
	return setters[row->kind]((char *)r + row->offset, value, e);
}

/* ---- defaults: the table's text, as the JSON that it stands for ---- */

static json_t *default_list(const char *text)
{
	json_t *list = json_array();
	AUTO_FREE char *copy = xstrdup(text);
	char *save = NULL;

	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
		json_array_append_new(list, json_string(word));
	return list;
}

static json_t *default_value(const struct policy_rule_row *row)
{
	switch (row->kind) {
	case RULE_FLAG:
		return json_boolean(str_eq(row->def, "true"));
	case RULE_LIMIT:
		return json_integer(strtoll(row->def, NULL, 10));
	case RULE_REACH:
		return json_string(row->def);
	default:
		return default_list(row->def);
	}
}

void policy_rules_default(struct policy_rules *r)
{
	*r = (struct policy_rules){0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *value = default_value(&rows[i]);
		struct err e = {0};
		if (policy_rule_set(r, &rows[i], value, &e) < 0)
			abort(); /* a default of ours that its own rule refuses */
		json_decref(value);
	}
}

void policy_rules_clean(struct policy_rules *r)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *member = (char *)r + rows[i].offset;
		if (rows[i].kind == RULE_PATTERNS)
			policy_texts_clean(member);
		else if (rows[i].kind == RULE_BINDS)
			binds_clean(member);
		else if (rows[i].kind == RULE_PORTS)
			free(((struct policy_ports *)member)->v);
	}
}
