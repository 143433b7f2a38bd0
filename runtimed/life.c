/* life: the operations start, stop, restart, kill. */
#include <errno.h>
#include <signal.h>

#include "runtimed/events.h"
#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "runtimed/signals.h"
#include "runtimed/stop.h"

/* A request that waits for one event of one container, and then answers. */
struct answer {
	struct waiter waiter; /* first */
	struct ipc_request *req;
	bool restart;
};

/* ---- start ---- */

static void answer_start(struct ipc_request *req, struct container *c)
{
	const struct err *why = run_start_error(c);

	if (why)
		ipc_reply_error(req, why);
	else
		reply_no_content(req);
}

static void on_settled(struct waiter *w, struct container *c, uint32_t event)
{
	struct answer *a = (struct answer *)w;

	(void)event;
	if (a->restart && !run_start_error(c))
		event_container(c, "restart", NULL);
	answer_start(a->req, c);
	free(a);
}

static void start_and_answer(struct container *c, struct ipc_request *req, bool restart)
{
	struct err e = {0};
	int rc = run_start(c, &e);

	if (rc == -EALREADY) {
		ipc_reply_json(req, 304, NULL);
	} else if (rc < 0) {
		ipc_reply_error(req, &e);
	} else {
		struct answer *a = XNEW(struct answer);
		a->req = req;
		a->restart = restart;
		container_wait(c, &a->waiter, CE_SETTLED | CE_REMOVED, on_settled);
	}
}

void on_container_start(struct ipc_request *req, struct container_start *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	int r = m->detach_keys ? launch_detach_keys_check(m->detach_keys, &e) : 0;
	if (r == 0 && m->checkpoint)
		r = err_http(&e, 400, "checkpoint: checkpoints are not supported");
	if (r < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (!c->starting && !container_alive(c)) {
		c->state.restart_count = 0;
		c->backoff_ms = 0;
	}
	start_and_answer(c, req, false);
}

/* ---- stop ---- */

static void on_stopped(struct container *c, int rc, const struct err *e, void *arg)
{
	(void)c;
	if (rc < 0)
		ipc_reply_error(arg, e);
	else
		reply_no_content(arg);
}

void on_container_stop(struct ipc_request *req, struct container_stop *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	int sig = signal_parse(m->signal, 0, &e);
	if (sig < 0)
		ipc_reply_error(req, &e);
	else if (!container_running(c) && !c->starting)
		ipc_reply_json(req, 304, NULL);
	else
		stop_container(c, sig, m->t, on_stopped, req);
}

/* ---- restart ---- */

static void on_stopped_to_start(struct container *c, int rc, const struct err *e, void *arg)
{
	c->restarting_by_request = false;
	if (rc < 0)
		ipc_reply_error(arg, e);
	else
		start_and_answer(c, arg, true);
}

void on_container_restart(struct ipc_request *req, struct container_restart *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	int sig = signal_parse(m->signal, 0, &e);
	if (sig < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (c->removing) {
		ipc_fail(req, 409, "container %s is marked for removal and cannot be restarted", c->name);
		return;
	}
	c->restarting_by_request = true;
	c->state.restart_count = 0;
	stop_container(c, sig, m->t, on_stopped_to_start, req);
}

/* ---- kill ---- */

static void on_killed(struct waiter *w, struct container *c, uint32_t event)
{
	struct answer *a = (struct answer *)w;

	(void)c;
	(void)event;
	reply_no_content(a->req);
	free(a);
}

static int kill_it(struct container *c, int sig, struct err *e)
{
	if (!container_alive(c) || !c->run)
		return err_http(e, 409, "cannot kill container: %s: container %s is not running", c->name, c->id);
	bool ends = sig == SIGKILL || sig == stop_signal(c);
	if (ends) {
		c->state.stopped_by_user = true;
		container_settled(c);
	}
	int rc = sig == SIGKILL ? launch_kill_all(c->run, e) : launch_signal(c->run, sig, e);
	if (rc < 0)
		return rc == -ESRCH ? err_http(e, 409, "cannot kill container: %s: container %s is not running",
					       c->name, c->id)
				    : rc;
	if (ends)
		launch_wake(c->run);
	event_kill(c, sig);
	return 0;
}

void on_container_kill(struct ipc_request *req, struct container_kill *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	int sig = signal_parse(m->signal, SIGKILL, &e);
	int rc = sig < 0 ? sig : 0;
	if (rc == 0 && c->state.status == CT_RESTARTING && sig == SIGKILL) {
		c->state.stopped_by_user = true;
		run_cancel_restart(c);
		reply_no_content(req);
		return;
	}
	if (rc == 0)
		rc = kill_it(c, sig, &e);
	if (rc < 0) {
		ipc_reply_error(req, &e);
	} else if (sig == SIGKILL) {
		struct answer *a = XNEW(struct answer);
		a->req = req;
		container_wait(c, &a->waiter, CE_EXIT | CE_REMOVED, on_killed);
	} else {
		reply_no_content(req);
	}
}
