/* list: GET /containers/json: 1,000 containers in a few milliseconds, from what is in memory (D-24). */
#include <errno.h>
#include <stdio.h>

#include "ipc/ask.h"
#include "lib/filters.h"
#include "runtimed/files.h"
#include "runtimed/health.h"
#include "runtimed/links.h"
#include "runtimed/listfilter.h"
#include "runtimed/mounts.h"
#include "runtimed/names.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"
#include "runtimed/show.h"
#include "lib/times.h"

/* ---- an item ---- */

/* "Up 3 minutes (healthy)": the only part that changes by itself. */
static void status_text(struct container *c, char *out, size_t size)
{
	const struct container_state *s = &c->state;
	int64_t now = time_now();
	char span[TIME_TEXT];
	const char *health = health_status(c);

	switch (s->status) {
	case CT_RUNNING:
		if (str_eq(health, "none"))
			snprintf(out, size, "Up %s", time_human(now - s->started, span));
		else
			snprintf(out, size, "Up %s (%s%s)", time_human(now - s->started, span),
				 str_eq(health, "starting") ? "health: " : "", health);
		break;
	case CT_PAUSED:
		snprintf(out, size, "Up %s (Paused)", time_human(now - s->started, span));
		break;
	case CT_RESTARTING:
		snprintf(out, size, "Restarting (%d) %s ago", s->exit_code, time_human(now - s->finished, span));
		break;
	case CT_EXITED:
		snprintf(out, size, "Exited (%d) %s ago", s->exit_code, time_human(now - s->finished, span));
		break;
	case CT_REMOVING:
		snprintf(out, size, "Removal In Progress");
		break;
	case CT_DEAD:
		snprintf(out, size, "Dead");
		break;
	case CT_CREATED:
		snprintf(out, size, "Created");
		break;
	}
}

/* `docker ps` shows it so: words with quotes where needed. */
static json_t *command_shown(const struct container *c)
{
	const json_t *parts[] = {json_object_get(c->config, "Entrypoint"), json_object_get(c->config, "Cmd")};
	AUTO_FREE char *text = xstrdup("");
	json_t *v;
	size_t i;

	for (size_t p = 0; p < ARRAY_LEN(parts); p++)
		json_array_foreach(parts[p], i, v) {
			const char *word = json_string_value(v);
			bool quote = strpbrk(word, " \t\n") != NULL;
			char *longer = xasprintf(quote ? "%s%s'%s'" : "%s%s%s", text, *text ? " " : "", word);
			free(text);
			text = longer;
		}
	return json_string(text);
}

json_t *item_shown(struct container *c)
{
	json_t *labels = json_object_get(c->config, "Labels");
	json_t *o = json_pack("{s:s s:o s:s s:s s:o s:I s:o s:s s:s s:{s:s} s:o s:o}", "Id", c->id, "Names",
			      links_names(c), "Image", c->image_name, "ImageID", c->image, "Command", command_shown(c),
			      "Created", (json_int_t)(c->created / NS_PER_SEC), "Ports", networks_ports_listed(c),
			      "State", container_status_name(c->state.status), "Driver", "overlay2", "HostConfig",
			      "NetworkMode", json_text(c->host, "NetworkMode"), "NetworkSettings", networks_listed(c),
			      "Mounts", mounts_shown(c));

	json_object_set_new(o, "Labels", labels ? json_incref(labels) : json_object());
	if (c->state.status == CT_EXITED && c->state.stopped_by_user)
		json_object_set_new(o, "PouchStatus", json_string("stopped"));
	return o;
}

/* The item's text up to the words of its status, kept until something changes. */
static const char *listed(struct container *c)
{
	if (!c->listed) {
		json_t *o = item_shown(c);
		char *text = json_dumps(o, JSON_COMPACT);
		json_decref(o);
		size_t len = strlen(text);
		text[len - 1] = '\0'; /* the closing brace */
		c->listed = xasprintf("%s,\"Status\":\"", text);
		free(text);
	}
	return c->listed;
}

/* ---- the answer ---- */

struct text {
	char *data;
	size_t len, size;
};

static void append(struct text *t, const char *data, size_t len)
{
	if (t->len + len > t->size) {
		t->size = (t->len + len) * 2;
		t->data = xrealloc(t->data, t->size, 1);
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
}

static void append_item(struct text *t, struct container *c, int64_t rw, int64_t root)
{
	const char *head = listed(c);
	char tail[128], status[96];
	int n;

	status_text(c, status, sizeof status);
	if (rw < 0)
		n = snprintf(tail, sizeof tail, "%s\"}", status);
	else
		n = snprintf(tail, sizeof tail, "%s\",\"SizeRw\":%lld,\"SizeRootFs\":%lld}", status, (long long)rw,
			     (long long)root);
	bool first = t->data[t->len - 1] == '[';
	append(t, ",", first ? 0 : 1);
	append(t, head, strlen(head));
	append(t, tail, (size_t)n);
}

/* With ?size=1: one container's files after the other. */
struct sized_list {
	struct ipc_request *req;
	struct container **items;
	size_t count, at;
	struct text text;
	bool usage;	    /* an object with the list in it */
	bool sizing, again; /* a size that is known comes from within the call */
};

static void next_size(struct sized_list *l);

static void on_size(struct container *c, int64_t rw, int64_t root, const struct err *e, void *arg)
{
	struct sized_list *l = arg;

	append_item(&l->text, c, e ? 0 : rw, e ? 0 : root);
	l->at++;
	next_size(l);
}

static void next_size(struct sized_list *l)
{
	/* One after the other, not one within the other. */
	l->again = true;
	if (l->sizing)
		return;
	l->sizing = true;
	while (l->again && l->at < l->count) {
		l->again = false;
		files_size(l->items[l->at], on_size, l);
	}
	l->sizing = false;
	if (l->at < l->count)
		return;
	append(&l->text, l->usage ? "]}" : "]", l->usage ? 2 : 1);
	ipc_reply_text(l->req, 200, l->text.data, l->text.len);
	for (size_t i = 0; i < l->count; i++)
		container_unref(l->items[i]);
	free(l->items);
	free(l->text.data);
	free(l);
}

/* images: that `ancestor` means, NULL when that is not asked for. */
static void list_now(struct ipc_request *req, struct runtimed *rt, const json_t *images)
{
	const struct container_list *m = ipc_request_msg(req);
	struct list_filter f;
	struct err e;
	struct container *c;
	int64_t limit = m->limit;

	if (list_filter_read(&f, rt, req, m->filters.json, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	f.images = images;
	bool all = m->all || limit > 0 || f.reaches_stopped;
	struct sized_list *l = XNEW(struct sized_list);
	l->req = req;
	l->items = xcalloc(rt->containers.count + 1, sizeof *l->items);
	launch_find_ended(rt->launch);
	TAILQ_FOREACH_REVERSE(c, &rt->containers.all, containers_queue, link)
	{
		if (limit > 0 && l->count == (size_t)limit)
			break;
		if ((all || container_running(c)) && guard_sees(req, c->owner) && list_filter_match(&f, c))
			l->items[l->count++] = container_ref(c);
	}
	append(&l->text, "[", 1);
	if (!m->size)
		for (; l->at < l->count; l->at++)
			append_item(&l->text, l->items[l->at], -1, -1);
	next_size(l);
}

static void on_images(struct ipc_request *req, void *reply, void *arg)
{
	const struct images_descended *m = reply;

	list_now(req, arg, m->images.json);
}

/* Which images the filter `ancestor` means, imaged knows. */
void on_container_list(struct ipc_request *req, struct container_list *m, struct runtimed *rt)
{
	struct image_descendants ask = {.images.json = json_object_get(m->filters.json, "ancestor")};
	struct err e;

	if (!ask.images.json)
		list_now(req, rt, NULL);
	else if (ipc_ask(req, rt->imaged, IPC_image_descendants, &ask, on_images, rt, &e) < 0)
		ipc_reply_error(req, &e);
}

void on_container_usage(struct ipc_request *req, struct container_usage *m, struct runtimed *rt)
{
	static const char head[] = "{\"Containers\":[";
	struct sized_list *l = XNEW(struct sized_list);
	struct container *c;

	(void)m;
	l->req = req;
	l->usage = true;
	l->items = xcalloc(rt->containers.count + 1, sizeof *l->items);
	TAILQ_FOREACH_REVERSE(c, &rt->containers.all, containers_queue, link)
	if (guard_sees(req, c->owner))
		l->items[l->count++] = container_ref(c);
	append(&l->text, head, strlen(head));
	next_size(l);
}
