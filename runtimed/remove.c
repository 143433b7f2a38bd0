#include "runtimed/remove.h"

#include <errno.h>
#include <signal.h>

#include "lib/fault.h"
#include "lib/log.h"
#include "runtimed/attach.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/exec.h"
#include "runtimed/health.h"
#include "runtimed/idrange.h"
#include "runtimed/names.h"
#include "runtimed/networks.h"
#include "runtimed/restart.h"
#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "runtimed/volumes.h"

/* imaged and volumed are told of what is gone; one that does not answer learns it when it is connected again. */
#define RELEASE_MS 10000

struct removal {
	struct waiter waiter; /* first */
	struct container *container;
	bool volumes;
	unsigned releases; /* answers of others that are still to come */
	remove_done done;
	void *arg;
};

static void finish(struct removal *r, int rc, const struct err *e)
{
	struct container *c = r->container;

	/* Who waits for it to be gone wants to take its volumes next. */
	if (rc == 0)
		container_notify(c, CE_REMOVED);
	r->done(c, rc, e, r->arg);
	waiter_cancel(&r->waiter);
	free(r);
	container_unref(c);
}

static void released(struct removal *r)
{
	if (--r->releases == 0)
		finish(r, 0, NULL);
}

static void on_lease_released(void *arg, void *reply, const struct err *e)
{
	struct removal *r = arg;

	FAULT(remove_released);
	if (!reply)
		log_warn("release the image of %.12s: %s", r->container->id, e->text);
	released(r);
}

static void on_volumes_released(struct container *c, int rc, const struct err *e, void *arg)
{
	if (rc < 0)
		log_warn("release the volumes of %.12s: %s", c->id, e->text);
	released(arg);
}

static void release(struct removal *r)
{
	static const struct ipc_call_events events = {.done = on_lease_released};
	static const struct ipc_call_options options = {.deadline_ms = RELEASE_MS, .repeatable = true};
	struct container *c = r->container;
	struct rootfs_release m = {.container = c->id};
	struct err e;

	r->releases = 1;
	if (volumes_any(c)) {
		r->releases++;
		volumes_release(c, r->volumes, on_volumes_released, r);
	}
	if (!ipc_call(c->rt->imaged, IPC_rootfs_release, &m, &options, &events, r, &e))
		on_lease_released(r, NULL, &e);
}

static void failed(struct removal *r, const struct err *e)
{
	struct container *c = r->container;

	c->removing = false;
	c->state.status = CT_DEAD;
	container_set_error(c, e->text);
	container_changed(c);
	finish(r, e->code, e);
}

static void take_away(struct removal *r)
{
	struct container *c = r->container;
	struct runtimed *rt = c->rt;
	struct err e;

	restart_cancel_timer(c);
	/* Before the first file goes, so that after a crash the removal is finished rather than found half done. */
	int rc = volumes_any(c) ? db_owe(c, r->volumes, &e) : 0;
	if (rc < 0) {
		failed(r, &e);
		return;
	}
	c->state.status = CT_REMOVING;
	container_changed(c);
	db_flush(rt);
	FAULT(remove_marked);
	rc = launch_remove(rt->launch, c->id, &e);
	FAULT(remove_files);
	if (rc == 0)
		rc = db_delete(c, &e);
	FAULT(remove_deleted);
	if (rc < 0) {
		failed(r, &e);
		return;
	}
	execs_forget(c);
	attaches_end(c, NULL);
	containers_remove(&rt->containers, c);
	idrange_drop(rt->ranges, c->range);
	c->range = RANGE_NONE;
	event_container(c, "destroy", NULL);
	container_unref(c); /* the list's; the removal has its own */
	release(r);
}

static void on_ended(struct waiter *w, struct container *c, uint32_t event)
{
	struct removal *r = (struct removal *)w;

	(void)event;
	/* A start that was too far to be given up. */
	if (container_alive(c) && c->run) {
		launch_kill_all(c->run, NULL);
		container_wait(c, w, CE_EXIT, on_ended);
		return;
	}
	take_away(r);
}

static int may_remove(const struct container *c, bool force, struct err *e)
{
	if (c->removing)
		return err_http(e, 409, "removal of container %s is already in progress", c->name);
	if (force)
		return 0;
	if (c->state.status == CT_PAUSED)
		return err_http(e, 409,
				"cannot remove container \"/%s\": container is paused and must be unpaused first",
				c->name);
	if (container_running(c) || c->starting)
		return err_http(
			e, 409,
			"cannot remove container \"/%s\": container is %s: stop the container before removing or "
			"force remove",
			c->name, c->state.status == CT_RESTARTING ? "restarting" : "running");
	return 0;
}

void remove_container(struct container *c, bool force, bool volumes, remove_done done, void *arg)
{
	struct removal *r = XNEW(struct removal);
	struct err e = {0};

	*r = (struct removal){.container = container_ref(c), .volumes = volumes, .done = done, .arg = arg};
	if (may_remove(c, force, &e) < 0) {
		finish(r, e.code, &e);
		return;
	}
	c->removing = true;
	c->state.stopped_by_user = true;
	run_cancel_restart(c);
	if (c->starting) {
		container_wait(c, &r->waiter, CE_SETTLED | CE_EXIT, on_ended);
		run_cancel_start(c);
	} else if (container_alive(c) && c->run) {
		container_wait(c, &r->waiter, CE_EXIT, on_ended);
		if (launch_kill_all(c->run, &e) < 0)
			log_warn("kill container %.12s: %s", c->id, e.text);
		else
			event_kill(c, SIGKILL);
	} else {
		take_away(r);
	}
}

/* ---- AutoRemove ---- */

static void on_auto_removed(struct container *c, int rc, const struct err *e, void *arg)
{
	(void)arg;
	if (rc < 0 && !c->removing)
		log_error("remove container %.12s: %s", c->id, e->text);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct container *c = arg;

	(void)fd;
	(void)what;
	/* One that was cut short goes on as it was asked for; AutoRemove takes anonymous volumes along. */
	bool volumes = c->state.status != CT_REMOVING || db_owes_anonymous(c);
	if (!c->removing && table_get(&c->rt->containers.by_id, c->id))
		remove_container(c, true, volumes, on_auto_removed, NULL);
	container_unref(c);
}

void remove_later(struct container *c)
{
	static const struct timeval now = {0};

	event_base_once(c->rt->d.base, -1, EV_TIMEOUT, on_later, container_ref(c), &now);
}

/* ---- DELETE /containers/{id} ---- */

static void on_removed(struct container *c, int rc, const struct err *e, void *arg)
{
	(void)c;
	if (rc < 0)
		ipc_reply_error(arg, e);
	else
		reply_no_content(arg);
}

void on_container_remove(struct ipc_request *req, struct container_remove *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);

	if (!c)
		return;
	if (m->link) {
		ipc_fail(req, 400, "link: which one? /containers/{id}/{alias}, and %s has no alias", m->id);
		return;
	}
	remove_container(c, m->force, m->v, on_removed, req);
}
