#include "runtimed/events.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "lib/filters.h"
#include "runtimed/runtimed.h"
#include "lib/times.h"

/* Bytes that wait for a slow follower; beyond, its stream ends (D-23). */
#define BACKLOG_MAX (4u << 20)

struct record {
	char *type, *action, *id, *owner;
	json_t *attributes;
	int64_t time;
	char *text; /* the event as a line of JSON */
	size_t len;
};

struct follower {
	TAILQ_ENTRY(follower) link;
	struct events *all;
	struct ipc_request *req;
	struct filters filters;
	int64_t until; /* 0: for ever */
	struct event *end;
	bool ending;   /* until has come: what waits is still sent */
	char *waiting; /* what has not found credit yet */
	size_t len, size;
};

struct events {
	struct runtimed *rt;
	struct record kept[EVENTS_KEPT]; /* a ring */
	uint64_t count;			 /* ever */
	TAILQ_HEAD(, follower) followers;
};

struct events *events_new(struct runtimed *rt)
{
	struct events *all = XNEW(struct events);

	all->rt = rt;
	TAILQ_INIT(&all->followers);
	return all;
}

static void record_clean(struct record *r)
{
	free(r->type);
	free(r->action);
	free(r->id);
	free(r->owner);
	free(r->text);
	json_decref(r->attributes);
	*r = (struct record){0};
}

/* ---- followers ---- */

static void follower_end(struct follower *f)
{
	TAILQ_REMOVE(&f->all->followers, f, link);
	ipc_request_on_credit(f->req, NULL, NULL);
	ipc_request_on_cancel(f->req, NULL, NULL);
	ipc_reply_done(f->req);
	if (f->end)
		event_free(f->end);
	filters_clean(&f->filters);
	free(f->waiting);
	free(f);
}

static void follower_pump(struct follower *f)
{
	size_t done = 0;

	while (done < f->len) {
		size_t credit = ipc_request_credit(f->req), part = f->len - done < credit ? f->len - done : credit;
		if (part == 0 || ipc_chunk(f->req, f->waiting + done, part) < 0)
			break;
		done += part;
	}
	memmove(f->waiting, f->waiting + done, f->len - done);
	f->len -= done;
}

/* false: it is too slow and has been ended. */
static bool follower_send(struct follower *f, const char *text, size_t len)
{
	if (f->len + len > BACKLOG_MAX) {
		follower_end(f);
		return false;
	}
	if (f->len + len > f->size) {
		f->size = (f->len + len) * 2;
		f->waiting = xrealloc(f->waiting, f->size, 1);
	}
	memcpy(f->waiting + f->len, text, len);
	f->len += len;
	follower_pump(f);
	return true;
}

static void on_follower_credit(struct ipc_request *req, void *arg)
{
	struct follower *f = arg;

	(void)req;
	follower_pump(f);
	if (f->ending && f->len == 0)
		follower_end(f);
}

static void on_follower_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	follower_end(arg);
}

static void on_follower_until(evutil_socket_t fd, short what, void *arg)
{
	struct follower *f = arg;

	(void)fd;
	(void)what;
	f->ending = true;
	if (f->len == 0)
		follower_end(f);
}

/* "exec_create: sh -c x" is found by "exec_create" too, as health_status: healthy by health_status. */
static bool match_action(const char *wanted, void *arg)
{
	const char *action = arg;
	size_t len = strlen(wanted);

	return strncmp(action, wanted, len) == 0 && (action[len] == '\0' || action[len] == ':');
}

static bool match_object(const char *wanted, void *arg)
{
	const struct record *r = arg;
	const char *name = json_text(r->attributes, "name");

	return str_eq(wanted, r->id) || str_eq(wanted, name) || (strlen(wanted) >= 4 && str_starts(r->id, wanted));
}

/* An image by any way of writing it: with its tag or without. */
static bool match_image(const char *wanted, void *arg)
{
	const struct record *r = arg;
	const char *names[] = {r->id, json_text(r->attributes, "name"), json_text(r->attributes, "image")};
	size_t len = strlen(wanted);

	for (size_t i = str_eq(r->type, "image") ? 0 : 2; i < ARRAY_LEN(names); i++)
		if (names[i] && strncmp(names[i], wanted, len) == 0 && (names[i][len] == '\0' || names[i][len] == ':'))
			return true;
	return false;
}

static bool matches(const struct follower *f, const struct record *r)
{
	static const char *const objects[] = {"container", "volume", "network", "plugin", "daemon"};
	const struct filters *w = &f->filters;
	void *record = (void *)(uintptr_t)r;

	if (f->ending || !guard_sees(f->req, r->owner) || !filters_exact(w, "type", r->type) ||
	    !filters_exact(w, "scope", "local") || !filters_any(w, "event", match_action, r->action) ||
	    !filters_labels(w, "label", r->attributes) || !filters_any(w, "image", match_image, record))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		if (filters_has(w, objects[i]) &&
		    (!str_eq(objects[i], r->type) || !filters_any(w, objects[i], match_object, record)))
			return false;
	return !filters_has(w, "service") && !filters_has(w, "node") && !filters_has(w, "secret") &&
	       !filters_has(w, "config");
}

/* ---- new events ---- */

static void render(struct record *r)
{
	/* status, id and from are what clients of API 1.21 and older read; Docker still writes them. */
	json_t *o = json_object();

	if (str_eq(r->type, "container") || str_eq(r->type, "image")) {
		json_object_set_new(o, "status", json_string(r->action));
		json_object_set_new(o, "id", json_string(r->id));
	}
	if (str_eq(r->type, "container") && json_object_get(r->attributes, "image"))
		json_object_set(o, "from", json_object_get(r->attributes, "image"));
	json_object_set_new(o, "Type", json_string(r->type));
	json_object_set_new(o, "Action", json_string(r->action));
	json_object_set_new(o, "Actor", json_pack("{s:s s:O}", "ID", r->id, "Attributes", r->attributes));
	json_object_set_new(o, "scope", json_string("local"));
	json_object_set_new(o, "time", json_integer(r->time / NS_PER_SEC));
	json_object_set_new(o, "timeNano", json_integer(r->time));
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	r->len = strlen(text) + 1;
	r->text = xasprintf("%s\n", text);
	free(text);
}

void event_add_any(struct events *all, const char *type, const char *action, const char *id, json_t *take_attributes,
		   const char *owner, int64_t time)
{
	struct record *r = &all->kept[all->count++ % EVENTS_KEPT];
	struct follower *f, *next;

	record_clean(r);
	*r = (struct record){
		.type = xstrdup(type),
		.action = xstrdup(action),
		.id = xstrdup(id),
		.owner = xstrdup(owner ? owner : ""),
		.attributes = take_attributes ? take_attributes : json_object(),
		.time = time ? time : time_now(),
	};
	render(r);
	for (f = TAILQ_FIRST(&all->followers); f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (matches(f, r))
			follower_send(f, r->text, r->len);
	}
}

void event_container(struct container *c, const char *action, const char *const *extra)
{
	json_t *labels = json_object_get(c->config, "Labels");
	json_t *attributes = labels ? json_copy(labels) : json_object();

	json_object_set_new(attributes, "image", json_string(c->image_name));
	json_object_set_new(attributes, "name", json_string(c->name));
	for (; extra && *extra; extra += 2)
		json_object_set_new(attributes, extra[0], json_string(extra[1]));
	event_add_any(c->rt->events, "container", action, c->id, attributes, c->owner, 0);
}

void event_kill(struct container *c, int sig)
{
	char number[12];

	snprintf(number, sizeof number, "%d", sig);
	event_container(c, "kill", (const char *const[]){"signal", number, NULL});
}

void on_event_publish(struct ipc_request *req, struct event_publish *m, struct runtimed *rt)
{
	event_add_any(rt->events, m->type, m->action, m->id, json_incref(m->attributes.json), NULL, (int64_t)m->time);
	ipc_reply_done(req);
}

/* ---- GET /events ---- */

static struct timeval until_end(int64_t until)
{
	int64_t left = until - time_now();

	if (left < 0)
		left = 0;
	return (struct timeval){.tv_sec = left / NS_PER_SEC, .tv_usec = (left % NS_PER_SEC) / 1000};
}

static int read_range(const struct system_events *m, int64_t *since, int64_t *until, struct err *e)
{
	int64_t now = time_now();
	int rc = time_parse(m->since, now, since, e);

	if (rc == 0)
		rc = time_parse(m->until, now, until, e);
	if (rc == 0 && *until && *since > *until)
		rc = err_set(e, -EINVAL, "since is after until");
	return rc;
}

void on_system_events(struct ipc_request *req, struct system_events *m, struct runtimed *rt)
{
	static const char *const known[] = {"config", "container", "daemon", "event",  "image",
					    "label",  "network",   "node",   "plugin", "scope",
					    "secret", "service",   "type",   "volume", NULL};
	struct events *all = rt->events;
	struct follower *f = XNEW(struct follower);
	int64_t since, until;
	struct err e;

	int rc = read_range(m, &since, &until, &e);
	if (rc == 0)
		rc = filters_read(&f->filters, m->filters.json, known, &e);
	if (rc < 0) {
		free(f);
		ipc_reply_error(req, &e);
		return;
	}
	bool replay = since != 0;
	f->all = all;
	f->req = req;
	f->until = until;
	TAILQ_INSERT_TAIL(&all->followers, f, link);
	ipc_chunk(req, NULL, 0);
	for (uint64_t i = all->count > EVENTS_KEPT ? all->count - EVENTS_KEPT : 0; replay && i < all->count; i++) {
		const struct record *r = &all->kept[i % EVENTS_KEPT];
		if (r->time >= since && (!until || r->time <= until) && matches(f, r) &&
		    !follower_send(f, r->text, r->len))
			return;
	}
	ipc_request_on_credit(req, on_follower_credit, f);
	ipc_request_on_cancel(req, on_follower_cancel, f);
	if (until) {
		struct timeval left = until_end(until);
		f->end = evtimer_new(rt->d.base, on_follower_until, f);
		event_add(f->end, &left);
	}
}
