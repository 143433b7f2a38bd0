#include "runtimed/files.h"

#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"
#include "runtimed/volumes.h"

/* ---- turns ---- */

struct files_turn {
	struct container *container;
	struct waiter waiter;
	struct event *soon;
	files_ready ready;
	void *arg;
	bool asking; /* volumed has not answered */
	bool ended;
};

static bool is_shown(const struct container *c)
{
	return c->run && container_alive(c) && !c->starting;
}

static void turn_give(struct files_turn *t)
{
	struct container *c = t->container;
	struct launch_root root = {.launch = c->rt->launch, .run = is_shown(c) ? c->run : NULL};
	struct err e = {0};
	struct spec spec;
	int rc = 0;

	if (root.run)
		spec_basic(c, &spec);
	else
		rc = spec_files(c, &spec, &e);
	root.spec = &spec.launch;
	t->ready(t->arg, rc < 0 ? NULL : &root, rc < 0 ? &e : NULL);
	if (rc == 0)
		spec_clean(&spec);
}

static void turn_free(struct files_turn *t)
{
	waiter_cancel(&t->waiter);
	event_free(t->soon);
	container_unref(t->container);
	free(t);
}

static void tell_soon(struct files_turn *t)
{
	const struct timeval now = {0};

	event_add(t->soon, &now);
}

static void on_volumes(struct container *c, int rc, const struct err *e, void *arg)
{
	struct files_turn *t = arg;

	t->asking = false;
	if (t->ended) {
		if (!c->uses_volumes && !c->starting && !launch_viewed(c->rt->launch, c->id))
			volumes_unuse(c);
		turn_free(t);
	} else if (rc < 0) {
		t->ready(t->arg, NULL, e);
	} else if (c->starting) {
		tell_soon(t);
	} else {
		turn_give(t);
	}
}

static void on_settled(struct waiter *w, struct container *c, uint32_t event)
{
	(void)c;
	(void)event;
	tell_soon((struct files_turn *)((char *)w - offsetof(struct files_turn, waiter)));
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct files_turn *t = arg;
	struct container *c = t->container;

	(void)fd;
	(void)what;
	if (c->starting || (is_shown(c) && launch_ended(c->run))) {
		container_wait(c, &t->waiter, CE_SETTLED | CE_EXIT | CE_REMOVED, on_settled);
		return;
	}
	if (is_shown(c)) {
		turn_give(t);
		return;
	}
	t->asking = volumes_any(c);
	if (t->asking)
		volumes_use(c, on_volumes, t);
	else
		turn_give(t);
}

struct files_turn *files_turn(struct container *c, files_ready ready, void *arg)
{
	struct files_turn *t = XNEW(struct files_turn);

	*t = (struct files_turn){.container = container_ref(c), .ready = ready, .arg = arg};
	t->soon = evtimer_new(c->rt->d.base, on_soon, t);
	tell_soon(t);
	return t;
}

void files_turn_end(struct files_turn *t)
{
	if (!t)
		return;
	t->ended = true;
	if (!t->asking)
		turn_free(t);
}

/* ---- sizes ---- */

struct sizing {
	struct container *container;
	files_sized done;
	void *arg;
};

static void on_sized(void *arg, json_t *result, const struct err *e)
{
	struct sizing *s = arg;
	struct container *c = s->container;
	int64_t rw = json_int(result, "SizeRw");

	/* Nobody writes into one that does not run: it is measured once. */
	if (!e && !container_alive(c) && !c->starting)
		c->own_size = rw;
	s->done(c, rw, rw + c->image_size, e, s->arg);
	container_unref(c);
	free(s);
}

void files_size(struct container *c, files_sized done, void *arg)
{
	static const struct launch_files_events events = {.done = on_sized};
	struct launch_files *files;
	struct spec spec;
	struct err e;

	if (c->own_size >= 0) {
		done(c, c->own_size, c->own_size + c->image_size, NULL, arg);
		return;
	}
	struct sizing *s = XNEW(struct sizing);
	*s = (struct sizing){container_ref(c), done, arg};
	spec_basic(c, &spec);
	struct launch_root root = {.launch = c->rt->launch, .spec = &spec.launch};
	int rc = launch_size(&root, &events, s, &files, &e);
	spec_clean(&spec);
	if (rc < 0)
		on_sized(s, NULL, &e);
}

void files_changed(struct container *c)
{
	c->own_size = -1;
}
