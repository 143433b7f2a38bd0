/* To the owner and back: the call, its deadline, and what its answer becomes. */
#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "apid/exchange.h"
#include "apid/pump.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"

#define CONNECT_MS   15000 /* that a service may take to start again */
#define ALIVE_MS_MIN 1000
#define ALIVE_MS_MAX 10000
#define STOP_SECONDS 10 /* Docker's time between SIGTERM and SIGKILL where the request names none */

/* ---- the answer ---- */

/* Failures of the way itself; the owner's own errors carry their status. */
static void answer_failure(struct exchange *x, const struct err *e)
{
	struct err own = *e;
	const char *name = process_name(MSG_OWNER(x->route->message->number));

	if (!own.status && own.code == -ETIMEDOUT)
		err_http(&own, 504, "%s did not answer in time", name);
	else if (!own.status && (own.code == -ECONNRESET || own.code == -EPIPE || own.code == -EBADMSG))
		err_http(&own, 503, "%s ended before it had answered; the request may be repeated", name);
	else if (!own.status && own.code == -EBUSY)
		err_http(&own, 503, "%s", e->text);
	answer_error(x, &own);
}

static void answer_reply(struct exchange *x, const struct api_reply *reply)
{
	answer_text(x, (int)(reply->status ? reply->status : 200), reply->content_type, reply->headers,
		    reply->body.data, reply->body.len);
}

static void no_deadline(struct exchange *x)
{
	if (x->deadline)
		event_free(STEAL(x->deadline));
	ipc_call_cancel(STEAL(x->alive));
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct exchange *x = arg;

	x->call = NULL;
	no_deadline(x);
	struct connection *c = x->conn;
	if (c && c->state == CONN_PUMP)
		return;
	if (!c) {
		exchange_cut(x); /* a hijacked one: nobody is left to be told */
		return;
	}
	if (!x->status && reply)
		answer_reply(x, reply);
	else if (!x->status)
		answer_failure(x, e);
	else if (reply && x->status == 200 && c->state != CONN_HANDOFF)
		stream_end(x);
	else
		exchange_cut(x);
	connection_flush(c);
}

static void on_chunk(void *arg, struct chunk *chunk)
{
	struct exchange *x = arg;

	if (!x->conn)
		return;
	no_deadline(x);
	stream_chunk(x, chunk);
}

static void on_hijack(void *arg, const char *content_type)
{
	struct exchange *x = arg;

	no_deadline(x);
	answer_begin_hijack(x, content_type);
	connection_hand_off(x->conn);
}

static const struct ipc_call_events call_events = {.chunk = on_chunk, .hijack = on_hijack, .done = on_done};

/* ---- the deadline ---- */

static uint32_t clamp(uint32_t v, uint32_t min, uint32_t max)
{
	return v < min ? min : v > max ? max : v;
}

/* Time for the answer: the limit, and what the request itself asks to wait (?t= of stop and restart). */
static uint32_t time_for(const struct exchange *x)
{
	const struct ipc_message *m = x->route->message;
	uint32_t ms = x->apid->config->limits_request_timeout;

	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		if (f->where != W_QUERY || f->type != T_I64 || !str_eq(f->wire, "t"))
			continue;
		int64_t t = *(const int64_t *)(const void *)((const char *)x->msg + f->offset);
		ms += (uint32_t)(t < 0 ? STOP_SECONDS : t > 86400 ? 86400 : t) * 1000;
	}
	return ms;
}

static void arm(struct exchange *x)
{
	uint32_t ms = time_for(x);

	x->unconnected = !ipc_client_connected(x->apid->clients[MSG_OWNER(x->route->message->number)]);
	if (x->unconnected && ms > CONNECT_MS)
		ms = CONNECT_MS;
	struct timeval after = timeval_ms(ms);

	event_add(x->deadline, &after);
}

static void give_up(struct exchange *x)
{
	struct connection *c = x->conn;
	enum process_id owner = MSG_OWNER(x->route->message->number);
	struct err e;

	err_set(&e, -ETIMEDOUT, "no answer");
	if (!ipc_client_connected(x->apid->clients[owner]))
		err_http(&e, 503, "%s is not running", process_name(owner));
	ipc_call_cancel(STEAL(x->call));
	no_deadline(x);
	answer_failure(x, &e);
	connection_flush(c);
}

static void on_alive(void *arg, void *reply, const struct err *e)
{
	struct exchange *x = arg;

	x->alive = NULL;
	if (reply || (e->code != -ETIMEDOUT && e->code != -ECONNRESET))
		arm(x);
	else
		give_up(x);
}

static const struct ipc_call_events alive_events = {.done = on_alive};

/* A change may take longer than the limit while its owner works on it; an owner that does not even say so is stuck. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;
	const struct ipc_message *m = x->route->message;
	const struct ipc_call_options options = {
		.deadline_ms = clamp(x->apid->config->limits_request_timeout / 4, ALIVE_MS_MIN, ALIVE_MS_MAX),
		.repeatable = true,
	};
	struct service_status ask = {};

	(void)fd;
	(void)what;
	bool connected = ipc_client_connected(x->apid->clients[MSG_OWNER(m->number)]);
	if (connected && x->unconnected) {
		arm(x);
		return;
	}
	if (!connected) {
		give_up(x);
		return;
	}
	if (m->op->effect == CHANGE || m->op->answer != REPLY)
		x->alive = ipc_call(x->apid->clients[MSG_OWNER(m->number)], IPC_service_status, &ask, &options,
				    &alive_events, x, NULL);
	if (!x->alive)
		give_up(x);
}

/* ---- the call ---- */

/* What the owner gets beside the fields of the request: a pipe for the body, the client's stream. */
static int attach_descriptors(struct exchange *x, int *mine, struct err *e)
{
	const struct ipc_message *m = x->route->message;
	const struct ipc_field *stream = fill_row(m, W_STREAM), *upload = fill_row(m, W_UPLOAD);
	char *base = x->msg;

	if (upload && x->sink == SINK_UPLOAD) {
		int r = upload_open(x, mine, e);
		*(int *)(void *)(base + upload->offset) = *mine;
		return r;
	}
	if (!stream)
		return 0;
	if (x->conn->local && !x->ws) {
		*(int *)(void *)(base + stream->offset) = x->conn->transport.fd;
		return 0;
	}
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, -errno, "socket pair for the client's stream");
	x->pump.fd = pair[0];
	*(int *)(void *)(base + stream->offset) = *mine = pair[1];
	return 0;
}

/* Credentials of headers are the owner's from now on; an answer may take hours. */
static void forget_headers(struct exchange *x)
{
	const struct ipc_message *m = x->route->message;

	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		char **text = (void *)((char *)x->msg + f->offset);
		if (f->where == W_HEADER && f->type == T_STR && *text)
			explicit_bzero(*text, strlen(*text));
	}
}

void forward(struct exchange *x)
{
	const struct ipc_message *m = x->route->message;
	enum process_id owner = MSG_OWNER(m->number);
	AUTO_CLOSE int mine = -1;
	struct err e = {0};

	if (owner == PROC_apid) {
		system_answer(x);
		return;
	}
	if (!x->apid->clients[owner]) {
		err_http(&e, 501, "not implemented: %s", m->name);
		answer_error(x, &e);
		return;
	}
	int r = attach_descriptors(x, &mine, &e);
	if (r == 0) {
		x->call = ipc_call(x->apid->clients[owner], m->number, x->msg, NULL, &call_events, x, &e);
		r = x->call ? 0 : e.code;
		forget_headers(x);
	}
	if (r < 0) {
		upload_clean(x);
		answer_failure(x, &e);
		return;
	}
	x->deadline = evtimer_new(x->apid->base, on_deadline, x);
	arm(x);
}

void forward_cancel(struct exchange *x)
{
	ipc_call_cancel(STEAL(x->call));
	no_deadline(x);
}

void exchange_handoff(struct exchange *x)
{
	struct connection *c = x->conn;
	size_t early = evbuffer_get_length(c->in);

	if (x->pump.fd >= 0) {
		pump_start(x);
		return;
	}
	ipc_call_go(x->call, early ? evbuffer_pullup(c->in, -1) : NULL, early);
	x->conn = NULL;
	connection_release(c);
}
