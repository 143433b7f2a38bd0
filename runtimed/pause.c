/* pause: the operations pause and unpause. A pause is answered when every process is frozen, or when it is given up. */
#include "runtimed/events.h"
#include "runtimed/runtimed.h"

struct pausing {
	struct ipc_request *req;
	struct container *container;
	struct launch_hold *hold; /* not frozen yet */
};

static void pausing_free(struct pausing *p)
{
	p->container->pausing = NULL;
	container_unref(p->container);
	free(p);
}

static void on_frozen(void *arg, const struct err *e)
{
	struct pausing *p = arg;
	struct container *c = p->container;

	if (e) {
		ipc_reply_error(p->req, e);
	} else {
		launch_hold_end(p->hold, true);
		c->state.status = CT_PAUSED;
		container_settled(c);
		event_container(c, "pause", NULL);
		reply_no_content(p->req);
	}
	pausing_free(p);
}

static bool refuse_not_running(struct ipc_request *req, const struct container *c)
{
	if (container_alive(c) && c->run)
		return false;
	ipc_fail(req, 409, "container %s is not running", c->id);
	return true;
}

/* Its client may go meanwhile: the container is paused all the same. */
void on_container_pause(struct ipc_request *req, struct container_pause *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c || refuse_not_running(req, c))
		return;
	if (c->state.status == CT_PAUSED || c->pausing) {
		ipc_fail(req, 409, "container %s is already %s", c->id, c->pausing ? "being paused" : "paused");
		return;
	}
	struct pausing *p = XNEW(struct pausing);
	*p = (struct pausing){.req = req, .container = container_ref(c)};
	c->pausing = p;
	if (launch_hold(c->run, on_frozen, p, &p->hold, &e) < 0) {
		ipc_reply_error(req, &e);
		pausing_free(p);
	}
}

static void give_up(struct pausing *p)
{
	launch_hold_end(p->hold, false);
	ipc_fail(p->req, 409, "container %s was unpaused before it was frozen", p->container->id);
	pausing_free(p);
}

void on_container_unpause(struct ipc_request *req, struct container_unpause *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c || refuse_not_running(req, c))
		return;
	if (c->pausing) {
		give_up(c->pausing);
		reply_no_content(req);
		return;
	}
	if (c->state.status != CT_PAUSED) {
		ipc_fail(req, 409, "container %s is not paused", c->id);
		return;
	}
	if (launch_unpause(c->run, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	c->state.status = CT_RUNNING;
	container_changed(c);
	event_container(c, "unpause", NULL);
	reply_no_content(req);
}
