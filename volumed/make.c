#include "volumed/make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "volumed/driver.h"
#include "volumed/plugins.h"

/* Docker's mark of a volume that nobody named; `volume prune` goes by it. */
#define ANONYMOUS_LABEL "com.docker.volume.anonymous"

/* ---- events ---- */

static void published(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	(void)reply;
	if (e)
		log_warn("an event was not published: %s", e->text);
}

void volume_event(struct volumed *d, const struct volume *v, const char *action, json_t *take_more)
{
	static const struct ipc_call_events events = {.done = published};
	const struct ipc_call_options options = {.deadline_ms = 30000, .repeatable = true};
	json_t *attributes = take_more ? take_more : json_object();
	struct event_publish m = {
		.type = "volume", .action = action, .id = v ? v->name : "", .attributes = {.json = attributes}};
	struct err e = {0};

	if (v)
		json_object_set_new(attributes, "driver", json_string(v->driver));
	if (!ipc_call(d->runtimed, IPC_event_publish, &m, &options, &events, d, &e))
		log_warn("an event was not published: %s", e.text);
	json_decref(attributes);
}

/* ---- a record that goes ---- */

static int forget(struct volumed *d, struct volume *v, struct err *e)
{
	volume_event(d, v, "destroy", NULL);
	return volume_drop(d->volumes, v, e);
}

/* The caller's to free. */
static char *holders(const struct volume *v)
{
	char *ids = xstrdup("");

	for (size_t i = 0; i < v->nholds; i++) {
		char *longer = xasprintf("%s%s%s", ids, i ? ", " : "", v->holds[i].container);
		free(ids);
		ids = longer;
	}
	return ids;
}

/* ---- make ---- */

struct making {
	struct volumed *d;
	char *name, *driver, *owner, *container;
	json_t *options, *labels;
	bool anonymous, foreign;
	make_done done;
	void *arg;
};

static void making_end(struct making *m, struct volume *v, const struct err *e)
{
	AUTO_FREE char *name = STEAL(m->name);
	struct turns *turns = m->d->turns;

	m->done(m->arg, v, e);
	json_decref(m->options);
	json_decref(m->labels);
	free(m->driver);
	free(m->owner);
	free(m->container);
	free(m);
	turn_end(turns, name);
}

static void undone(void *arg, const char *path, const struct err *e)
{
	(void)arg;
	(void)path;
	if (e)
		log_error("a volume that could not be recorded could not be removed: %s", e->text);
}

static void driver_created(void *arg, const char *path, const struct err *failure)
{
	struct making *m = arg;
	const struct volume_new new = {m->name,	  m->driver,	m->owner,     m->options,
				       m->labels, m->anonymous, m->container, m->foreign};
	struct volume *v = NULL;
	struct err e = {0};

	(void)path;
	if (failure) {
		making_end(m, NULL, failure);
		return;
	}
	if (volume_add(m->d->volumes, &new, &v, &e) < 0) {
		driver_remove(m->d, m->driver, m->name, undone, NULL);
		making_end(m, NULL, &e);
		return;
	}
	volume_event(m->d, v, "create", NULL);
	making_end(m, v, NULL);
}

static int conflict(const struct making *m, const char *driver, struct err *e)
{
	return err_http(e, 409,
			"create %s: conflict: volume name must be unique: it exists with driver %s and other options",
			m->name, driver);
}

static void make_new(struct making *m)
{
	const char *driver = m->driver ? m->driver : VOLUME_LOCAL;
	struct err e = {0};

	if (driver_check(m->d, driver, m->name, m->options, &e) < 0) {
		err_prefix(&e, "create %s", m->name);
		making_end(m, NULL, &e);
		return;
	}
	if (!m->driver)
		m->driver = xstrdup(driver);
	driver_create(m->d, m->driver, m->name, m->options, driver_created, m);
}

/* It has a record from now on. */
static void on_found(void *arg, const char *driver, json_t *volume)
{
	struct making *m = arg;
	struct volume *v = NULL;
	struct err e = {0};

	(void)volume;
	if (!driver) {
		make_new(m);
		return;
	}
	const struct volume_new new = {m->name, driver, m->owner, NULL, m->labels, false, m->container, true};
	if (!m->foreign || json_object_size(m->options))
		conflict(m, driver, &e);
	else
		volume_add(m->d->volumes, &new, &v, &e);
	making_end(m, v, v ? NULL : &e);
}

static void make_unrecorded(struct making *m)
{
	if (!m->driver && !m->anonymous && plugins_any(m->d))
		plugins_find(m->d, m->name, on_found, m);
	else
		make_new(m);
}

static void take_recorded(struct making *m, struct volume *v)
{
	const bool same = (!m->driver || str_eq(v->driver, m->driver)) &&
			  (!json_object_size(m->options) || json_equal(v->options, m->options));
	struct err e = {0};

	conflict(m, v->driver, &e);
	making_end(m, same ? v : NULL, same ? NULL : &e);
}

/* A container that holds a lost one is not to find another volume there than it was made with. */
static void replace_lost(struct making *m, struct volume *v)
{
	AUTO_FREE char *ids = holders(v);
	struct err e = {0};

	if (v->nholds)
		err_http(&e, 409,
			 "create %s: conflict: driver %s has lost the volume of that name, and containers refer to "
			 "it: remove these before it is made again - [%s]",
			 m->name, v->driver, ids);
	else
		forget(m->d, v, &e);
	if (e.code)
		making_end(m, NULL, &e);
	else
		make_unrecorded(m);
}

static void make_checked(void *arg, bool lost)
{
	struct making *m = arg;
	struct volume *v = volume_find(m->d->volumes, m->name);

	if (lost)
		replace_lost(m, v);
	else
		take_recorded(m, v);
}

static void make_turn(void *arg)
{
	struct making *m = arg;
	struct volume *v = volume_find(m->d->volumes, m->name);

	if (!v)
		make_unrecorded(m);
	else if (str_eq(v->driver, VOLUME_LOCAL))
		take_recorded(m, v);
	else
		plugins_lost(m->d, v->driver, v->name, make_checked, m);
}

void volume_make(struct volumed *d, const struct volume_new *new, make_done done, void *arg)
{
	struct making *m = XNEW(struct making);

	*m = (struct making){
		.d = d,
		.name = xstrdup(new->name),
		.driver = new->driver &&*new->driver ? xstrdup(new->driver) : NULL,
		.owner = new->owner ? xstrdup(new->owner) : NULL,
		.container = new->container ? xstrdup(new->container) : NULL,
		.options = new->options ? json_deep_copy(new->options) : json_object(),
		.labels = new->labels ? json_deep_copy(new->labels) : json_object(),
		.anonymous = new->anonymous,
		.foreign = new->foreign,
		.done = done,
		.arg = arg,
	};
	if (m->anonymous)
		json_object_set_new(m->labels, ANONYMOUS_LABEL, json_string(""));
	turn_take(d->turns, m->name, make_turn, m);
}

/* ---- check ---- */

struct check {
	struct volumed *d;
	char *name;
	check_done done;
	void *arg;
};

static void check_end(struct check *c, bool lost)
{
	AUTO_FREE char *name = STEAL(c->name);
	struct turns *turns = c->d->turns;

	c->done(c->arg, lost);
	free(c);
	turn_end(turns, name);
}

static void checked(void *arg, bool lost)
{
	struct check *c = arg;
	struct volume *v = volume_find(c->d->volumes, c->name);
	struct err e = {0};

	if (lost && !v->nholds && forget(c->d, v, &e) < 0)
		log_error("a volume that its driver has lost is still recorded: %s", e.text);
	check_end(c, lost);
}

static void check_turn(void *arg)
{
	struct check *c = arg;
	struct volume *v = volume_find(c->d->volumes, c->name);

	if (v && !str_eq(v->driver, VOLUME_LOCAL))
		plugins_lost(c->d, v->driver, v->name, checked, c);
	else
		check_end(c, !v);
}

void volume_check(struct volumed *d, const char *name, check_done done, void *arg)
{
	struct check *c = XNEW(struct check);

	*c = (struct check){d, xstrdup(name), done, arg};
	turn_take(d->turns, c->name, check_turn, c);
}

/* ---- unmake ---- */

struct unmaking {
	struct volumed *d;
	char *name;
	char *driver;  /* of one that has no record; else NULL */
	char last[65]; /* its hold does not count; "" without */
	bool force, abandoned;
	struct err failure; /* of the plugin's removal */
	unmake_done done;
	void *arg;
};

static void unmaking_end(struct unmaking *u, const struct err *e)
{
	AUTO_FREE char *name = STEAL(u->name);
	struct turns *turns = u->d->turns;

	u->done(u->arg, e);
	free(u->driver);
	free(u);
	turn_end(turns, name);
}

static int in_use(const struct volume *v, struct err *e)
{
	AUTO_FREE char *ids = holders(v);

	return err_http(e, 409, "remove %s: volume is in use - [%s]", v->name, ids);
}

/* The record goes first for the local driver: files without a record are cleaned up, a record without files is not. */
static void drop_record(struct unmaking *u, struct err *e)
{
	forget(u->d, volume_find(u->d->volumes, u->name), e);
}

static void files_removed(void *arg, const char *path, const struct err *e)
{
	(void)path;
	unmaking_end(arg, e);
}

static int no_such(const struct unmaking *u, struct err *e)
{
	return err_http(e, 404, "get %s: no such volume", u->name);
}

static void unmake_checked(void *arg, bool lost)
{
	struct unmaking *u = arg;
	struct err e = {0};

	if (lost)
		drop_record(u, &e);
	if (lost && !e.code)
		no_such(u, &e);
	unmaking_end(u, lost ? &e : &u->failure);
}

static void plugin_removed(void *arg, const char *path, const struct err *failure)
{
	struct unmaking *u = arg;
	struct err e = {0};

	(void)path;
	if (failure && !u->force) {
		u->failure = *failure;
		/* Who has answered may have said so because there is nothing to remove. */
		if (failure->code == -EREMOTEIO)
			plugins_lost(u->d, volume_find(u->d->volumes, u->name)->driver, u->name, unmake_checked, u);
		else
			unmaking_end(u, failure);
		return;
	}
	drop_record(u, &e);
	unmaking_end(u, e.code ? &e : NULL);
}

static void foreign_removed(void *arg, const char *path, const struct err *e)
{
	struct unmaking *u = arg;
	const struct volume gone = {.name = u->name, .driver = u->driver};

	(void)path;
	if (!e)
		volume_event(u->d, &gone, "destroy", NULL);
	unmaking_end(u, e);
}

static void unmake_turn(void *arg);

/* Nobody uses it. What is mounted on it must go first; a limit that cannot be lifted holds nobody up. */
static void abandoned(void *arg, const char *path, const struct err *e)
{
	struct unmaking *u = arg;
	const struct volume *v = volume_find(u->d->volumes, u->name);

	(void)path;
	u->abandoned = true;
	if (e && local_is_mount(v->options))
		unmaking_end(u, e);
	else
		unmake_turn(u);
}

static void unmake_turn(void *arg)
{
	struct unmaking *u = arg;
	struct volume *v = volume_find(u->d->volumes, u->name);
	struct err e = {0};

	if (!v && u->driver) {
		driver_remove(u->d, u->driver, u->name, foreign_removed, u);
		return;
	}
	if (!v)
		no_such(u, &e);
	else if (v->nholds > (volume_holder(v, u->last) ? 1 : 0))
		in_use(v, &e);
	else if (!str_eq(v->driver, VOLUME_LOCAL)) {
		driver_remove(u->d, v->driver, u->name, plugin_removed, u);
		return;
	} else if ((local_is_mount(v->options) || local_size(v->options)) && !u->abandoned) {
		driver_abandon(u->d, v, abandoned, u);
		return;
	} else
		drop_record(u, &e);
	if (e.code)
		unmaking_end(u, &e);
	else
		driver_remove(u->d, VOLUME_LOCAL, u->name, files_removed, u);
}

void volume_unmake(struct volumed *d, const char *name, const char *last, bool force, unmake_done done, void *arg)
{
	struct unmaking *u = XNEW(struct unmaking);

	*u = (struct unmaking){.d = d, .name = xstrdup(name), .force = force, .done = done, .arg = arg};
	snprintf(u->last, sizeof u->last, "%s", last ? last : "");
	turn_take(d->turns, u->name, unmake_turn, u);
}

void volume_unmake_foreign(struct volumed *d, const char *name, const char *driver, unmake_done done, void *arg)
{
	struct unmaking *u = XNEW(struct unmaking);

	*u = (struct unmaking){.d = d, .name = xstrdup(name), .driver = xstrdup(driver), .done = done, .arg = arg};
	turn_take(d->turns, u->name, unmake_turn, u);
}
