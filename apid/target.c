#include "apid/target.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/util.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; a decoded text is never longer. `plus`: '+' is a space (queries). */
static int decode(char *text, bool plus, struct err *e)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		if (*p == '+' && plus) {
			*out++ = ' ';
			continue;
		}
		if (*p != '%') {
			*out++ = *p;
			continue;
		}
		int high = hex(p[1]), low = high < 0 ? -1 : hex(p[2]);
		if (low < 0)
			return err_http(
				e, 400,
				"malformed request: a percent sign without two hexadecimal digits in the target");
		if (high == 0 && low == 0)
			return err_http(e, 400, "malformed request: a NUL in the target");
		*out++ = (char)(high << 4 | low);
		p += 2;
	}
	*out = '\0';
	return 0;
}

/* How many parts a text has at the most. */
static size_t count_parts(const char *text, char separator)
{
	size_t n = 1;

	for (; (text = strchr(text, separator)); text++)
		n++;
	return n;
}

static int parse_query(char *text, struct target *t, struct err *e)
{
	if (text)
		t->args = xcalloc(count_parts(text, '&'), sizeof *t->args);
	while (text) {
		char *arg = strsep(&text, "&");
		if (!*arg)
			continue;
		if (t->nargs == TARGET_ARGS_MAX)
			return err_http(e, 400, "more than %d query parameters", TARGET_ARGS_MAX);
		char *value = strchr(arg, '=');
		if (value)
			*value++ = '\0';
		if (decode(arg, true, e) < 0 || (value && decode(value, true, e) < 0))
			return e->code;
		t->args[t->nargs++] = (struct query_arg){arg, value ? value : ""};
	}
	return 0;
}

int target_too_old(unsigned minor, struct err *e)
{
	return err_http(e, 400,
			"client version 1.%u is too old. Minimum supported API version is 1.%d, please upgrade your "
			"client to a newer version",
			minor, API_VERSION_FIRST);
}

/* "v1.43": the minor number of API 1.x, with the words of Docker's errors for what lies outside. */
static int parse_version(const char *text, struct target *t, struct err *e)
{
	char *end = NULL;
	unsigned long major = strtoul(text + 1, &end, 10);
	unsigned long minor = 0;

	if (*end == '.' && isdigit((unsigned char)end[1]))
		minor = strtoul(end + 1, &end, 10);
	if (*end)
		return err_http(e, 404, "page not found");
	if (major > 1 || (major == 1 && minor > API_VERSION_LAST))
		return err_http(e, 400, "client version %s is too new. Maximum supported API version is 1.%d", text + 1,
				API_VERSION_LAST);
	if (major < 1 || minor < API_VERSION_OLDEST)
		return target_too_old((unsigned)minor, e);
	t->minor = (unsigned)minor;
	t->versioned = true;
	return 0;
}

static bool is_version(const char *segment)
{
	return segment[0] == 'v' && isdigit((unsigned char)segment[1]) && strlen(segment) < 16 &&
	       strspn(segment + 1, "0123456789.") == strlen(segment + 1);
}

static int parse_path(char *text, struct target *t, struct err *e)
{
	text++; /* the guard wants a slash there */
	size_t n = count_parts(text, '/');
	t->segments = xcalloc(n < TARGET_SEGMENTS_MAX ? n : TARGET_SEGMENTS_MAX, sizeof *t->segments);
	while (text) {
		char *segment = strsep(&text, "/");
		if (t->nsegments == TARGET_SEGMENTS_MAX)
			return err_http(e, 404, "page not found");
		if (decode(segment, false, e) < 0)
			return e->code;
		if (t->nsegments == 0 && !t->versioned && is_version(segment)) {
			if (parse_version(segment, t, e) < 0)
				return e->code;
			continue;
		}
		t->segments[t->nsegments++] = segment;
	}
	return 0;
}

int target_parse(const char *text, struct target *t, struct err *e)
{
	t->text = xstrdup(text);
	t->minor = API_VERSION_LAST;
	t->versioned = false;
	t->segments = NULL;
	t->args = NULL;
	t->nsegments = t->nargs = 0;
	char *query = strchr(t->text, '?');
	if (query)
		*query++ = '\0';
	int r = parse_path(t->text, t, e);
	return r < 0 ? r : parse_query(query, t, e);
}

void target_clean(struct target *t)
{
	free(STEAL(t->args));
	free(STEAL(t->segments));
	free(STEAL(t->text));
}
