/* hold: what runtimed asks for its containers: to refer to a volume, to use it while the container runs, to let it go.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "volumed/driver.h"
#include "volumed/make.h"
#include "volumed/volumed.h"

/* `path`: NULL for where the driver keeps it, as far as that is known without a mount. */
static void reply_held(struct volumed *d, struct ipc_request *req, const struct volume *v, const char *path)
{
	const bool local = str_eq(v->driver, VOLUME_LOCAL);
	AUTO_FREE char *own = local && !local_is_mount(v->options) ? local_path(d->local, v->name) : NULL;
	struct volume_held held = {.name = v->name,
				   .driver = v->driver,
				   .path = path ? path : (own ? own : ""),
				   .empty = local && local_empty(d->local, v->name)};

	ipc_reply(req, &held);
}

/* ---- acquire ---- */

struct acquisition {
	struct volumed *d;
	struct ipc_request *req;
};

static void acquired(void *arg, struct volume *v, const struct err *failure)
{
	struct acquisition *a = arg;
	struct volume_acquire *m = ipc_request_msg(a->req);
	struct err e = {0};

	if (failure)
		ipc_reply_error(a->req, failure);
	else if (m->own && *v->owner && !str_eq(v->owner, m->owner ? m->owner : ""))
		/* As at POST /volumes/create: there is one, and that is all that is said about it. */
		ipc_fail(a->req, 409, "create %s: conflict: volume name must be unique", v->name);
	else if (volume_hold(a->d->volumes, v, m->container, &e) < 0)
		ipc_reply_error(a->req, &e);
	else
		reply_held(a->d, a->req, v, NULL);
	free(a);
}

void on_volume_acquire(struct ipc_request *req, struct volume_acquire *m, struct volumed *d)
{
	char random[65];
	struct volume_new new = {m->name,	 m->driver, m->owner,	  m->options.json,
				 m->labels.json, false,	    m->container, !m->own};

	if (!m->name) {
		volume_random_name(random);
		new.name = random;
		new.anonymous = true;
	}
	struct acquisition *a = XNEW(struct acquisition);
	*a = (struct acquisition){d, req};
	volume_make(d, &new, acquired, a);
}

/* ---- use ---- */

struct use {
	struct volumed *d;
	struct ipc_request *req;
	char *name;
	struct err failure; /* of the mount */
};

static void use_end(struct use *u)
{
	AUTO_FREE char *name = u->name;
	struct turns *turns = u->d->turns;

	free(u);
	turn_end(turns, name);
}

static void use_undone(void *arg, const char *path, const struct err *e)
{
	struct use *u = arg;

	(void)path;
	if (e)
		log_warn("%s", e->text);
	ipc_reply_error(u->req, &u->failure);
	use_end(u);
}

/* Who died over a mount may have made it. */
static void use_failed(struct use *u, struct volume *v, const struct err *e)
{
	u->failure = *e;
	if (str_eq(v->driver, VOLUME_LOCAL) && !volume_users(v))
		driver_unmount(u->d, v, "", use_undone, u);
	else
		use_undone(u, NULL, NULL);
}

static void used(void *arg, const char *path, const struct err *e)
{
	struct use *u = arg;
	struct volume_use *m = ipc_request_msg(u->req);
	struct volume *v = volume_find(u->d->volumes, u->name);
	struct volume_hold *hold = volume_holder(v, m->container);

	if (e) {
		use_failed(u, v, e);
		return;
	}
	if (hold)
		hold->in_use = true;
	if (path && !str_eq(v->driver, VOLUME_LOCAL)) {
		free(v->mountpoint);
		v->mountpoint = xstrdup(path);
		free(STEAL(v->shown));
	}
	volume_event(u->d, v, "mount", json_pack("{s:s}", "container", m->container));
	reply_held(u->d, u->req, v, path);
	use_end(u);
}

static void use_turn(void *arg)
{
	struct use *u = arg;
	struct volume_use *m = ipc_request_msg(u->req);
	struct volume *v = volume_find(u->d->volumes, u->name);

	if (!v || !volume_holder(v, m->container)) {
		ipc_fail(u->req, 404, "get %s: no such volume", u->name);
		use_end(u);
		return;
	}
	driver_mount(u->d, v, m->container, used, u);
}

void on_volume_use(struct ipc_request *req, struct volume_use *m, struct volumed *d)
{
	struct use *u = XNEW(struct use);

	*u = (struct use){.d = d, .req = req, .name = xstrdup(m->name)};
	turn_take(d->turns, u->name, use_turn, u);
}

/* ---- unuse, release: over all volumes of a container ---- */

struct leaving {
	struct volumed *d;
	char container[65];
	struct ipc_request *req;
	bool release, anonymous;
	size_t open; /* steps outstanding, and one for the loop that starts them */
	struct err e;
};

struct step {
	struct leaving *leaving;
	char *name;
};

static void leaving_close(struct leaving *l)
{
	if (--l->open)
		return;
	if (l->e.code)
		ipc_reply_error(l->req, &l->e);
	else
		ipc_reply_done(l->req);
	free(l);
}

static void step_free(struct step *s)
{
	struct leaving *l = s->leaving;

	free(s->name);
	free(s);
	leaving_close(l);
}

/* Its hold went with it. When it stays, because another holds it or its driver fails, this one lets go all the same. */
static void anonymous_gone(void *arg, const struct err *e)
{
	struct step *s = arg;
	struct leaving *l = s->leaving;
	struct volume *v = volume_find(l->d->volumes, s->name);

	if (e && e->status != 409 && e->status != 404)
		l->e = *e;
	if (v)
		volume_let_go(l->d->volumes, v, l->container, &l->e);
	step_free(s);
}

static void step_end(struct step *s, const struct err *e)
{
	struct leaving *l = s->leaving;
	struct volume *v = volume_find(l->d->volumes, s->name);
	const bool remove = v && l->release && l->anonymous && v->anonymous;

	if (e)
		l->e = *e;
	if (v && l->release && !remove)
		volume_let_go(l->d->volumes, v, l->container, &l->e);
	turn_end(l->d->turns, s->name);
	if (remove)
		volume_unmake(l->d, s->name, l->container, false, anonymous_gone, s);
	else
		step_free(s);
}

static void unmounted(void *arg, const char *path, const struct err *e)
{
	(void)path;
	step_end(arg, e);
}

static void leave_turn(void *arg)
{
	struct step *s = arg;
	struct leaving *l = s->leaving;
	struct volume *v = volume_find(l->d->volumes, s->name);
	struct volume_hold *hold = v ? volume_holder(v, l->container) : NULL;
	const bool was_used = hold && hold->in_use;

	if (!was_used) {
		step_end(s, NULL);
		return;
	}
	hold->in_use = false;
	volume_event(l->d, v, "unmount", json_pack("{s:s}", "container", l->container));
	/* A plugin counts its users itself; a mount of ours goes with the last. */
	if (str_eq(v->driver, VOLUME_LOCAL) && volume_users(v))
		step_end(s, NULL);
	else
		driver_unmount(l->d, v, l->container, unmounted, s);
}

struct held_names {
	const char *container;
	char **names;
	size_t n;
};

static void collect_held(void *arg, struct volume *v)
{
	struct held_names *h = arg;

	if (!volume_holder(v, h->container))
		return;
	h->names = xrealloc(h->names, h->n + 1, sizeof *h->names);
	h->names[h->n++] = xstrdup(v->name);
}

static void leave(struct volumed *d, struct ipc_request *req, const char *container, bool release, bool anonymous)
{
	struct leaving *l = XNEW(struct leaving);
	struct held_names h = {.container = container};

	*l = (struct leaving){.d = d, .req = req, .release = release, .anonymous = anonymous, .open = 1};
	snprintf(l->container, sizeof l->container, "%s", container);
	volumes_each(d->volumes, collect_held, &h);
	for (size_t i = 0; i < h.n; i++) {
		struct step *s = XNEW(struct step);

		*s = (struct step){l, h.names[i]};
		l->open++;
		turn_take(d->turns, s->name, leave_turn, s);
	}
	free(h.names);
	leaving_close(l);
}

void on_volume_unuse(struct ipc_request *req, struct volume_unuse *m, struct volumed *d)
{
	leave(d, req, m->container, false, false);
}

void on_volume_release(struct ipc_request *req, struct volume_release *m, struct volumed *d)
{
	leave(d, req, m->container, true, m->anonymous);
}

/* ---- reconcile ---- */

struct stale {
	struct volumed *d;
	char *name;
};

static void stale_end(struct stale *s)
{
	turn_end(s->d->turns, s->name);
	free(s->name);
	free(s);
}

static void stale_unmounted(void *arg, const char *path, const struct err *e)
{
	(void)path;
	if (e)
		log_warn("a volume that nobody uses could not be unmounted: %s", e->text);
	stale_end(arg);
}

/* Who has come to use it by now keeps it. */
static void stale_turn(void *arg)
{
	struct stale *s = arg;
	struct volume *v = volume_find(s->d->volumes, s->name);

	if (v && !volume_users(v))
		driver_unmount(s->d, v, "", stale_unmounted, s);
	else
		stale_end(s);
}

static void unmount_stale(struct volumed *d, const char *name)
{
	struct stale *s = XNEW(struct stale);

	*s = (struct stale){d, xstrdup(name)};
	turn_take(d->turns, s->name, stale_turn, s);
}

struct reconciliation {
	struct volumed *d;
	const json_t *containers;
};

static void reconcile_one(void *arg, struct volume *v)
{
	struct reconciliation *r = arg;
	const size_t before = volume_users(v);

	for (size_t i = v->nholds; i-- > 0;) {
		const json_t *running = json_object_get(r->containers, v->holds[i].container);
		struct err e = {0};

		v->holds[i].in_use = json_is_true(running);
		if (!running && volume_let_go(r->d->volumes, v, v->holds[i].container, &e) < 0)
			log_error("%s", e.text);
	}
	if (!volume_users(v) && (before || local_is_mount(v->options)))
		unmount_stale(r->d, v->name);
}

void on_volume_reconcile(struct ipc_request *req, struct volume_reconcile *m, struct volumed *d)
{
	struct reconciliation r = {d, m->containers.json};

	volumes_each(d->volumes, reconcile_one, &r);
	ipc_reply_done(req);
}
