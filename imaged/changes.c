#include "imaged/changes.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "lib/json.h"
#include "lib/util.h"

static json_t *member(json_t *config, const char *key, json_t *(*fresh)(void))
{
	json_t *m = json_object_get(config, key);

	if (!m || json_is_null(m)) {
		json_object_set_new(config, key, fresh());
		m = json_object_get(config, key);
	}
	return m;
}

static int bad(struct err *e, const char *word)
{
	return err_http(e, 400, "%s: wrong arguments", word);
}

/* The next word, with quotes and backslashes taken away; *rest moves behind it. NULL at the end. */
static char *next_word(const char **rest)
{
	const char *p = *rest + strspn(*rest, " \t");
	char *out, *to, quote = 0;

	if (!*p)
		return NULL;
	out = to = xcalloc(1, strlen(p) + 1);
	for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
		if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? 0 : *p;
		else if (*p == '\\' && p[1] && quote != '\'')
			*to++ = *++p;
		else
			*to++ = *p;
	}
	*rest = p;
	return out;
}

/* ["a","b"], or a command for the shell. */
static json_t *command(const char *text)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	json_t *list = NULL, *x;
	bool ok = *text == '[' && json_parse(text, strlen(text), &bounds, &list, NULL) == 0 && json_is_array(list);
	size_t i;

	json_array_foreach(list, i, x)
		ok = ok && json_is_string(x);
	if (ok)
		return list;
	json_decref(list);
	return json_pack("[s, s, s]", "/bin/sh", "-c", text);
}

static int set_command(json_t *config, const char *key, const char *text, struct err *e)
{
	(void)e;
	json_object_set_new(config, key, command(text));
	return 0;
}

static int set_text(json_t *config, const char *key, const char *text, struct err *e)
{
	AUTO_FREE char *word = next_word(&text);

	if (!word || text[strspn(text, " \t")])
		return bad(e, key);
	json_object_set_new(config, key, json_string(word));
	return 0;
}

static void put_env(json_t *env, const char *pair)
{
	size_t name = strcspn(pair, "=") + 1, i;
	json_t *x;

	json_array_foreach(env, i, x)
		if (strncmp(json_string_value(x), pair, name) == 0) {
			json_array_set_new(env, i, json_string(pair));
			return;
		}
	json_array_append_new(env, json_string(pair));
}

/* "A=b C=d", or the old "A b c". */
static int set_pairs(json_t *config, const char *key, const char *text, struct err *e)
{
	bool env = str_eq(key, "Env");
	json_t *to = member(config, key, env ? json_array : json_object);
	const char *rest = text;

	for (char *word; (word = next_word(&rest));) {
		AUTO_FREE char *pair = word;
		char *equals = strchr(pair, '=');
		if (!equals || equals == pair) {
			const char *value = text + strcspn(text, " \t");
			if (equals || !*value)
				return bad(e, key);
			AUTO_FREE char *joined = xasprintf("%s=%s", pair, value + strspn(value, " \t"));
			if (env)
				put_env(to, joined);
			else
				json_object_set_new(to, pair, json_string(value + strspn(value, " \t")));
			return 0;
		}
		if (env) {
			put_env(to, pair);
		} else {
			*equals = '\0';
			json_object_set_new(to, pair, json_string(equals + 1));
		}
	}
	return 0;
}

static int set_ports(json_t *config, const char *key, const char *text, struct err *e)
{
	json_t *to = member(config, key, json_object);

	for (char *word; (word = next_word(&text));) {
		AUTO_FREE char *port = word;
		const char *slash = strchr(port, '/');
		size_t digits = strspn(port, "0123456789");
		if (digits == 0 || digits > 5 || (slash ? (size_t)(slash - port) : strlen(port)) != digits ||
		    (slash && !str_eq(slash, "/tcp") && !str_eq(slash, "/udp") && !str_eq(slash, "/sctp")))
			return bad(e, "EXPOSE");
		AUTO_FREE char *full = xasprintf("%s%s", port, slash ? "" : "/tcp");
		json_object_set_new(to, full, json_object());
	}
	return 0;
}

static int set_volumes(json_t *config, const char *key, const char *text, struct err *e)
{
	json_t *to = member(config, key, json_object), *path;
	size_t i;

	if (*text == '[') {
		json_t *list = command(text);
		json_array_foreach(list, i, path)
			json_object_set_new(to, json_string_value(path), json_object());
		json_decref(list);
		return 0;
	}
	for (char *word; (word = next_word(&text));) {
		AUTO_FREE char *one = word;
		if (!*one)
			return bad(e, "VOLUME");
		json_object_set_new(to, one, json_object());
	}
	return 0;
}

static int set_workdir(json_t *config, const char *key, const char *text, struct err *e)
{
	const char *before = json_string_value(json_object_get(config, key));

	if (*text == '/' || !*text)
		return *text ? set_text(config, key, text, e) : bad(e, "WORKDIR");
	AUTO_FREE char *joined = xasprintf("%s/%s", before && !str_eq(before, "/") ? before : "", text);
	json_object_set_new(config, key, json_string(joined));
	return 0;
}

static int add_onbuild(json_t *config, const char *key, const char *text, struct err *e)
{
	(void)e;
	json_array_append_new(member(config, key, json_array), json_string(text));
	return 0;
}

/* "30s", "1m30s", "500ms" → nanoseconds; -1. */
static int64_t duration(const char *text)
{
	static const struct {
		const char *unit;
		double scale;
	} units[] = {{"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}};
	double total = 0;

	while (*text) {
		char *end;
		double n = strtod(text, &end);
		size_t i = 0;
		if (end == text || n < 0)
			return -1;
		while (i < ARRAY_LEN(units) && !str_starts(end, units[i].unit))
			i++;
		if (i == ARRAY_LEN(units))
			return -1;
		total += n * units[i].scale;
		text = end + strlen(units[i].unit);
	}
	return total < 9e18 ? (int64_t)total : -1;
}

static int set_health(json_t *config, const char *key, const char *text, struct err *e)
{
	static const struct {
		const char *option, *member;
	} options[] = {{"--interval=", "Interval"},
		       {"--timeout=", "Timeout"},
		       {"--start-period=", "StartPeriod"},
		       {"--start-interval=", "StartInterval"}};
	json_t *health = json_object();

	json_object_set_new(config, key, health);
	while (str_starts(text, "--")) {
		AUTO_FREE char *word = next_word(&text);
		int64_t n = -1;
		if (str_starts(word, "--retries=")) {
			n = strtol(word + 10, NULL, 10);
			json_object_set_new(health, "Retries", json_integer(n));
		}
		for (size_t i = 0; i < ARRAY_LEN(options); i++)
			if (str_starts(word, options[i].option)) {
				n = duration(word + strlen(options[i].option));
				json_object_set_new(health, options[i].member, json_integer(n));
			}
		if (n < 0)
			return bad(e, "HEALTHCHECK");
		text += strspn(text, " \t");
	}
	AUTO_FREE char *kind = next_word(&text);
	text += strspn(text, " \t");
	if (kind && strcasecmp(kind, "NONE") == 0) {
		json_object_set_new(health, "Test", json_pack("[s]", "NONE"));
		return 0;
	}
	if (!kind || strcasecmp(kind, "CMD") != 0 || !*text)
		return bad(e, "HEALTHCHECK");
	json_t *test = *text == '[' ? command(text) : json_pack("[s]", text);
	json_array_insert_new(test, 0, json_string(*text == '[' ? "CMD" : "CMD-SHELL"));
	json_object_set_new(health, "Test", test);
	return 0;
}

static const struct {
	const char *word, *key;
	int (*set)(json_t *config, const char *key, const char *text, struct err *e);
} instructions[] = {
	{"CMD", "Cmd", set_command},
	{"ENTRYPOINT", "Entrypoint", set_command},
	{"ENV", "Env", set_pairs},
	{"EXPOSE", "ExposedPorts", set_ports},
	{"HEALTHCHECK", "Healthcheck", set_health},
	{"LABEL", "Labels", set_pairs},
	{"ONBUILD", "OnBuild", add_onbuild},
	{"SHELL", "Shell", set_command},
	{"STOPSIGNAL", "StopSignal", set_text},
	{"USER", "User", set_text},
	{"VOLUME", "Volumes", set_volumes},
	{"WORKDIR", "WorkingDir", set_workdir},
};

static int apply_one(json_t *config, char *line, struct err *e)
{
	line += strspn(line, " \t\r");
	size_t n = strcspn(line, " \t");
	size_t end = strlen(line);

	while (end && isspace((unsigned char)line[end - 1]))
		line[--end] = '\0';
	if (!*line || *line == '#')
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(instructions); i++) {
		if (strlen(instructions[i].word) != n || strncasecmp(line, instructions[i].word, n) != 0)
			continue;
		const char *rest = line + n + strspn(line + n, " \t");
		if (!*rest)
			return err_http(e, 400, "%s requires at least one argument", instructions[i].word);
		return instructions[i].set(config, instructions[i].key, rest, e);
	}
	return err_http(e, 400, "%.*s is not a valid change command", (int)(n < 64 ? n : 64), line);
}

int changes_apply(json_t *config, const char *changes, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(changes);
	char *state = NULL;
	int rc = 0;

	for (char *line = strtok_r(copy, "\n", &state); line && rc == 0; line = strtok_r(NULL, "\n", &state))
		rc = apply_one(config, line, e);
	return rc;
}
