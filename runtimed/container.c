#include "runtimed/container.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"
#include "runtimed/db.h"
#include "runtimed/health.h"
#include "runtimed/idrange.h"

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

	/* A short id of digits alone would be a valid host name only by luck, and `docker` scripts take it for a number. */
	do
		random_id(c->id);
	while (strspn(c->id, "0123456789") >= 12);
	c->rt = rt;
	c->refs = 1;
	c->range = RANGE_NONE;
	c->owner = xstrdup("");
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
	json_decref(c->host);
	json_decref(c->endpoints);
	json_decref(c->mounts);
	json_decref(c->rootfs);
	json_decref(c->networks);
	json_decref(c->ports);
	free(c->name);
	free(c->image);
	free(c->owner);
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
	db_state(c);
}

void container_wait(struct container *c, struct waiter *w, uint32_t events,
		    void (*fn)(struct waiter *w, struct container *c, uint32_t event))
{
	w->container = c;
	w->events = events;
	w->fn = fn;
	TAILQ_INSERT_TAIL(&c->waiters, w, link);
}

void waiter_cancel(struct waiter *w)
{
	if (w->container)
		TAILQ_REMOVE(&w->container->waiters, w, link);
	w->container = NULL;
}

void container_notify(struct container *c, uint32_t event)
{
	struct waiters due = TAILQ_HEAD_INITIALIZER(due);
	struct waiter *w, *next;

	container_ref(c);
	for (w = TAILQ_FIRST(&c->waiters); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (!(w->events & event))
			continue;
		TAILQ_REMOVE(&c->waiters, w, link);
		TAILQ_INSERT_TAIL(&due, w, link);
	}
	/* One that is cancelled by another's callback is on no list of the container's any more: it is taken off `due` first. */
	while ((w = TAILQ_FIRST(&due))) {
		TAILQ_REMOVE(&due, w, link);
		w->container = NULL;
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
