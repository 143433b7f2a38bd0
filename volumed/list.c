/* list: GET /volumes: the records, and what plugins have besides. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/filters.h"
#include "lib/util.h"
#include "volumed/plugins.h"
#include "volumed/volumed.h"

/* What plugins say of their volumes: {driver: {name: volume}}, {driver: scope}, and why some say nothing. */
struct told {
	json_t *volumes, *scopes, *warnings;
};

struct listing {
	struct volumed *d;
	struct ipc_request *req;
	struct filters filters;
	bool by_dangling, dangling; /* the filter is given; and what it wants */
	struct told *told;	    /* NULL: there is no plugin */
	FILE *out;
	bool any;
};

/* ---- one volume ---- */

static bool listed(const struct listing *l, const char *name, const char *driver, json_t *labels, bool held)
{
	const struct filters *f = &l->filters;

	return filters_exact(f, "driver", driver) && filters_pattern(f, "name", name) &&
	       filters_labels(f, "label", labels) && (!l->by_dangling || l->dangling == !held);
}

static void put(struct listing *l, const char *text)
{
	if (l->any)
		putc(',', l->out);
	fputs(text, l->out);
	l->any = true;
}

static void put_described(struct listing *l, const char *driver, json_t *take_shown, json_t *volume)
{
	plugins_describe(take_shown, volume, json_string_value(json_object_get(l->told->scopes, driver)));
	json_object_del(take_shown, "Status"); /* for who inspects it */
	AUTO_FREE char *text = json_dumps(take_shown, JSON_COMPACT);
	put(l, text);
	json_decref(take_shown);
}

/* Its plugin has answered, and not with it: somebody has removed it there. */
static bool is_lost(const struct listing *l, const struct volume *v)
{
	const json_t *of_driver = l->told ? json_object_get(l->told->volumes, v->driver) : NULL;

	return of_driver && !json_object_get(of_driver, v->name);
}

static void list_recorded(void *arg, struct volume *v)
{
	struct listing *l = arg;
	json_t *of_driver = l->told ? json_object_get(l->told->volumes, v->driver) : NULL;
	json_t *volume = json_object_get(of_driver, v->name);

	if (is_lost(l, v))
		return;
	if (guard_sees(l->req, v->owner) && listed(l, v->name, v->driver, v->labels, v->nholds > 0)) {
		if (volume)
			put_described(l, v->driver, volume_json(l->d, v), volume);
		else
			put(l, volume_text(l->d, v));
	}
}

static void list_foreign(struct listing *l)
{
	const char *driver, *name;
	json_t *of_driver, *volume;
	json_t *seen = json_object();
	const struct volume *recorded;

	json_object_foreach(l->told->volumes, driver, of_driver) {
		json_object_foreach(of_driver, name, volume) {
			recorded = volume_find(l->d->volumes, name);
			if ((recorded && !is_lost(l, recorded)) || json_object_get(seen, name) ||
			    !listed(l, name, driver, NULL, false))
				continue;
			json_object_set_new(seen, name, json_true());
			put_described(l, driver, volume_foreign_json(name, driver), volume);
		}
	}
	json_decref(seen);
}

static void answer(struct listing *l)
{
	AUTO_FREE char *text = NULL, *warnings = NULL;
	size_t len = 0;

	l->out = open_memstream(&text, &len);
	fputs("{\"Volumes\":[", l->out);
	volumes_each(l->d->volumes, list_recorded, l);
	/* Nobody here has made them, so nobody owns them: they are for who sees everybody's. */
	if (l->told && guard_sees_all(l->req))
		list_foreign(l);
	warnings = l->told ? json_dumps(l->told->warnings, JSON_COMPACT) : xstrdup("[]");
	fprintf(l->out, "],\"Warnings\":%s}", warnings);
	if (fclose(l->out))
		abort(); /* as all that runs out of memory here */
	ipc_reply_text(l->req, 200, text, len);
}

/* ---- what the plugins have ---- */

static void told_end(struct listing *l)
{
	answer(l);
	json_decref(l->told->volumes);
	json_decref(l->told->scopes);
	json_decref(l->told->warnings);
	free(l->told);
	free(l);
}

/* A plugin that does not know the question has volumes of this host. */
static void on_capabilities(void *arg, json_t *answers, json_t *failures)
{
	struct listing *l = arg;
	const char *driver;
	json_t *of_driver;

	(void)failures;
	json_object_foreach(l->told->volumes, driver, of_driver)
		json_object_set_new(l->told->scopes, driver,
				    json_string(plugins_scope(json_object_get(answers, driver))));
	told_end(l);
}

static void on_listed(void *arg, json_t *answers, json_t *failures)
{
	struct listing *l = arg;
	const char *driver;
	json_t *reply, *body = json_object();

	json_array_extend(l->told->warnings, failures);
	json_object_foreach(answers, driver, reply) {
		json_t *volumes = plugins_listed(reply);

		if (volumes)
			json_object_set_new(l->told->volumes, driver, volumes);
		else
			json_array_append_new(
				l->told->warnings,
				json_sprintf("volume driver %s: its list of volumes is not a list", driver));
	}
	plugins_ask(l->d, "VolumeDriver.Capabilities", body, l->told->volumes, on_capabilities, l);
	json_decref(body);
}

void on_volume_list(struct ipc_request *req, struct volume_list *m, struct volumed *d)
{
	struct listing l = {.d = d, .req = req, .filters = *FILTERS_OF(m->filters.json)};
	struct err e = {0};

	l.by_dangling = filters_has(&l.filters, "dangling");
	if (filters_bool(&l.filters, "dangling", &l.dangling, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (!plugins_any(d)) {
		answer(&l);
		return;
	}
	struct listing *later = XNEW(struct listing);
	json_t *body = json_object();
	*later = l;
	later->told = XNEW(struct told);
	*later->told = (struct told){json_object(), json_object(), json_array()};
	plugins_ask(d, "VolumeDriver.List", body, NULL, on_listed, later);
	json_decref(body);
}
