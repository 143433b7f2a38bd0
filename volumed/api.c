/* api: the routes /volumes…. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/filters.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "volumed/driver.h"
#include "volumed/make.h"
#include "volumed/volumed.h"

/* ---- a volume as clients see it ---- */

json_t *volume_json(const struct volumed *d, const struct volume *v)
{
	char created[32];
	const time_t seconds = (time_t)(v->created / 1000000000);
	struct tm tm;
	AUTO_FREE char *path = str_eq(v->driver, VOLUME_LOCAL) ? local_path(d->local, v->name) : NULL;

	strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	return json_pack("{s:s, s:s, s:s, s:s, s:O, s:s, s:O?}", "CreatedAt", created, "Driver", v->driver,
			 "Mountpoint", path ? path : (v->mountpoint ? v->mountpoint : ""), "Name", v->name, "Labels",
			 v->labels, "Scope", "local", "Options", json_object_size(v->options) ? v->options : NULL);
}

/* ---- list ---- */

struct listing {
	struct volumed *d;
	struct ipc_request *req;
	const struct filters *filters;
	bool by_dangling, dangling; /* the filter is given; and what it wants */
	FILE *out;
	bool any;
};

static bool listed(const struct listing *l, const struct volume *v)
{
	const struct filters *f = l->filters;

	return guard_sees(l->req, v->owner) && filters_exact(f, "driver", v->driver) &&
	       filters_pattern(f, "name", v->name) && filters_labels(f, "label", v->labels) &&
	       (!l->by_dangling || l->dangling == (v->nholds == 0));
}

static void list_one(void *arg, struct volume *v)
{
	struct listing *l = arg;

	if (!listed(l, v))
		return;
	if (!v->shown) {
		json_t *json = volume_json(l->d, v);

		v->shown = json_dumps(json, JSON_COMPACT);
		json_decref(json);
	}
	if (l->any)
		putc(',', l->out);
	fputs(v->shown, l->out);
	l->any = true;
}

void on_volume_list(struct ipc_request *req, struct volume_list *m, struct volumed *d)
{
	const struct filters *f = FILTERS_OF(m->filters.json);
	struct listing l = {d, req, f, filters_has(f, "dangling"), false, NULL, false};
	AUTO_FREE char *text = NULL;
	size_t len = 0;
	struct err e = {0};

	if (filters_bool(f, "dangling", &l.dangling, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	l.out = open_memstream(&text, &len);
	fputs("{\"Volumes\":[", l.out);
	volumes_each(d->volumes, list_one, &l);
	fputs("],\"Warnings\":[]}", l.out);
	if (fclose(l.out))
		abort(); /* as all that runs out of memory here */
	ipc_reply_text(req, 200, text, len);
}

struct volume *volume_for(struct volumed *d, struct ipc_request *req, const char *name)
{
	struct volume *v = volume_find(d->volumes, name);

	if (v && guard_sees(req, v->owner))
		return v;
	ipc_fail(req, 404, "get %s: no such volume", name);
	return NULL;
}

/* ---- create ---- */

struct creation {
	struct volumed *d;
	struct ipc_request *req;
};

static void created(void *arg, struct volume *v, const struct err *e)
{
	struct creation *c = arg;

	if (v && !guard_sees(c->req, v->owner))
		ipc_fail(c->req, 409, "create %s: conflict: volume name must be unique", v->name);
	else if (v)
		ipc_reply_json(c->req, 201, volume_json(c->d, v));
	else
		ipc_reply_error(c->req, e);
	free(c);
}

void on_volume_create(struct ipc_request *req, struct volume_create *m, struct volumed *d)
{
	const json_t *body = m->body.json;
	struct err e = {0};
	char random[65];
	const char *name = json_string_value(json_object_get(body, "Name"));
	struct volume_new new = {
		.name = name,
		.driver = json_string_value(json_object_get(body, "Driver")),
		.owner = guard_owner(req),
		.options = json_object_get(body, "DriverOpts"),
		.labels = json_object_get(body, "Labels"),
	};
	const struct policy_facts facts = {0};

	if (!name || !*name) {
		volume_random_name(random);
		new.name = random;
		new.anonymous = true;
	}
	if (guard_admit(req, POLICY_VOLUME, body, &facts, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_request_object(req, "volume", new.name);
	struct creation *c = XNEW(struct creation);
	*c = (struct creation){d, req};
	volume_make(d, &new, created, c);
}

/* ---- remove ---- */

struct removal {
	struct volumed *d;
	struct ipc_request *req;
};

static void removed(void *arg, const struct err *e)
{
	struct removal *r = arg;

	if (e)
		ipc_reply_error(r->req, e);
	else
		ipc_reply_json(r->req, 204, NULL);
	free(r);
}

void on_volume_remove(struct ipc_request *req, struct volume_remove *m, struct volumed *d)
{
	struct volume *v = volume_find(d->volumes, m->name);

	if (m->force && (!v || !guard_sees(req, v->owner))) {
		ipc_reply_json(req, 204, NULL);
		return;
	}
	if (!volume_for(d, req, m->name))
		return;
	struct removal *r = XNEW(struct removal);
	*r = (struct removal){d, req};
	volume_unmake(d, m->name, NULL, m->force, removed, r);
}

/* ---- prune ---- */

/* Sizes are measured in the thread; what is still unused after that is removed. */
struct prune {
	struct volumed *d;
	struct ipc_request *req;
	int dir; /* duplicate of the volumes' directory */
	char **names;
	uint64_t *sizes;
	size_t n;
	size_t at; /* being removed */
	uint64_t reclaimed;
	json_t *deleted;
};

static void prune_free(struct prune *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->names[i]);
	free(p->names);
	free(p->sizes);
	fd_close(&p->dir);
	json_decref(p->deleted);
	free(p);
}

static void prune_measure(void *arg, const atomic_bool *stop)
{
	struct prune *p = arg;

	for (size_t i = 0; i < p->n && !*stop; i++)
		tree_size(p->dir, p->names[i], stop, &p->sizes[i], NULL);
}

static void prune_next(struct prune *p);

static void pruned_one(void *arg, const struct err *e)
{
	struct prune *p = arg;

	if (!e) {
		json_array_append_new(p->deleted, json_string(p->names[p->at]));
		p->reclaimed += p->sizes[p->at];
	}
	p->at++;
	prune_next(p);
}

static void prune_next(struct prune *p)
{
	struct volumed *d = p->d;

	if (p->at < p->n) {
		volume_unmake(d, p->names[p->at], NULL, false, pruned_one, p);
		return;
	}
	volume_event(d, NULL, "prune",
		     json_pack("{s:o}", "reclaimed", json_sprintf("%llu", (unsigned long long)p->reclaimed)));
	ipc_reply_json(
		p->req, 200,
		json_pack("{s:O, s:I}", "VolumesDeleted", p->deleted, "SpaceReclaimed", (json_int_t)p->reclaimed));
	prune_free(p);
}

static void prune_measured(void *arg)
{
	prune_next(arg);
}

static void prune_dropped(void *arg)
{
	struct prune *p = arg;

	ipc_fail(p->req, 503, "the engine is stopping");
	prune_free(p);
}

static const struct job_kind prune_kind = {.run = prune_measure, .done = prune_measured, .drop = prune_dropped};

struct candidates {
	struct prune *prune;
	const struct filters *filters;
	bool all;
};

static void collect(void *arg, struct volume *v)
{
	struct candidates *c = arg;
	struct prune *p = c->prune;

	if (v->nholds || !str_eq(v->driver, VOLUME_LOCAL) || (!c->all && !v->anonymous) ||
	    !guard_sees(p->req, v->owner) || !filters_labels(c->filters, "label", v->labels) ||
	    !filters_labels(c->filters, "label!", v->labels))
		return;
	p->names = xrealloc(p->names, p->n + 1, sizeof *p->names);
	p->names[p->n++] = xstrdup(v->name);
}

void on_volume_prune(struct ipc_request *req, struct volume_prune *m, struct volumed *d)
{
	struct candidates c = {.filters = FILTERS_OF(m->filters.json)};
	struct err e = {0};

	if (filters_bool(c.filters, "all", &c.all, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	struct prune *p = c.prune = XNEW(struct prune);
	*p = (struct prune){
		.d = d, .req = req, .deleted = json_array(), .dir = fcntl(local_dir(d->local), F_DUPFD_CLOEXEC, 3)};
	volumes_each(d->volumes, collect, &c);
	p->sizes = xcalloc(p->n + 1, sizeof *p->sizes);
	jobs_add(d->jobs, &prune_kind, p);
}
