#include "runtimed/run.h"

#include <errno.h>

#include "lib/fault.h"
#include "lib/log.h"
#include "runtimed/attach.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/exec.h"
#include "runtimed/files.h"
#include "runtimed/health.h"
#include "runtimed/networks.h"
#include "runtimed/remove.h"
#include "runtimed/restart.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"
#include "lib/times.h"
#include "runtimed/volumes.h"

const struct err *run_start_error(const struct container *c)
{
	return c->start_error;
}

/* What a run had of others is given back. */
static void let_go(struct container *c)
{
	networks_forget(c);
	if (c->attached_network)
		networks_detach(c);
	if (c->uses_volumes)
		volumes_unuse(c);
	c->attached_network = c->uses_volumes = false;
}

static void start_failed(struct container *c, const struct err *e, int exit_code)
{
	c->starting = false;
	c->run = NULL;
	c->state.ended = c->state.starts;
	if (!c->start_error)
		c->start_error = XNEW(struct err);
	*c->start_error = *e;
	c->state.exit_code = exit_code;
	c->state.restart_due = false;
	container_set_error(c, e->text);
	if (c->state.status == CT_RESTARTING)
		c->state.status = CT_EXITED;
	c->state.pid = 0;
	let_go(c);
	attaches_end(c, e);
	log_warn("container %.12s does not start: %s", c->id, e->text);
	container_changed(c);
}

static void start_settled_badly(struct container *c, const struct err *e, int exit_code)
{
	bool again = c->state.status == CT_RESTARTING;

	container_ref(c);
	start_failed(c, e, exit_code);
	container_notify(c, again ? CE_SETTLED | CE_GIVEN_UP : CE_SETTLED);
	if (json_true_at(c->host, "AutoRemove") && !c->removing)
		remove_later(c);
	container_unref(c);
}

/* ---- what launch tells ---- */

static void go(struct container *c)
{
	struct launch_network_files files = {networks_hosts(c), networks_resolv_conf(c)};

	launch_go(c->run, &files);
}

static void on_network_attached(struct container *c, int rc, const struct err *e, void *arg)
{
	struct launch_run *run = arg;

	if (c->run == run) {
		if (rc == 0) {
			c->attached_network = true;
			FAULT(start_network);
			go(c);
		} else {
			if (!c->start_error)
				c->start_error = XNEW(struct err);
			*c->start_error = *e;
			launch_cancel(run);
		}
	} else if (rc == 0 && !c->starting && !container_alive(c)) {
		networks_detach(c); /* the start was given up meanwhile */
	}
	container_unref(c);
}

static void on_prepared(void *arg, struct launch_run *run, int netns)
{
	struct container *c = arg;

	FAULT(start_prepared);
	attaches_ready(c);
	if (!networks_asks(c)) {
		go(c);
		return;
	}
	networks_attach(container_ref(c), networks_wanted(c) ? netns : -1, on_network_attached, run);
}

static void on_started(void *arg, struct launch_run *run, pid_t pid, int64_t started_at)
{
	struct container *c = arg;
	bool again = !c->starting; /* a reattached one */

	FAULT(start_started);
	attaches_ready(c);
	c->starting = false;
	c->state.restart_due = false;
	c->state.status = launch_paused(run) ? CT_PAUSED : CT_RUNNING;
	c->state.pid = pid;
	if (!again) {
		c->state.started = started_at;
		c->state.exit_code = 0;
		c->state.oom_killed = false;
		container_set_error(c, NULL);
		event_container(c, "start", NULL);
	}
	health_start(c);
	if (again)
		container_changed(c);
	else
		container_settled(c);
	FAULT(start_noted);
	container_notify(c, CE_STARTED | CE_SETTLED);
	FAULT(start_told);
}

static void on_failed(void *arg, struct launch_run *run, const struct err *e, int exit_code)
{
	struct container *c = arg;
	struct err why = *e;

	(void)run;
	/* Given up because of the network: that is what is to be told. */
	if (e->code == -ECANCELED && c->start_error && c->start_error->code)
		why = *c->start_error;
	start_settled_badly(c, &why, exit_code);
}

static void tell_of_exit(struct container *c, const struct launch_exit *x)
{
	char code[16], seconds[24];
	const char *const extra[] = {"exitCode", code, "execDuration", seconds, NULL};

	snprintf(code, sizeof code, "%d", x->code);
	snprintf(seconds, sizeof seconds, "%lld", (long long)((x->finished_at - c->state.started) / NS_PER_SEC));
	if (x->oom)
		event_container(c, "oom", NULL);
	event_container(c, "die", extra);
}

static void on_exited(void *arg, struct launch_run *run, const struct launch_exit *x)
{
	struct container *c = container_ref(arg);

	(void)run;
	FAULT(exit_cleaned);
	c->run = NULL;
	c->starting = false;
	c->state.pid = 0;
	c->state.exit_code = x->code;
	c->state.oom_killed = x->oom;
	c->state.finished = x->finished_at;
	c->state.exits++;
	c->state.ended = c->state.starts;
	c->state.status = CT_EXITED;
	container_set_error(c, x->error);
	health_stop(c);
	execs_container_ended(c);
	let_go(c);
	FAULT(exit_released);
	attaches_end(c, NULL);
	tell_of_exit(c, x);
	bool again = c->restarting_by_request;
	c->state.restart_due = again && restart_wanted(c);
	if (!again && !c->removing)
		restart_plan(c);
	container_settled(c);
	FAULT(exit_noted);
	container_notify(c, CE_EXIT | CE_SETTLED);
	if (!again && !c->removing && c->state.status == CT_EXITED && json_true_at(c->host, "AutoRemove"))
		remove_later(c);
	container_unref(c);
}

static const struct launch_events launch_events = {
	.prepared = on_prepared,
	.started = on_started,
	.failed = on_failed,
	.exited = on_exited,
};

/* ---- starting ---- */

static int launch_it(struct container *c, struct err *e)
{
	struct spec spec;

	int rc = spec_full(c, &spec, e);
	if (rc < 0)
		return rc;
	rc = launch_start(c->rt->launch, &spec.launch, &launch_events, c, &c->run, e);
	spec_clean(&spec);
	return rc;
}

static void on_volumes_ready(struct container *c, int rc, const struct err *why, void *arg)
{
	struct err e = {0};

	(void)arg;
	if (rc < 0)
		e = *why;
	else
		c->uses_volumes = volumes_any(c);
	FAULT(start_volumes);
	if (rc == 0 && !c->starting)
		rc = err_http(&e, 409, "the start was given up");
	if (rc == 0)
		rc = launch_it(c, &e);
	if (rc < 0)
		start_settled_badly(c, &e, 128);
	container_unref(c);
}

static int may_start(const struct container *c, struct err *e)
{
	if (c->removing || c->state.status == CT_REMOVING)
		return err_http(e, 409, "container is marked for removal and cannot be started");
	if (c->state.status == CT_DEAD)
		return err_http(e, 409, "container is dead and cannot be started: remove it");
	if (c->state.status == CT_PAUSED)
		return err_http(e, 409, "cannot start a paused container, try unpause instead");
	if (c->state.status == CT_RUNNING)
		return err_set(e, -EALREADY, "container is already running");
	return 0;
}

/* For who looks at its files, or for what is left of its last run. */
static bool must_wait(const struct container *c)
{
	return launch_viewed(c->rt->launch, c->id) || launch_leaving(c->rt->launch, c->id);
}

int run_start(struct container *c, struct err *e)
{
	int rc = may_start(c, e);

	if (rc < 0 || c->starting)
		return rc;
	restart_cancel_timer(c);
	execs_forget(c);
	c->starting = true;
	c->state.starts++;
	c->state.stopped_by_user = false;
	free(STEAL(c->start_error));
	files_changed(c);
	c->start_waits = must_wait(c);
	if (c->start_waits)
		return 0;
	if (volumes_any(c)) {
		volumes_use(container_ref(c), on_volumes_ready, NULL);
		return 0;
	}
	rc = launch_it(c, e);
	if (rc < 0)
		start_settled_badly(c, e, 128);
	return rc;
}

static void start_goes_on(struct container *c)
{
	if (!c->start_waits || must_wait(c))
		return;
	c->start_waits = false;
	if (c->starting && volumes_any(c))
		volumes_use(container_ref(c), on_volumes_ready, NULL);
	else /* given up meanwhile, or with nothing to wait for */
		on_volumes_ready(container_ref(c), 0, NULL, NULL);
}

void run_view_ended(void *arg, const char *id)
{
	struct runtimed *rt = arg;
	struct container *c = table_get(&rt->containers.by_id, id);

	if (!c)
		return;
	if (volumes_any(c) && !c->uses_volumes)
		volumes_unuse(c);
	start_goes_on(c);
}

void run_left(void *arg, const char *id)
{
	struct runtimed *rt = arg;
	struct container *c = table_get(&rt->containers.by_id, id);

	if (c)
		start_goes_on(c);
}

void run_cancel_start(struct container *c)
{
	if (!c->starting)
		return;
	if (c->run)
		launch_cancel(c->run);
	else
		c->starting = false; /* volumed's answer finds it so */
}

void run_cancel_restart(struct container *c)
{
	restart_cancel_timer(c);
	if (c->state.status != CT_RESTARTING || c->starting)
		return;
	c->state.status = CT_EXITED;
	container_changed(c);
	container_notify(c, CE_GIVEN_UP);
}

/* ---- after a restart of runtimed ---- */

/* Nothing is left of its run: it ended with the host. */
static void lost(struct container *c)
{
	static const struct launch_exit gone = {.code = 255, .error = ""};
	struct launch_exit x = gone;

	x.finished_at = time_now();
	on_exited(c, NULL, &x);
}

static void reattach(struct container *c)
{
	struct spec spec;
	struct err e = {0};

	spec_basic(c, &spec);
	int rc = launch_reattach(c->rt->launch, &spec.launch, &launch_events, c, &c->run, &e);
	spec_clean(&spec);
	if (rc < 0) {
		log_warn("container %.12s is not found again: %s", c->id, e.text);
		lost(c);
		return;
	}
	c->attached_network = networks_asks(c);
	c->uses_volumes = volumes_any(c);
	execs_reattach(c);
}

/* Its program has not run: the restart begins anew, once everybody has been found whom it may join. */
static void on_not_adopted(void *arg, struct launch_run *run, const struct err *e, int exit_code)
{
	struct container *c = arg;

	(void)run;
	(void)exit_code;
	log_warn("container %.12s: its restart was cut and begins anew: %s", c->id, e->text);
	c->run = NULL;
	c->starting = false;
	let_go(c);
	container_notify(c, CE_SETTLED);
	if (c->rt->found)
		restart_resume(c);
	else
		c->resumes = true;
}

/*
 * A restart that nobody has asked for, or whose asker is gone: runtimed has ended in the middle of it. What the shim
 * was told to run may run, or have run: it is not run a second time.
 */
static bool adopt(struct container *c)
{
	static const struct launch_events events = {
		.started = on_started, .failed = on_not_adopted, .exited = on_exited};
	const bool by_policy = c->state.status == CT_RESTARTING && c->state.restart_counted;
	const uint64_t start = launch_last_start(c->rt->launch, c->id);
	struct spec spec;
	struct err e;

	if (start <= c->state.ended || !(by_policy || c->state.restart_due))
		return false;
	spec_basic(c, &spec);
	int rc = launch_adopt(c->rt->launch, &spec.launch, &events, c, &c->run, &e);
	spec_clean(&spec);
	if (rc < 0)
		return false;
	c->state.starts = start;
	c->starting = true;
	c->attached_network = networks_asks(c);
	c->uses_volumes = volumes_any(c);
	return true;
}

static bool is_known(void *arg, const char *id)
{
	struct runtimed *rt = arg;

	return table_get(&rt->containers.by_id, id) != NULL;
}

void run_reattach_all(struct runtimed *rt)
{
	struct container *c, *next;

	for (c = TAILQ_FIRST(&rt->containers.all); c; c = next) {
		next = TAILQ_NEXT(c, link);
		container_ref(c);
		if (c->state.status == CT_REMOVING)
			remove_later(c);
		else if (container_alive(c))
			reattach(c);
		else if (!adopt(c))
			c->resumes = true;
		container_unref(c);
	}
	launch_sweep(rt->launch, is_known, rt);
	launch_find(rt->launch);
}

/* A restart may join a container that has just been found. */
void run_found(void *arg)
{
	struct runtimed *rt = arg;
	struct container *c;

	rt->found = true;
	TAILQ_FOREACH(c, &rt->containers.all, link)
		if (c->resumes)
			restart_resume(c);
	ipc_server_go_on(rt->server);
}
