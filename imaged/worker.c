#include "imaged/worker.h"

#include <inttypes.h>

struct worker_call {
	struct event_base *base;
	struct ipc_client *client;
	struct ipc_call *call;
	const struct worker_events *events;
	void *arg;
};

struct ended {
	struct ipc_client *client;
	struct event *event;
};

static void free_client(evutil_socket_t fd, short what, void *arg)
{
	struct ended *x = arg;

	(void)fd;
	(void)what;
	ipc_client_free(x->client);
	event_free(x->event);
	free(x);
}

/* A client cannot be freed from within its own callback. */
static void free_later(struct event_base *base, struct ipc_client *client)
{
	struct ended *x = XNEW(struct ended);

	x->client = client;
	x->event = event_new(base, -1, 0, free_client, x);
	event_active(x->event, EV_TIMEOUT, 0);
}

static void on_chunk(void *arg, struct chunk *chunk)
{
	struct worker_call *w = arg;
	uint64_t bytes = chunk->data.data ? strtoull(chunk->data.data, NULL, 10) : 0;

	if (w->events->progress)
		w->events->progress(w->arg, bytes);
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct worker_call w = *(struct worker_call *)arg;

	free_later(w.base, w.client);
	free(arg);
	w.events->done(w.arg, reply, e);
}

static const struct ipc_call_events call_events = {.chunk = on_chunk, .done = on_done};

struct worker_call *worker_call(struct imaged *d, uint16_t number, void *msg, const struct worker_events *events,
				void *arg, struct err *e)
{
	const struct ipc_client_config config = {
		.self = PROC_imaged,
		.peer = MSG_OWNER(number),
		.path = daemon_socket_path(&d->daemon, MSG_OWNER(number)),
		.ids_base = d->daemon.config->ids_base,
	};
	struct worker_call *w = XNEW(struct worker_call);

	*w = (struct worker_call){.base = d->daemon.base, .events = events, .arg = arg};
	w->client = ipc_client_new(d->daemon.base, &config);
	w->call = ipc_call(w->client, number, msg, &(struct ipc_call_options){0}, &call_events, w, e);
	if (w->call)
		return w;
	free_later(w->base, w->client);
	free(w);
	return NULL;
}

void worker_cancel(struct worker_call *w)
{
	if (!w)
		return;
	ipc_call_cancel(w->call);
	free_later(w->base, w->client);
	free(w);
}
