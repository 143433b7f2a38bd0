#include "volumed/plugins.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/grammar.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "volumed/plugin.h"

/* ---- who is there ---- */

/* "NAME.sock" or a directory NAME: the name, when there is a plugin of it; the caller's to free. */
static char *name_of(const char *dir, const char *entry)
{
	const size_t len = strlen(entry);
	const bool is_socket = len > 5 && str_eq(entry + len - 5, ".sock");
	AUTO_FREE char *name = xasprintf("%.*s", (int)(is_socket ? len - 5 : len), entry);

	return grammar_check(G_VOLUME_NAME, name, strlen(name)) && *name && plugin_exists(dir, name) ? STEAL(name)
												     : NULL;
}

/* {name: null}, in the order of names. */
static json_t *present(const struct volumed *d)
{
	const char *dir = d->daemon.config->volumes_plugin_dir;
	struct dirent **entries = NULL;
	json_t *names = json_object();
	const int n = *dir ? scandir(dir, &entries, NULL, alphasort) : 0;

	for (int i = 0; i < n; i++) {
		AUTO_FREE char *name = name_of(dir, entries[i]->d_name);

		if (name)
			json_object_set_new(names, name, json_null());
		free(entries[i]);
	}
	free(entries);
	return names;
}

bool plugins_any(const struct volumed *d)
{
	json_t *names = present(d);
	const bool any = json_object_size(names) > 0;

	json_decref(names);
	return any;
}

/* ---- who keeps silent: d->silent is {"name since": until when} ---- */

static char *silence_key(const struct volumed *d, const char *driver)
{
	return xasprintf("%s %" PRId64, driver, plugin_since(d->daemon.config->volumes_plugin_dir, driver));
}

static bool is_silent(struct volumed *d, const char *driver)
{
	AUTO_FREE char *key = silence_key(d, driver);
	const json_t *until = json_object_get(d->silent, key);

	if (until && json_integer_value(until) > monotonic_ms())
		return true;
	json_object_del(d->silent, key);
	return false;
}

static void note_silence(struct volumed *d, const char *driver)
{
	AUTO_FREE char *key = silence_key(d, driver);

	json_object_set_new(d->silent, key, json_integer(monotonic_ms() + PLUGINS_REST_MS));
}

/* ---- asking ---- */

/* One question to all, until the last has answered. */
struct round {
	struct volumed *d;
	json_t *answers, *failures;
	size_t open; /* those that are asked, and one for the loop that asks them */
	plugins_done done;
	void *arg;
};

struct question {
	struct round *round;
	char *driver;
};

static void close_one(struct round *r)
{
	const char *driver;
	json_t *answer;
	void *next;

	if (--r->open)
		return;
	json_object_foreach_safe(r->answers, next, driver, answer)
		if (json_is_null(answer))
			json_object_del(r->answers, driver);
	r->done(r->arg, r->answers, r->failures);
	json_decref(r->answers);
	json_decref(r->failures);
	free(r);
}

static void answered(void *arg, const json_t *answer, const struct err *e)
{
	struct question *q = arg;
	struct round *r = q->round;

	if (e && e->code == -ETIMEDOUT)
		note_silence(r->d, q->driver);
	if (e)
		json_array_append_new(r->failures, json_string(e->text));
	else
		json_object_set(r->answers, q->driver, (json_t *)answer);
	free(q->driver);
	free(q);
	close_one(r);
}

void plugins_ask(struct volumed *d, const char *method, json_t *body, const json_t *only, plugins_done done, void *arg)
{
	struct round *r = XNEW(struct round);
	json_t *names = present(d), *ignored;
	const char *driver;

	*r = (struct round){.d = d,
			    .answers = json_deep_copy(names),
			    .failures = json_array(),
			    .open = 1,
			    .done = done,
			    .arg = arg};
	json_object_foreach(names, driver, ignored) {
		if (only && !json_object_get(only, driver))
			continue;
		if (is_silent(d, driver)) {
			json_array_append_new(r->failures, json_sprintf("volume driver %s: not asked, as it has left a "
									"question without an answer a moment ago",
									driver));
			continue;
		}
		struct question *q = XNEW(struct question);
		*q = (struct question){r, xstrdup(driver)};
		r->open++;
		plugin_call(d->daemon.base, d->daemon.config, driver, method, PLUGINS_WAIT_MS, json_incref(body),
			    answered, q);
	}
	json_decref(names);
	close_one(r);
}

/* ---- whose is it ---- */

struct finding {
	char *name;
	plugins_found done;
	void *arg;
};

static void asked_for_it(void *arg, json_t *answers, json_t *failures)
{
	struct finding *f = arg;
	const char *driver;
	json_t *answer, *volume = NULL;

	(void)failures; /* most say so that they do not have it; who does not answer has none */
	json_object_foreach(answers, driver, answer) {
		volume = json_object_get(answer, "Volume");
		if (plugins_is_volume(volume) && str_eq(json_string_value(json_object_get(volume, "Name")), f->name))
			break;
		volume = NULL;
	}
	f->done(f->arg, volume ? driver : NULL, volume);
	free(f->name);
	free(f);
}

void plugins_find(struct volumed *d, const char *name, plugins_found done, void *arg)
{
	struct finding *f = XNEW(struct finding);
	json_t *body = json_pack("{s:s}", "Name", name);

	*f = (struct finding){xstrdup(name), done, arg};
	plugins_ask(d, "VolumeDriver.Get", body, NULL, asked_for_it, f);
	json_decref(body);
}

/* ---- is it still there ---- */

struct search {
	struct volumed *d;
	char *driver, *name;
	plugins_lost_done done;
	void *arg;
};

static void search_end(struct search *s, bool lost)
{
	s->done(s->arg, lost);
	free(s->driver);
	free(s->name);
	free(s);
}

static void listed_for_it(void *arg, json_t *answers, json_t *failures)
{
	struct search *s = arg;
	const json_t *answer = json_object_get(answers, s->driver);
	json_t *volumes = answer ? plugins_listed(answer) : NULL;
	const bool lost = volumes && !json_object_get(volumes, s->name);

	(void)failures;
	json_decref(volumes);
	search_end(s, lost);
}

static void got_it(void *arg, const json_t *answer, const struct err *e)
{
	struct search *s = arg;

	if (e && e->code == -ETIMEDOUT)
		note_silence(s->d, s->driver);
	if (!plugins_denies(answer, e)) {
		search_end(s, false);
		return;
	}
	json_t *body = json_object(), *only = json_pack("{s:n}", s->driver);
	plugins_ask(s->d, "VolumeDriver.List", body, only, listed_for_it, s);
	json_decref(body);
	json_decref(only);
}

bool plugins_denies(const json_t *answer, const struct err *e)
{
	const json_t *volume = json_object_get(answer, "Volume");

	return e ? e->code == -EREMOTEIO : !volume || json_is_null(volume);
}

void plugins_lost(struct volumed *d, const char *driver, const char *name, plugins_lost_done done, void *arg)
{
	if (is_silent(d, driver)) {
		done(arg, false);
		return;
	}
	struct search *s = XNEW(struct search);
	*s = (struct search){d, xstrdup(driver), xstrdup(name), done, arg};
	plugin_call(d->daemon.base, d->daemon.config, driver, "VolumeDriver.Get", PLUGINS_WAIT_MS,
		    json_pack("{s:s}", "Name", name), got_it, s);
}

/* ---- what they say ---- */

/* Who has none may say null, or nothing. */
json_t *plugins_listed(const json_t *answer)
{
	const json_t *volumes = json_object_get(answer, "Volumes");
	json_t *named, *volume;
	size_t i;

	if (!json_is_object(answer) || (volumes && !json_is_null(volumes) && !json_is_array(volumes)))
		return NULL;
	named = json_object();
	json_array_foreach(volumes, i, volume)
		if (plugins_is_volume(volume))
			json_object_set(named, json_string_value(json_object_get(volume, "Name")), volume);
	return named;
}

bool plugins_is_volume(const json_t *volume)
{
	const char *name = json_string_value(json_object_get(volume, "Name"));

	return name && *name && strlen(name) <= 255 && grammar_check(G_VOLUME_NAME, name, strlen(name));
}

const char *plugins_scope(const json_t *capabilities)
{
	const char *scope = json_string_value(json_object_get(json_object_get(capabilities, "Capabilities"), "Scope"));

	return scope && str_eq(scope, "global") ? "global" : "local";
}

void plugins_describe(json_t *shown, json_t *volume, const char *scope)
{
	static const char *const texts[] = {"Mountpoint", "CreatedAt"};
	json_t *status = json_object_get(volume, "Status");

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *text = json_object_get(volume, texts[i]);

		if (json_string_length(text))
			json_object_set(shown, texts[i], text);
	}
	if (json_object_size(status))
		json_object_set(shown, "Status", status);
	json_object_set_new(shown, "Scope", json_string(scope));
}
