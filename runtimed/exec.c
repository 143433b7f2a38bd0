#include "runtimed/exec.h"

#include "lib/log.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/runtimed.h"

struct exec *exec_new(struct container *c, json_t *take_config)
{
	struct exec *x = XNEW(struct exec);

	x->container = c;
	x->config = take_config;
	random_id(x->id);
	return x;
}

void exec_free(struct exec *x)
{
	if (!x)
		return;
	json_decref(x->config);
	free(x);
}

void exec_add(struct runtimed *rt, struct exec *x)
{
	TAILQ_INSERT_TAIL(&x->container->execs, x, link);
	table_put(&rt->execs, x->id, x);
}

static void store(struct exec *x)
{
	struct err e;

	if (!x->hidden && db_exec_put(x, &e) < 0)
		log_error("store exec %.12s: %s", x->id, e.text);
}

static void tell_of_end(struct exec *x)
{
	char code[16];
	const char *const extra[] = {"exitCode", code, "execID", x->id, NULL};

	snprintf(code, sizeof code, "%d", x->exit_code);
	if (!x->hidden)
		event_container(x->container, "exec_die", extra);
}

static void end(struct exec *x, int exit_code, const struct err *failure)
{
	struct container *c = container_ref(x->container);

	x->run = NULL;
	x->status = EXEC_ENDED;
	x->pid = 0;
	x->exit_code = exit_code;
	x->has_exit_code = true;
	store(x);
	tell_of_end(x);
	if (x->ended)
		x->ended(x, failure); /* may free it */
	container_unref(c);
}

static void on_started(void *arg, struct launch_exec *run, pid_t pid)
{
	struct exec *x = arg;

	(void)run;
	x->status = EXEC_RUNNING;
	x->pid = pid;
	store(x);
	if (x->started)
		x->started(x);
}

static void on_failed(void *arg, struct launch_exec *run, const struct err *e, int exit_code)
{
	(void)run;
	end(arg, exit_code, e);
}

static void on_ended(void *arg, struct launch_exec *run, int exit_code)
{
	(void)run;
	end(arg, exit_code, NULL);
}

static const struct launch_exec_events exec_events = {.started = on_started, .failed = on_failed, .ended = on_ended};

int exec_run(struct exec *x, int take_stream, const void *early, size_t len, struct err *e)
{
	struct container *c = x->container;
	const struct launch_exec_spec spec = {
		.id = x->id,
		.exec = x->config,
		.config = c->config,
		.host = c->host,
		.detach = take_stream < 0,
		.rows = x->rows,
		.columns = x->columns,
	};

	if (!c->run) {
		fd_close(&take_stream);
		return err_http(e, 409, "container %s is not running", c->id);
	}
	x->status = EXEC_STARTING;
	int rc = launch_exec(c->run, &spec, take_stream, early, len, &exec_events, x, &x->run, e);
	if (rc < 0) {
		x->status = EXEC_ENDED;
		x->exit_code = 126;
		x->has_exit_code = true;
		store(x);
	}
	return rc;
}

void execs_container_ended(struct container *c)
{
	struct exec *x, *next;

	/* What still runs was killed with the container's cgroup; launch tells of each, or will never. */
	for (x = TAILQ_FIRST(&c->execs); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (!x->run && (x->status == EXEC_RUNNING || x->status == EXEC_STARTING))
			end(x, 137, NULL);
	}
}

void execs_forget(struct container *c)
{
	struct exec *x, *next;

	for (x = TAILQ_FIRST(&c->execs); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->run)
			continue; /* its end is still to come; forgotten by the next */
		TAILQ_REMOVE(&c->execs, x, link);
		table_remove(&c->rt->execs, x->id);
		db_exec_delete(x);
		exec_free(x);
	}
}

void execs_reattach(struct container *c)
{
	struct exec *x, *next;
	struct err e;

	for (x = TAILQ_FIRST(&c->execs); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->status != EXEC_RUNNING && x->status != EXEC_STARTING)
			continue;
		if (launch_exec_reattach(c->run, x->id, &exec_events, x, &x->run, &e) < 0)
			end(x, 137, NULL);
	}
}
