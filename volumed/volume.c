#include "volumed/volume.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/times.h"
#include "lib/util.h"

struct volumes {
	struct store *store;
	void *tree; /* of struct volume, by name */
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct volume *)a)->name, ((const struct volume *)b)->name);
}

static void volume_free(void *arg)
{
	struct volume *v = arg;

	json_decref(v->options);
	json_decref(v->labels);
	free(v->name);
	free(v->driver);
	free(v->owner);
	free(v->mountpoint);
	free(v->shown);
	free(v->holds);
	free(v);
}

static json_t *object_or_empty(const json_t *json)
{
	return json_is_object(json) ? json_deep_copy(json) : json_object();
}

static void put(struct volumes *v, struct volume *volume)
{
	if (!tsearch(volume, &v->tree, compare))
		abort();
}

struct volume *volume_find(struct volumes *v, const char *name)
{
	struct volume key = {.name = (char *)name};
	struct volume **found = tfind(&key, &v->tree, compare);

	return found ? *found : NULL;
}

struct walk {
	void (*fn)(void *arg, struct volume *volume);
	void *arg;
};

static void visit(const void *node, VISIT which, void *closure)
{
	const struct walk *w = closure;

	if (which == postorder || which == leaf)
		w->fn(w->arg, *(struct volume *const *)node);
}

void volumes_each(struct volumes *v, void (*fn)(void *arg, struct volume *volume), void *arg)
{
	struct walk w = {fn, arg};

	twalk_r(v->tree, visit, &w);
}

/* ---- from the database ---- */

struct loading {
	struct volumes *volumes;
	struct err *e;
};

static int load_volume(void *arg, struct store_row *r)
{
	struct loading *l = arg;
	struct volume *v = XNEW(struct volume);
	json_t *options = NULL, *labels = NULL;
	int rc = store_json(r, 2, &options, l->e);

	if (rc == 0)
		rc = store_json(r, 3, &labels, l->e);
	v->name = xstrdup(store_text(r, 0));
	v->driver = xstrdup(store_text(r, 1));
	v->options = options ? options : json_object();
	v->labels = labels ? labels : json_object();
	v->created = store_int(r, 4);
	v->anonymous = store_int(r, 5) != 0;
	v->owner = xstrdup(store_text(r, 6));
	if (rc < 0)
		volume_free(v);
	else
		put(l->volumes, v);
	return rc;
}

static void add_hold(struct volume *v, const char *container)
{
	v->holds = xrealloc(v->holds, v->nholds + 1, sizeof *v->holds);
	struct volume_hold *h = &v->holds[v->nholds++];
	*h = (struct volume_hold){0};
	snprintf(h->container, sizeof h->container, "%s", container);
}

static int load_hold(void *arg, struct store_row *r)
{
	struct loading *l = arg;
	struct volume *v = volume_find(l->volumes, store_text(r, 0));

	if (v)
		add_hold(v, store_text(r, 1));
	return 0;
}

int volumes_new(struct store *store, struct volumes **out, struct err *e)
{
	struct volumes *v = XNEW(struct volumes);
	struct loading l = {v, e};
	int rc;

	v->store = store;
	rc = store_query(store, load_volume, &l, e,
			 "SELECT name, driver, options, labels, created, anonymous, owner FROM volume", "");
	if (rc == 0)
		rc = store_query(store, load_hold, &l, e, "SELECT volume, container FROM hold", "");
	if (rc < 0) {
		volumes_free(v);
		return rc;
	}
	*out = v;
	return 0;
}

void volumes_free(struct volumes *v)
{
	if (!v)
		return;
	tdestroy(v->tree, volume_free);
	free(v);
}

/* ---- changes ---- */

static int insert_hold(struct volumes *v, const char *volume, const char *container, struct err *e)
{
	return store_exec(v->store, e, "INSERT INTO hold(volume, container) VALUES(?,?)", "tt", volume, container);
}

/* The record and its first hold: an anonymous volume without one would be nobody's to remove. */
static int insert(struct volumes *v, const struct volume *volume, const char *container, struct err *e)
{
	int rc = store_begin(v->store, e);

	if (rc == 0)
		rc = store_exec(v->store, e,
				"INSERT INTO volume(name, driver, options, labels, created, anonymous, owner) "
				"VALUES(?,?,?,?,?,?,?)",
				"ttjjiit", volume->name, volume->driver, volume->options, volume->labels,
				volume->created, (int64_t)volume->anonymous, volume->owner);
	if (rc == 0 && container)
		rc = insert_hold(v, volume->name, container, e);
	if (rc == 0)
		rc = store_commit(v->store, e);
	if (rc < 0)
		store_rollback(v->store);
	return rc;
}

int volume_add(struct volumes *v, const struct volume_new *new, struct volume **out, struct err *e)
{
	struct volume *volume = XNEW(struct volume);

	volume->name = xstrdup(new->name);
	volume->driver = xstrdup(new->driver);
	volume->owner = xstrdup(new->owner ? new->owner : "");
	volume->options = object_or_empty(new->options);
	volume->labels = object_or_empty(new->labels);
	volume->created = time_now();
	volume->anonymous = new->anonymous;
	int rc = insert(v, volume, new->container, e);
	if (rc < 0) {
		volume_free(volume);
		return rc;
	}
	if (new->container)
		add_hold(volume, new->container);
	put(v, volume);
	*out = volume;
	return 0;
}

int volume_drop(struct volumes *v, struct volume *volume, struct err *e)
{
	int rc = store_begin(v->store, e);

	if (rc == 0)
		rc = store_exec(v->store, e, "DELETE FROM hold WHERE volume=?", "t", volume->name);
	if (rc == 0)
		rc = store_exec(v->store, e, "DELETE FROM volume WHERE name=?", "t", volume->name);
	if (rc == 0)
		rc = store_commit(v->store, e);
	if (rc < 0) {
		store_rollback(v->store);
		return rc;
	}
	tdelete(volume, &v->tree, compare);
	volume_free(volume);
	return 0;
}

struct volume_hold *volume_holder(struct volume *volume, const char *container)
{
	for (size_t i = 0; i < volume->nholds; i++)
		if (str_eq(volume->holds[i].container, container))
			return &volume->holds[i];
	return NULL;
}

int volume_hold(struct volumes *v, struct volume *volume, const char *container, struct err *e)
{
	if (volume_holder(volume, container))
		return 0;
	int rc = insert_hold(v, volume->name, container, e);
	if (rc == 0)
		add_hold(volume, container);
	return rc;
}

int volume_let_go(struct volumes *v, struct volume *volume, const char *container, struct err *e)
{
	struct volume_hold *h = volume_holder(volume, container);

	if (!h)
		return 0;
	int rc = store_exec(v->store, e, "DELETE FROM hold WHERE volume=? AND container=?", "tt", volume->name,
			    container);
	if (rc == 0)
		*h = volume->holds[--volume->nholds];
	return rc;
}

size_t volume_users(const struct volume *volume)
{
	size_t n = 0;

	for (size_t i = 0; i < volume->nholds; i++)
		n += volume->holds[i].in_use;
	return n;
}

void volume_random_name(char name[65])
{
	unsigned char random[32];

	if (getrandom(random, sizeof random, 0) != sizeof random)
		abort();
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(name + 2 * i, 3, "%02x", random[i]);
}
