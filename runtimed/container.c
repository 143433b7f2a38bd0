#include "runtimed/container.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"
#include "runtimed/db.h"
#include "runtimed/health.h"
#include "runtimed/idrange.h"
#include "runtimed/runtimed.h"

static const char *const names[] = {
	[CT_CREATED] = "created",   [CT_RUNNING] = "running", [CT_PAUSED] = "paused", [CT_RESTARTING] = "restarting",
	[CT_REMOVING] = "removing", [CT_EXITED] = "exited",   [CT_DEAD] = "dead",
};

const char *container_status_name(enum container_status s)
{
	return names[s];
}

int container_status_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

void random_id(char out[ID_LEN + 1])
{
	unsigned char bytes[ID_LEN / 2];

	(void)!getrandom(bytes, sizeof bytes, 0);
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

struct container *container_new(struct runtimed *rt)
{
	struct container *c = XNEW(struct container);

	/* A short id of digits alone would be a valid host name only by luck, and `docker` scripts take it for a
	 * number. */
	do
		random_id(c->id);
	while (strspn(c->id, "0123456789") >= 12);
	c->rt = rt;
	c->refs = 1;
	c->range = RANGE_NONE;
	c->own_size = -1;
	c->owner = xstrdup("");
	c->image_name = xstrdup("");
	TAILQ_INIT(&c->waiters);
	TAILQ_INIT(&c->execs);
	TAILQ_INIT(&c->attaches);
	return c;
}

struct container *container_ref(struct container *c)
{
	c->refs++;
	return c;
}

void container_unref(struct container *c)
{
	if (!c || --c->refs)
		return;
	if (c->restart_timer)
		event_free(c->restart_timer);
	health_free(c->health);
	json_decref(c->config);
	json_decref(c->image_labels);
	json_decref(c->host);
	json_decref(c->endpoints);
	json_decref(c->mounts);
	json_decref(c->layers);
	json_decref(c->network);
	free(c->name);
	free(c->image);
	free(c->image_name);
	free(c->hosts);
	free(c->resolv_conf);
	free(c->owner);
	free(c->start_error);
	free(c->state.error);
	free(c->listed);
	free(c);
}

const char *container_short(const struct container *c, char out[13])
{
	memcpy(out, c->id, 12);
	out[12] = '\0';
	return out;
}

void container_set_error(struct container *c, const char *text)
{
	free(c->state.error);
	c->state.error = text && *text ? xstrdup(text) : NULL;
}

void container_changed(struct container *c)
{
	free(STEAL(c->listed));
	db_touch(c);
}

void container_settled(struct container *c)
{
	container_changed(c);
	db_flush(c->rt);
}

void container_wait(struct container *c, struct waiter *w, uint32_t events,
		    void (*fn)(struct waiter *w, struct container *c, uint32_t event))
{
	w->container = c;
	w->events = events;
	w->fn = fn;
	w->due = false;
	TAILQ_INSERT_TAIL(&c->waiters, w, link);
}

void waiter_cancel(struct waiter *w)
{
	if (w->container)
		TAILQ_REMOVE(&w->container->waiters, w, link);
	w->container = NULL;
}

/* A callback may cancel other waiters, and add some, which wait for the next event. */
static struct waiter *next_due(struct container *c)
{
	struct waiter *w;

	TAILQ_FOREACH(w, &c->waiters, link)
		if (w->due)
			return w;
	return NULL;
}

void container_notify(struct container *c, uint32_t event)
{
	struct waiter *w;

	container_ref(c);
	TAILQ_FOREACH(w, &c->waiters, link)
		w->due = (w->events & event) != 0;
	while ((w = next_due(c))) {
		waiter_cancel(w);
		w->fn(w, c, event);
	}
	container_unref(c);
}

const char *json_text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

int64_t json_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

bool json_true_at(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}
