/* execops: the operations on execs: create, start, resize, inspect. */
#include <errno.h>

#include "runtimed/attach.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/exec.h"
#include "runtimed/merge.h"
#include "runtimed/runtimed.h"
#include "runtimed/show.h"

/* Execs that are kept of one container; the oldest ended ones go. */
#define KEPT_MAX 1000

static struct exec *request_exec(struct runtimed *rt, struct ipc_request *req, const char *id)
{
	struct exec *x = table_get(&rt->execs, id);

	if (x && guard_sees(req, x->container->owner)) {
		ipc_request_object(req, "container", x->container->id);
		ipc_request_object(req, "exec", x->id);
		return x;
	}
	ipc_fail(req, 404, "No such exec instance: %s", id);
	return NULL;
}

/* "exec_create: sh -c date": Docker's name of the event. */
static void tell(struct exec *x, const char *action)
{
	const char *const extra[] = {"execID", x->id, NULL};
	AUTO_FREE char *text = xasprintf("%s:", action);
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(x->config, "Cmd"), i, v) {
		char *longer = xasprintf("%s %s", text, json_string_value(v));
		free(text);
		text = longer;
	}
	event_container(x->container, text, extra);
}

/* ---- create ---- */

static int may_exec(const struct container *c, struct err *e)
{
	if (c->state.status == CT_PAUSED)
		return err_http(e, 409, "container %s is paused, unpause the container before exec", c->name);
	if (c->state.status == CT_RESTARTING)
		return err_http(e, 409, "container %s is restarting, wait until the container is running", c->id);
	if (!container_alive(c) || !c->run)
		return err_http(e, 409, "container %s is not running", c->id);
	return 0;
}

static int check(struct container *c, struct ipc_request *req, const json_t *body, struct err *e)
{
	const char *keys = json_text(body, "DetachKeys"), *dir = json_text(body, "WorkingDir");
	int rc = may_exec(c, e);

	if (rc == 0 && json_array_size(json_object_get(body, "Cmd")) == 0)
		rc = err_http(e, 400, "No exec command specified");
	if (rc == 0)
		rc = environment_check(json_object_get(body, "Env"), e);
	if (rc == 0 && keys)
		rc = launch_detach_keys_check(keys, e);
	if (rc == 0 && dir && *dir && *dir != '/')
		rc = err_http(e, 400, "the working directory '%s' is invalid, it needs to be an absolute path", dir);
	if (rc == 0)
		rc = guard_admit(req, POLICY_EXEC, body, &(struct policy_facts){0}, e);
	return rc;
}

static void forget_oldest(struct container *c)
{
	struct exec *x, *next;
	size_t count = 0;

	/* Ended, or never begun: their clients have gone. */
	TAILQ_FOREACH(x, &c->execs, link)
		count++;
	for (x = TAILQ_FIRST(&c->execs); x && count > KEPT_MAX; x = next) {
		next = TAILQ_NEXT(x, link);
		if ((x->status != EXEC_ENDED && x->status != EXEC_CREATED) || x->hidden)
			continue;
		TAILQ_REMOVE(&c->execs, x, link);
		table_remove(&c->rt->execs, x->id);
		db_exec_delete(x);
		exec_free(x);
		count--;
	}
}

void on_exec_create(struct ipc_request *req, struct exec_create *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	if (check(c, req, m->body.json, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	launch_exec_expect(c->run);
	struct exec *x = exec_new(c, json_incref(m->body.json));
	if (db_exec_put(x, &e) < 0) {
		exec_free(x);
		ipc_reply_error(req, &e);
		return;
	}
	exec_add(rt, x);
	forget_oldest(c);
	ipc_request_object(req, "exec", x->id);
	tell(x, "exec_create");
	ipc_reply_json(req, 201, json_pack("{s:s}", "Id", x->id));
}

/* ---- start ---- */

static void console_size(struct exec *x, const json_t *from)
{
	const json_t *size = json_object_get(from, "ConsoleSize");

	if (json_array_size(size) != 2)
		return;
	x->rows = (unsigned)json_integer_value(json_array_get(size, 0));
	x->columns = (unsigned)json_integer_value(json_array_get(size, 1));
}

struct exec_client {
	char id[ID_LEN + 1]; /* by name: the exec may go while the client is told */
	struct runtimed *rt;
	int stream;
};

static void on_go(struct ipc_request *req, const void *early, size_t len, void *arg)
{
	struct exec_client *client = arg;
	struct exec *x = table_get(&client->rt->execs, client->id);
	struct err e;

	ipc_request_on_cancel(req, NULL, NULL);
	/* What fails from here on is told in the stream by launch, and by the exit code. */
	if (x && x->status == EXEC_STARTING) {
		tell(x, "exec_start");
		(void)exec_run(x, STEAL_FD(client->stream), early, len, &e);
	}
	fd_close(&client->stream);
	free(client);
	ipc_reply_done(req);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct exec_client *client = arg;
	struct exec *x = table_get(&client->rt->execs, client->id);

	if (x && x->status == EXEC_STARTING && !x->run)
		x->status = EXEC_CREATED;
	fd_close(&client->stream);
	free(client);
	ipc_fail(req, 500, "the client has gone");
}

static void start_attached(struct exec *x, struct ipc_request *req, struct exec_start *m)
{
	struct exec_client *client = XNEW(struct exec_client);

	memcpy(client->id, x->id, sizeof client->id);
	client->rt = x->container->rt;
	client->stream = STEAL_FD(m->client);
	x->status = EXEC_STARTING;
	ipc_request_on_cancel(req, on_cancel, client);
	ipc_hijack(req, stream_type(json_true_at(x->config, "Tty")), on_go, client);
}

static void on_detached_started(struct exec *x)
{
	struct ipc_request *req = x->arg;

	x->started = NULL;
	x->ended = NULL;
	ipc_reply_json(req, 200, NULL);
}

static void on_detached_failed(struct exec *x, const struct err *failure)
{
	struct ipc_request *req = x->arg;

	x->started = NULL;
	x->ended = NULL;
	if (failure)
		ipc_reply_error(req, failure);
	else
		ipc_reply_json(req, 200, NULL);
}

static void start_detached(struct exec *x, struct ipc_request *req)
{
	struct err e;

	x->started = on_detached_started;
	x->ended = on_detached_failed;
	x->arg = req;
	tell(x, "exec_start");
	if (exec_run(x, -1, NULL, 0, &e) < 0) {
		x->started = NULL;
		x->ended = NULL;
		ipc_reply_error(req, &e);
	}
}

void on_exec_start(struct ipc_request *req, struct exec_start *m, struct runtimed *rt)
{
	struct exec *x = request_exec(rt, req, m->id);
	struct err e;

	if (!x)
		return;
	if (may_exec(x->container, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (x->status != EXEC_CREATED) {
		ipc_fail(req, 409,
			 x->status == EXEC_ENDED ? "exec command %s has already run"
						 : "exec command %s is already running",
			 x->id);
		return;
	}
	console_size(x, x->config);
	console_size(x, m->body.json);
	if (json_true_at(m->body.json, "Detach"))
		start_detached(x, req);
	else
		start_attached(x, req, m);
}

/* ---- resize, inspect ---- */

void on_exec_resize(struct ipc_request *req, struct exec_resize *m, struct runtimed *rt)
{
	struct exec *x = request_exec(rt, req, m->id);
	struct err e;

	if (!x)
		return;
	x->rows = (unsigned)m->h;
	x->columns = (unsigned)m->w;
	if (!x->run && (x->status == EXEC_STARTING || x->status == EXEC_CREATED))
		ipc_reply_json(req, 200, NULL); /* it starts with that size */
	else if (!x->run)
		ipc_fail(req, 409, "exec command %s is not running", x->id);
	else if (launch_exec_resize(x->run, x->rows, x->columns, &e) < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_json(req, 200, NULL);
}

void on_exec_inspect(struct ipc_request *req, struct exec_inspect *m, struct runtimed *rt)
{
	struct exec *x = request_exec(rt, req, m->id);

	if (!x)
		return;
	json_t *cmd = json_object_get(x->config, "Cmd"), *arguments = json_copy(cmd);
	const char *user = json_text(x->config, "User"), *keys = json_text(x->config, "DetachKeys");
	bool in = json_true_at(x->config, "AttachStdin");
	json_array_remove(arguments, 0);
	json_t *process = json_pack("{s:b s:s s:O s:b s:s}", "tty", json_true_at(x->config, "Tty"), "entrypoint",
				    json_string_value(json_array_get(cmd, 0)), "arguments", arguments, "privileged",
				    json_true_at(x->config, "Privileged"), "user", user ? user : "");
	json_decref(arguments);
	json_t *o = json_pack("{s:s s:b s:o s:o s:b s:b s:b s:b s:s s:s s:i}", "ID", x->id, "Running",
			      x->status == EXEC_RUNNING || (x->status == EXEC_STARTING && x->run), "ExitCode",
			      x->has_exit_code ? json_integer(x->exit_code) : json_null(), "ProcessConfig", process,
			      "OpenStdin", in, "OpenStdout", json_true_at(x->config, "AttachStdout"), "OpenStderr",
			      json_true_at(x->config, "AttachStderr"), "CanRemove", x->status == EXEC_ENDED,
			      "ContainerID", x->container->id, "DetachKeys", keys ? keys : "", "Pid", (int)x->pid);
	ipc_reply_json(req, 200, o);
}
