#include "runtimed/logsetup.h"

#include <regex.h>
#include <unistd.h>

#include "lib/logopt.h"
#include "runtimed/runtimed.h"

static const json_t *options_of(const struct container *c)
{
	return json_object_get(json_object_get(c->host, "LogConfig"), "Config");
}

static enum log_driver driver_of(const struct container *c)
{
	return log_driver_find(json_text(json_object_get(c->host, "LogConfig"), "Type"));
}

/* ---- labels and variables ---- */

/* What the options choose: names of a list, or those that match. */
struct choice {
	const char *list;
	regex_t regex;
	bool has_regex;
};

static void choice_init(struct choice *ch, const json_t *options, const char *list, const char *regex)
{
	const char *expression = logopt_text(options, regex);

	ch->list = logopt_text(options, list);
	ch->has_regex = expression && *expression && regcomp(&ch->regex, expression, REG_EXTENDED | REG_NOSUB) == 0;
}

static void choice_clean(struct choice *ch)
{
	if (ch->has_regex)
		regfree(&ch->regex);
}

static bool chosen(const struct choice *ch, const char *name)
{
	size_t len = strlen(name), n;

	for (const char *p = ch->list; p && *p; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		if (n == len && memcmp(p, name, n) == 0)
			return true;
	}
	return ch->has_regex && regexec(&ch->regex, name, 0, NULL, 0) == 0;
}

static void add_labels(const struct container *c, const json_t *options, json_t *out)
{
	struct choice ch;
	const char *name;
	json_t *value;

	choice_init(&ch, options, "labels", "labels-regex");
	json_object_foreach(json_object_get(c->config, "Labels"), name, value) {
		if (chosen(&ch, name))
			json_object_set(out, name, value);
	}
	choice_clean(&ch);
}

static void add_variables(const struct container *c, const json_t *options, json_t *out)
{
	struct choice ch;
	json_t *item;
	size_t i;

	choice_init(&ch, options, "env", "env-regex");
	json_array_foreach(json_object_get(c->config, "Env"), i, item) {
		const char *text = json_string_value(item), *equals = strchr(text, '=');
		AUTO_FREE char *name = xasprintf("%.*s", (int)(equals ? equals - text : 0), text);
		if (equals && chosen(&ch, name))
			json_object_set_new(out, name, json_string(equals + 1));
	}
	choice_clean(&ch);
}

/* ---- the tag ---- */

static char *short_id(const char *id)
{
	return xasprintf("%.12s", str_starts(id, "sha256:") ? id + strlen("sha256:") : id);
}

static char *field_value(const struct container *c, const char *field, size_t len)
{
	const struct {
		const char *name, *value;
		bool shortened;
	} fields[] = {
		{"ID", c->id, true},
		{"FullID", c->id, false},
		{"Name", c->name, false},
		{"ImageID", c->image, true},
		{"ImageFullID", c->image, false},
		{"ImageName", c->image_name, false},
		{"DaemonName", "pouch", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strlen(fields[i].name) == len && memcmp(fields[i].name, field, len) == 0)
			return fields[i].shortened ? short_id(fields[i].value ? fields[i].value : "")
						   : xstrdup(fields[i].value ? fields[i].value : "");
	return xstrdup("");
}

static char *expand(const struct container *c, const char *template)
{
	char *out = xstrdup("");

	for (const char *p = template; *p;) {
		const char *open = strstr(p, "{{"), *close = open ? strstr(open, "}}") : NULL;
		AUTO_FREE char *before = out;
		if (!close) {
			out = xasprintf("%s%s", before, p);
			break;
		}
		const char *field = open + 2 + strspn(open + 2, " ") + 1; /* behind the full stop */
		AUTO_FREE char *value = field_value(c, field, strcspn(field, " }"));
		out = xasprintf("%s%.*s%s", before, (int)(open - p), p, value);
		p = close + 2;
	}
	return out;
}

/* ---- what a worker is told ---- */

static json_t *command_of(const struct container *c)
{
	AUTO_FREE char *text = xstrdup("");
	static const char *const parts[] = {"Entrypoint", "Cmd"};
	json_t *item;
	size_t i;

	for (size_t p = 0; p < ARRAY_LEN(parts); p++)
		json_array_foreach(json_object_get(c->config, parts[p]), i, item) {
			AUTO_FREE char *before = text;
			text = xasprintf("%s%s%s", before, *before ? " " : "", json_string_value(item));
		}
	return json_string(text);
}

static json_t *setup_of(const struct container *c, const json_t *options, const char *tag, const json_t *attributes)
{
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	return json_pack("{s:s, s:O, s:s, s:O, s:s, s:s, s:s, s:s, s:o, s:I, s:s}", "Driver",
			 log_driver_name(driver_of(c)), "Options", options, "Tag", tag, "Attributes", attributes, "Id",
			 c->id, "Name", c->name, "Image", c->image_name ? c->image_name : "", "ImageId",
			 c->image ? c->image : "", "Command", command_of(c), "Created", (json_int_t)c->created,
			 "Hostname", host);
}

void logsetup_make(const struct container *c, struct launch_log *out)
{
	const json_t *options = options_of(c);
	enum log_driver d = driver_of(c);
	const char *tag = logopt_text(options, "tag");

	*out = (struct launch_log){0};
	if (d == LOG_DRIVERS || d == LOG_DRIVER_none || d == LOG_DRIVER_local)
		return;
	out->attributes = json_object();
	add_labels(c, options, out->attributes);
	add_variables(c, options, out->attributes);
	if (log_driver_remote(d)) {
		AUTO_FREE char *expanded = expand(c, tag ? tag : "{{.ID}}");
		out->setup = setup_of(c, options, expanded, out->attributes);
	} else if (tag) {
		AUTO_FREE char *expanded = expand(c, tag);
		json_object_set_new(out->attributes, "tag", json_string(expanded));
	}
}

void logsetup_clean(struct launch_log *l)
{
	json_decref(l->attributes);
	json_decref(l->setup);
	*l = (struct launch_log){0};
}

bool logsetup_readable(const struct container *c)
{
	enum log_driver d = driver_of(c);

	return d != LOG_DRIVER_none && !(log_driver_remote(d) && logopt_bool(options_of(c), "cache-disabled"));
}
