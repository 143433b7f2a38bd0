#include "imaged/worker.h"

#include <inttypes.h>

struct worker_session {
	struct ipc_client *client;
};

struct worker_call {
	struct ipc_client *client; /* of this call alone, NULL within a session */
	struct ipc_call *call;
	const struct worker_events *events;
	void *arg;
};

static void on_chunk(void *arg, struct chunk *chunk)
{
	struct worker_call *w = arg;
	uint64_t bytes = chunk->data.data ? strtoull(chunk->data.data, NULL, 10) : 0;

	/* A worker of one call takes anything that comes for its end. */
	if (!w->client)
		ipc_call_credit(w->call, (uint32_t)chunk->data.len);
	if (w->events->progress)
		w->events->progress(w->arg, bytes);
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct worker_call w = *(struct worker_call *)arg;

	ipc_client_free(w.client);
	free(arg);
	w.events->done(w.arg, reply, e);
}

static const struct ipc_call_events call_events = {.chunk = on_chunk, .done = on_done};

/* By `own`, which it then has, or by the session's client. */
static struct worker_call *call(struct ipc_client *own, struct ipc_client *client, uint16_t number, void *msg,
				const struct worker_events *events, void *arg, struct err *e)
{
	struct worker_call *w = XNEW(struct worker_call);

	*w = (struct worker_call){.client = own, .events = events, .arg = arg};
	w->call = ipc_call(client, number, msg, &(struct ipc_call_options){0}, &call_events, w, e);
	if (w->call)
		return w;
	ipc_client_free(own);
	free(w);
	return NULL;
}

struct worker_call *worker_call(struct imaged *d, uint16_t number, void *msg, const struct worker_events *events,
				void *arg, struct err *e)
{
	struct ipc_client *client = daemon_client(&d->daemon, MSG_OWNER(number), 0);

	return call(client, client, number, msg, events, arg, e);
}

void worker_cancel(struct worker_call *w)
{
	if (!w)
		return;
	ipc_call_cancel(w->call);
	ipc_client_free(w->client);
	free(w);
}

struct worker_session *worker_session_new(struct imaged *d, enum process_id kind)
{
	struct worker_session *s = XNEW(struct worker_session);

	*s = (struct worker_session){.client = daemon_client(&d->daemon, kind, 0)};
	return s;
}

void worker_session_free(struct worker_session *s)
{
	if (!s)
		return;
	ipc_client_free(s->client);
	free(s);
}

struct worker_call *worker_session_call(struct worker_session *s, uint16_t number, void *msg,
					const struct worker_events *events, void *arg, struct err *e)
{
	return call(NULL, s->client, number, msg, events, arg, e);
}
