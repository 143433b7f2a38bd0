#include "imaged/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "imaged/imageconf.h"
#include "lib/json.h"

/* Other names of the same, as containerd's platforms package takes them. */
static const struct {
	const char *name, *architecture, *variant;
} aliases[] = {
	{"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
	{"armhf", "arm", "v7"},	 {"armel", "arm", "v6"},  {"i386", "386", ""},
};

static void normalize(struct platform *p)
{
	for (char *c = p->os; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_eq(p->architecture, aliases[i].name)) {
			snprintf(p->architecture, sizeof p->architecture, "%s", aliases[i].architecture);
			if (!*p->variant)
				snprintf(p->variant, sizeof p->variant, "%s", aliases[i].variant);
		}
	if (isdigit((unsigned char)p->variant[0])) {
		char number[16];
		snprintf(number, sizeof number, "%.15s", p->variant);
		snprintf(p->variant, sizeof p->variant, "v%s", number);
	}
	/* What is meant when nothing is said. */
	if ((str_eq(p->architecture, "arm64") && str_eq(p->variant, "v8")) ||
	    (str_eq(p->architecture, "amd64") && str_eq(p->variant, "v1")))
		*p->variant = '\0';
	if (str_eq(p->architecture, "arm") && !*p->variant)
		snprintf(p->variant, sizeof p->variant, "v7");
}

void platform_host(struct platform *out)
{
	*out = (struct platform){.os = "linux"};
	snprintf(out->architecture, sizeof out->architecture, "%s", imageconf_architecture());
	snprintf(out->variant, sizeof out->variant, "%s", imageconf_variant());
}

static bool set_part(char out[32], const char *text)
{
	return !text || snprintf(out, 32, "%s", text) < 32;
}

static int bad(const char *text, struct err *e)
{
	return err_http(e, 400, "\"%.100s\" is an invalid platform: os[/architecture[/variant]] is expected", text);
}

static int parse_json(const char *text, struct platform *out, struct err *e)
{
	const struct json_bounds bounds = {.depth = 4, .values = 64};
	AUTO_JSON json_t *doc = NULL;

	if (json_parse(text, strlen(text), &bounds, &doc, e) < 0 || !json_is_object(doc))
		return bad(text, e);
	platform_of_json(doc, out);
	return *out->os && *out->architecture ? 0 : bad(text, e);
}

int platform_parse(const char *text, struct platform *out, struct err *e)
{
	struct platform host;
	AUTO_FREE char *copy = xstrdup(text);
	char *parts[4] = {0}, *rest = copy;
	size_t n = 0;

	platform_host(&host);
	*out = (struct platform){0};
	if (*text == '{')
		return parse_json(text, out, e);
	while (n < 4 && (parts[n] = strsep(&rest, "/")))
		if (!*parts[n++])
			return bad(text, e);
	if (n == 0 || n > 3)
		return bad(text, e);
	bool os_alone =
		n == 1 && (str_eq(parts[0], "linux") || str_eq(parts[0], "windows") || str_eq(parts[0], "darwin"));
	if (os_alone) {
		*out = host;
		return set_part(out->os, parts[0]) ? 0 : bad(text, e);
	}
	bool ok = n == 1 ? set_part(out->os, host.os) && set_part(out->architecture, parts[0])
			 : set_part(out->os, parts[0]) && set_part(out->architecture, parts[1]) &&
				   set_part(out->variant, parts[2]);
	normalize(out);
	return ok ? 0 : bad(text, e);
}

void platform_of_json(const json_t *doc, struct platform *out)
{
	*out = (struct platform){0};
	set_part(out->os, json_string_value(json_object_get(doc, "os")));
	set_part(out->architecture, json_string_value(json_object_get(doc, "architecture")));
	set_part(out->variant, json_string_value(json_object_get(doc, "variant")));
	normalize(out);
}

char *platform_text(const struct platform *p, char *out)
{
	snprintf(out, 100, "%s/%s%s%s", p->os, p->architecture, *p->variant ? "/" : "", p->variant);
	return out;
}

/* v7 runs what was made for v6, v3 what was made for v2; no variant is the least. */
int platform_fit(const struct platform *have, const struct platform *want)
{
	int have_level = *have->variant ? atoi(have->variant + 1) : 0;
	int want_level = *want->variant ? atoi(want->variant + 1) : 0;

	if (!str_eq(have->os, want->os) || !str_eq(have->architecture, want->architecture))
		return 0;
	if (str_eq(have->variant, want->variant))
		return PLATFORM_EXACT;
	return have_level <= want_level ? 1 + have_level : 0;
}
