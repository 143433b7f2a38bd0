#include "runtimed/attach.h"

#include <errno.h>
#include <poll.h>

#include "lib/log.h"
#include "runtimed/events.h"
#include "runtimed/logs.h"
#include "runtimed/runtimed.h"

/* Clients that wait for starts, of all containers together: each has a descriptor of ours. */
#define WAITING_MAX 4096

struct attach {
	TAILQ_ENTRY(attach) link; /* while it waits for a start */
	struct container *container;
	struct ipc_request *req; /* until the client has been told 101 */
	struct launch_attach how;
	char *detach_keys;
	int stream;
	char *early;
	size_t early_len;
	struct event *gone; /* the client closes its connection while it waits */
	bool waiting;
};

const char *stream_type(bool tty)
{
	return tty ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream";
}

static void attach_free(struct attach *a)
{
	if (a->waiting) {
		TAILQ_REMOVE(&a->container->attaches, a, link);
		a->container->rt->waiting_attaches--;
	}
	if (a->gone)
		event_free(a->gone);
	fd_close(&a->stream);
	container_unref(a->container);
	free(a->detach_keys);
	free(a->early);
	free(a);
}

static void hand_over(struct attach *a)
{
	struct err e;

	if (launch_attach(a->container->run, &a->how, STEAL_FD(a->stream), a->early, a->early_len, &e) < 0)
		log_warn("attach to %.12s: %s", a->container->id, e.text);
	attach_free(a);
}

void attaches_ready(struct container *c)
{
	struct attach *a;

	c->streams_ready = true;
	while ((a = TAILQ_FIRST(&c->attaches)))
		hand_over(a);
}

void attaches_end(struct container *c, const struct err *e)
{
	struct attach *a;

	c->streams_ready = false;
	(void)e; /* told by the answer to the start, as Docker does */
	while ((a = TAILQ_FIRST(&c->attaches)))
		attach_free(a);
}

/* ---- a client that waits for the start ---- */

static void on_client_closes(evutil_socket_t fd, short what, void *arg)
{
	struct attach *a = arg;
	struct pollfd p = {.fd = fd};

	(void)what;
	/* Half closed only: it has no more input and waits for the output. */
	if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)))
		attach_free(a);
}

static void wait_for_start(struct attach *a)
{
	struct runtimed *rt = a->container->rt;

	if (rt->waiting_attaches >= WAITING_MAX) {
		log_warn("attach to %.12s dropped: %d clients wait for starts", a->container->id, WAITING_MAX);
		attach_free(a);
		return;
	}
	a->waiting = true;
	rt->waiting_attaches++;
	TAILQ_INSERT_TAIL(&a->container->attaches, a, link);
	/* Edge-triggered: each change of the connection once, and none for bytes that lie there. */
	a->gone = event_new(rt->d.base, a->stream, EV_CLOSED | EV_ET | EV_PERSIST, on_client_closes, a);
	event_add(a->gone, NULL);
}

static void go_on(struct attach *a)
{
	struct container *c = a->container;

	if (c->run && c->streams_ready)
		hand_over(a);
	else if (!c->removing && (a->how.stream || c->starting))
		wait_for_start(a);
	else
		attach_free(a);
}

static void on_logged(void *arg, int stream)
{
	struct attach *a = arg;

	a->stream = stream;
	if (stream < 0)
		attach_free(a);
	else
		go_on(a);
}

static void on_go(struct ipc_request *req, const void *early, size_t len, void *arg)
{
	struct attach *a = arg;
	struct container *c = a->container;

	ipc_request_on_cancel(req, NULL, NULL);
	a->req = NULL;
	if (len) {
		a->early = xmemdup(early, len);
		a->early_len = len;
	}
	event_container(c, "attach", NULL);
	if (a->how.logs && !c->run && !c->starting) { /* no shim is there that would read them */
		a->how.logs = false;
		logs_to_client(c, &a->how, STEAL_FD(a->stream), on_logged, a);
	} else {
		go_on(a);
	}
	ipc_reply_done(req);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	ipc_fail(req, 500, "the client has gone");
	attach_free(arg);
}

static int may_attach(const struct container *c, const char *keys, struct err *e)
{
	int rc = keys ? launch_detach_keys_check(keys, e) : 0;

	if (rc < 0)
		return rc;
	if (c->removing)
		return err_http(e, 409, "container %s is marked for removal", c->id);
	if (c->state.status == CT_PAUSED)
		return err_http(e, 409, "container %s is paused, unpause the container before attach", c->id);
	if (c->state.status == CT_RESTARTING && !c->starting)
		return err_http(e, 409, "container %s is restarting, wait until the container is running", c->id);
	return 0;
}

/* Takes `stream`. */
static void attach(struct runtimed *rt, struct ipc_request *req, const char *ref, const struct launch_attach *how,
		   int *stream)
{
	struct container *c = request_container(rt, req, ref);
	struct err e;

	if (!c)
		return;
	if (may_attach(c, how->detach_keys, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	struct attach *a = XNEW(struct attach);
	a->container = container_ref(c);
	a->req = req;
	a->how = *how;
	a->detach_keys = how->detach_keys ? xstrdup(how->detach_keys) : NULL;
	a->how.detach_keys = a->detach_keys;
	a->how.in = how->in && json_true_at(c->config, "OpenStdin");
	a->stream = STEAL_FD(*stream);
	ipc_request_on_cancel(req, on_cancel, a);
	ipc_hijack(req, stream_type(json_true_at(c->config, "Tty")), on_go, a);
}

void on_container_attach(struct ipc_request *req, struct container_attach *m, struct runtimed *rt)
{
	const struct launch_attach how = {.in = m->in,
					  .out = m->out,
					  .err = m->errors,
					  .logs = m->logs,
					  .stream = m->stream,
					  .detach_keys = m->detach_keys};

	attach(rt, req, m->id, &how, &m->client);
}

void on_container_attach_ws(struct ipc_request *req, struct container_attach_ws *m, struct runtimed *rt)
{
	const struct launch_attach how = {.in = m->in,
					  .out = m->out,
					  .err = m->errors,
					  .logs = m->logs,
					  .stream = m->stream,
					  .raw = true, /* a WebSocket's messages are not framed again, as in Docker */
					  .detach_keys = m->detach_keys};

	attach(rt, req, m->id, &how, &m->client);
}
