/*
 * view: files that no running container shows, mounted for as long as somebody looks at them: by a shim in a mount
 * namespace of its own, which hands over the mounts and ends. They are attached nowhere; what is left of them when the
 * last descriptor closes is nothing.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

struct launch_view {
	LIST_ENTRY(launch_view) link;
	enum view_kind kind;
	struct launch_run *run; /* what the mounting shim is handed; not in the room's list */
	int root;		/* -1 until it is there */
	struct err failure;
	LIST_HEAD(, view_use) uses;
};

struct view_use {
	LIST_ENTRY(view_use) link;
	struct launch_view *view;
	struct event *soon;
	view_ready ready;
	void *arg;
};

static struct launch_view *view_find(const struct launch *l, enum view_kind kind, const char *id)
{
	struct launch_view *v;

	LIST_FOREACH(v, &l->views, link)
		if (v->kind == kind && str_eq(v->run->id, id))
			return v;
	return NULL;
}

bool launch_viewed(const struct launch *l, const char *id)
{
	return view_find(l, VIEW_CONTAINER, id) != NULL;
}

static void view_free(struct launch_view *v)
{
	const struct launch *l = v->run->launch;
	enum view_kind kind = v->kind;
	char id[ID_CHARS + 1];

	memcpy(id, v->run->id, sizeof id);
	LIST_REMOVE(v, link);
	fd_close(&v->root);
	run_free(v->run);
	free(v);
	if (kind == VIEW_CONTAINER && l->c.view_ended && !launch_viewed(l, id))
		l->c.view_ended(l->c.arg, id);
}

void view_drop(struct view_use *u)
{
	struct launch_view *v = u->view;

	LIST_REMOVE(u, link);
	event_free(u->soon);
	free(u);
	if (LIST_EMPTY(&v->uses))
		view_free(v);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct view_use *u = arg;
	struct err e = u->view->failure;

	(void)fd;
	(void)what;
	u->ready(u->arg, u->view->root, e.code ? &e : NULL);
}

/* Who is told may drop its use, and with it the view: each from the loop. */
static void tell(struct view_use *u)
{
	const struct timeval now = {0};

	event_add(u->soon, &now);
}

static void on_shim(void *arg, const struct wire_head *head, char *text, size_t len, int *fds)
{
	struct launch_view *v = arg;
	struct view_use *u;

	(void)len;
	if (v->root >= 0 || v->failure.code)
		return; /* the shim's end, after its answer */
	if (head && head->type == WIRE_STATE)
		v->root = STEAL_FD(fds[0]);
	else
		err_set(&v->failure, head && head->pid ? head->pid : -EIO, "mount the container's files: %s",
			head ? text : "the shim was killed");
	if (head && head->sig)
		v->failure.status = head->sig;
	LIST_FOREACH(u, &v->uses, link)
		tell(u);
}

static int view_mount(struct launch_view *v, const struct launch_spec *spec, struct err *e)
{
	struct shim_settings settings = {0};
	int r = run_prepare_mount(v->run, spec, v->kind, &settings, e);

	if (r == 0)
		r = shim_start(&v->run->shim, spec->id, -1, &settings, e);
	settings_free(&settings);
	return r;
}

static struct launch_view *view_new(struct launch *l, enum view_kind kind, const struct launch_spec *spec)
{
	struct launch_view *v = XNEW(struct launch_view);

	v->kind = kind;
	v->root = -1;
	v->run = run_new(l, spec, NULL, NULL);
	v->run->shim.on = on_shim;
	v->run->shim.arg = v;
	LIST_INIT(&v->uses);
	LIST_INSERT_HEAD(&l->views, v, link);
	return v;
}

int view_take(struct launch *l, enum view_kind kind, const struct launch_spec *spec, view_ready ready, void *arg,
	      struct view_use **out, struct err *e)
{
	struct launch_view *v = view_find(l, kind, spec->id);
	int r = 0;

	if (!v || v->failure.code) {
		v = view_new(l, kind, spec);
		r = view_mount(v, spec, e);
	}
	if (r < 0) {
		view_free(v);
		return r;
	}
	struct view_use *u = XNEW(struct view_use);
	*u = (struct view_use){.view = v, .ready = ready, .arg = arg};
	u->soon = evtimer_new(l->c.base, on_soon, u);
	LIST_INSERT_HEAD(&v->uses, u, link);
	if (v->root >= 0)
		tell(u);
	*out = u;
	return 0;
}
