#include "ipc/schema/walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_ROOM 512

/* Keys come from outside: what is not printable ASCII is shown as '?', and only so much of it. */
static void write_key(char *out, size_t size, const char *key)
{
	size_t i;

	for (i = 0; i < 64 && i + 1 < size && key[i]; i++)
		out[i] = key[i] >= 0x20 && key[i] < 0x7f && key[i] != '"' ? key[i] : '?';
	out[i] = '\0';
}

static bool is_plain_key(const char *key)
{
	return *key && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(key);
}

static void write_path(const struct walk *w, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < w->nsteps && n + 80 < size; i++) {
		char key[65];
		if (!w->steps[i].key) {
			n += (size_t)snprintf(out + n, size - n, "[%zu]", w->steps[i].index);
			continue;
		}
		write_key(key, sizeof key, w->steps[i].key);
		n += (size_t)snprintf(out + n, size - n, is_plain_key(key) ? "%s%s" : "%s[\"%s\"]",
				      i && is_plain_key(key) ? "." : "", key);
	}
}

void *walk_fail(struct walk *w, const char *before, const char *fmt, ...)
{
	char path[PATH_ROOM], why[ERR_TEXT_MAX / 2], where[64] = "";
	struct json_place place;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	write_path(w, path, sizeof path);
	if (w->text && json_locate(w->text, w->len, w->steps, w->nsteps, &place))
		snprintf(where, sizeof where, " (line %u, column %u)", place.line, place.column);
	err_set(w->e, -EINVAL, "%s%s%s%s", before, path[0] ? path : "the document", why, where);
	return NULL;
}

static const char *type_words(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "text";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "?";
}

static void expected_words(const struct schema_field *f, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "one of");

	for (size_t i = 0; f->words[i] && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s \"%s\"", i ? "," : "", f->words[i]);
}

static void expected_integer(const struct schema_field *f, char *out, size_t size)
{
	if (f->max >= INT64_MAX && f->min == INT64_MIN)
		snprintf(out, size, "an integer");
	else if (f->max >= INT64_MAX)
		snprintf(out, size, "an integer, at least %" PRId64, f->min);
	else
		snprintf(out, size, "an integer from %" PRId64 " to %" PRIu64, f->min, f->max);
}

void schema_expected(const struct schema_field *f, char *out, size_t size)
{
	static const char *const words[] = {
		[S_ANY] = "an object or a list",
		[S_BOOL] = "true or false",
		[S_OBJECT] = "an object",
		[S_MAP] = "an object",
		[S_REFUSED] = "nothing",
		[S_ANSWER] = "anything",
		[S_FILTER] = "a list of texts, or an object of booleans",
	};

	switch (f->type) {
	case S_INT:
		expected_integer(f, out, size);
		break;
	case S_TEXT:
		snprintf(out, size, "%s of at most %" PRIu64 " bytes%s", grammar_words(f->rule), f->max,
			 f->number_too ? ", or an integer" : "");
		break;
	case S_WORDS:
		expected_words(f, out, size);
		break;
	case S_LIST:
		snprintf(out, size, f->text_too ? "a list, or one text" : "a list");
		break;
	default:
		snprintf(out, size, "%s", words[f->type]);
	}
}

void *walk_fail_type(struct walk *w, const struct schema_field *f, const json_t *in)
{
	char expected[256];

	schema_expected(f, expected, sizeof expected);
	return walk_fail(w, "", ": expected %s, not %s", expected, type_words(in));
}

bool walk_enter(struct walk *w, const char *key, size_t index)
{
	if (w->nsteps == WALK_STEPS_MAX)
		return walk_fail(w, "", " is nested too deeply") != NULL;
	w->steps[w->nsteps++] = (struct json_step){key, index};
	return true;
}

void walk_leave(struct walk *w)
{
	w->nsteps--;
}
