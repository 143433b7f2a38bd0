/* Which line of pouch.json a setting stands on. The text is valid JSON: jansson has read it. */
#include <stdio.h>
#include <string.h>

#include "lib/config_parse.h"
#include "lib/util.h"

#define DEPTH_MAX 16

struct step {
	const char *key; /* NULL: `index` */
	size_t len, index;
};

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

/* Behind the value that begins at `p`: brackets are counted, strings are passed over. */
static const char *skip_value(const char *p)
{
	int depth = 0;

	for (p = skip_space(p); *p; p++) {
		if (*p == '"') {
			p = skip_string(p) - 1;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return p;
			depth--;
		} else if (*p == ',' && depth == 0) {
			return p;
		}
	}
	return p;
}

static const char *find_member(const char *object, const struct step *step)
{
	const char *p = skip_space(object + 1);

	while (*p == '"') {
		const char *end = skip_string(p);
		if ((size_t)(end - p) == step->len + 2 && memcmp(p + 1, step->key, step->len) == 0)
			return p;
		p = skip_value(skip_space(end) + 1);
		p = skip_space(*p == ',' ? p + 1 : p);
	}
	return NULL;
}

static const char *find_element(const char *array, size_t index)
{
	const char *p = skip_space(array + 1);

	for (; index && *p && *p != ']'; index--) {
		p = skip_value(p);
		p = skip_space(*p == ',' ? p + 1 : p);
	}
	return *p && *p != ']' ? p : NULL;
}

/* The way as single steps, outermost first. */
static size_t steps_of(const struct config_at *at, struct step *steps)
{
	if (!at)
		return 0;
	size_t n = steps_of(at->up, steps);
	const char *key = at->key;
	while (key && at->dotted && strchr(key, '.') && n < DEPTH_MAX) {
		steps[n++] = (struct step){.key = key, .len = strcspn(key, ".")};
		key = strchr(key, '.') + 1;
	}
	if (n < DEPTH_MAX)
		steps[n++] = (struct step){.key = key, .len = key ? strlen(key) : 0, .index = at->index};
	return n;
}

size_t config_line(const char *text, const struct config_at *at)
{
	struct step steps[DEPTH_MAX];
	size_t n = steps_of(at, steps), line = 1;
	const char *found = skip_space(text), *value = found;

	for (size_t i = 0; i < n; i++) {
		const char *p = NULL;
		if (steps[i].key && *value == '{')
			p = find_member(value, &steps[i]);
		else if (!steps[i].key && *value == '[')
			p = find_element(value, steps[i].index);
		if (!p)
			break;
		found = p;
		value = steps[i].key ? skip_space(skip_space(skip_string(p)) + 1) : p;
	}
	for (const char *p = text; p < found; p++)
		line += *p == '\n';
	return line;
}

void config_at_text(const struct config_at *at, char *buf, size_t size)
{
	if (!at) {
		buf[0] = '\0';
		return;
	}
	config_at_text(at->up, buf, size);
	size_t n = strlen(buf);
	if (at->key)
		snprintf(buf + n, size - n, "%s%s", n ? "." : "", at->key);
	else
		snprintf(buf + n, size - n, "[%zu]", at->index);
}
