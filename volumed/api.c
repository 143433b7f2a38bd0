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
#include "volumed/plugins.h"
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

const char *volume_text(const struct volumed *d, struct volume *v)
{
	if (!v->shown) {
		json_t *json = volume_json(d, v);

		v->shown = json_dumps(json, JSON_COMPACT);
		json_decref(json);
	}
	return v->shown;
}

json_t *volume_foreign_json(const char *name, const char *driver)
{
	return json_pack("{s:s, s:s, s:s, s:n, s:s, s:n}", "Driver", driver, "Mountpoint", "", "Name", name, "Labels",
			 "Scope", "local", "Options");
}

/* ---- create ---- */

struct creation {
	struct volumed *d;
	struct ipc_request *req;
};

/* Who names no driver gets that of the volume that there is: may it use this one? */
static int admit_driver(struct ipc_request *req, const char *driver, struct err *e)
{
	const struct policy_facts facts = {0};
	json_t *doc = json_pack("{s:s}", "Driver", driver);
	const int rc = guard_admit(req, POLICY_VOLUME, doc, &facts, e);

	json_decref(doc);
	return rc;
}

static void created(void *arg, struct volume *v, const struct err *e)
{
	struct creation *c = arg;

	const json_t *asked = json_object_get(((struct volume_create *)ipc_request_msg(c->req))->body.json, "Driver");
	struct err denied = {0};

	if (v && !guard_sees(c->req, v->owner))
		ipc_fail(c->req, 409, "create %s: conflict: volume name must be unique", v->name);
	else if (v && !json_string_length(asked) && admit_driver(c->req, v->driver, &denied) < 0)
		ipc_reply_error(c->req, &denied);
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
		.foreign = guard_sees_all(req),
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

static void no_such(struct removal *r)
{
	const struct volume_remove *m = ipc_request_msg(r->req);

	if (m->force)
		ipc_reply_json(r->req, 204, NULL);
	else
		ipc_fail(r->req, 404, "get %s: no such volume", m->name);
	free(r);
}

/* No record has the name. Nobody's but a plugin's is for who sees everybody's. */
static void on_found(void *arg, const char *driver, json_t *volume)
{
	struct removal *r = arg;
	const struct volume_remove *m = ipc_request_msg(r->req);

	(void)volume;
	if (driver)
		volume_unmake_foreign(r->d, m->name, driver, removed, r);
	else
		no_such(r);
}

void on_volume_remove(struct ipc_request *req, struct volume_remove *m, struct volumed *d)
{
	struct volume *v = volume_find(d->volumes, m->name);
	struct removal *r = XNEW(struct removal);

	*r = (struct removal){d, req};
	if (v && guard_sees(req, v->owner))
		volume_unmake(d, m->name, NULL, m->force, removed, r);
	else if (!v && guard_sees_all(req) && plugins_any(d))
		plugins_find(d, m->name, on_found, r);
	else
		no_such(r);
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
