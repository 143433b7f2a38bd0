#include "ipc/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "ipc/channel.h"
#include "ipc/packet.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"

#define BACKOFF_FIRST_MS 10
#define BACKOFF_MAX_MS	 1000
#define SENDS_MAX	 5 /* a request that kills its helper each time is given up */

struct ipc_call {
	TAILQ_ENTRY(ipc_call) next;
	struct ipc_client *client;
	uint64_t id;
	const struct ipc_message *message;
	const struct ipc_call_events *events;
	void *arg;
	struct event *deadline;
	bool repeatable;
	bool sent;
	bool lost;  /* its connection ended, and its end with it */
	bool begun; /* something of the answer has come: not repeatable any more */
	uint64_t began_us;
	unsigned sends;
	/* The packet, as long as it may have to be sent (again); its descriptors are our copies. */
	struct ipc_packet packet;
};

TAILQ_HEAD(calls, ipc_call);

struct ipc_client {
	struct event_base *base;
	struct ipc_client_config config;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct channel *channel;
	bool ready;    /* HELLO has come back */
	bool freed;    /* ipc_client_free() was called; goes when `busy` is 0 */
	unsigned busy; /* callbacks of its connection that have not come back */
	struct event *again;
	unsigned backoff_ms;
	struct calls calls;
	unsigned ncalls;
	uint64_t next_id;
	uint64_t failures;
	struct histogram took;
	void (*on_state)(void *arg, bool connected);
	void *state_arg;
};

/* ---- a call ---- */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void packet_free(struct ipc_packet *p)
{
	packet_close_fds(p->fds, p->nfds);
	free_cleared(p->bytes);
	*p = (struct ipc_packet){0};
}

static void call_free(struct ipc_call *call)
{
	TAILQ_REMOVE(&call->client->calls, call, next);
	call->client->ncalls--;
	if (call->deadline)
		event_free(call->deadline);
	packet_free(&call->packet);
	free(call);
}

static void call_end(struct ipc_call *call, void *reply, const struct err *e)
{
	const struct ipc_call_events *events = call->events;
	void *arg = call->arg;

	call_free(call);
	events->done(arg, reply, e);
}

static void call_fail(struct ipc_call *call, int code, const char *text)
{
	struct err e;

	call->client->failures++;
	err_set(&e, code, "%s", text);
	call_end(call, NULL, &e);
}

static struct ipc_call *call_find(struct ipc_client *c, uint64_t id)
{
	struct ipc_call *call;

	TAILQ_FOREACH(call, &c->calls, next)
		if (call->id == id)
			return call;
	return NULL;
}

static void send_control(struct ipc_call *call, enum ipc_kind kind, uint16_t number, void *msg)
{
	struct ipc_head head = {.message = ipc_message(number), .kind = kind, .id = call->id};

	if (call->sent && call->client->ready)
		channel_send(call->client->channel, &head, msg, NULL);
}

static int call_send(struct ipc_call *call, struct err *e)
{
	int r = channel_send_packet(call->client->channel, &call->packet, e);

	if (r < 0)
		return r;
	call->sent = true;
	call->sends++;
	if (!call->repeatable)
		packet_free(&call->packet);
	return 0;
}

/* ---- the connection ---- */

/* A callback may free the client: what it was called from still looks at it. */
static void leave(struct ipc_client *c)
{
	if (--c->busy == 0 && c->freed)
		free(c);
}

static void try_connect(struct ipc_client *c);

static void connect_later(struct ipc_client *c)
{
	struct timeval after = timeval_ms(c->backoff_ms);

	event_add(c->again, &after);
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_connect(arg);
}

static struct ipc_call *first_lost(struct ipc_client *c)
{
	struct ipc_call *call;

	TAILQ_FOREACH(call, &c->calls, next)
		if (call->lost)
			return call;
	return NULL;
}

/* What was sent and may not be sent twice has an unknown end; the rest waits for the next connection. */
static void sort_out_calls(struct ipc_client *c)
{
	struct ipc_call *call;

	TAILQ_FOREACH(call, &c->calls, next) {
		bool again = call->repeatable && !call->begun && call->sends < SENDS_MAX;
		call->lost = call->sent && !again;
		call->sent = false;
	}
	/* A callback may begin and cancel calls: look from the start each time. */
	while ((call = first_lost(c)))
		call_fail(call, -ECONNRESET, "the service ended before it had answered");
}

static void disconnect(struct ipc_client *c)
{
	bool was_ready = c->ready;

	c->busy++;
	channel_free(STEAL(c->channel));
	c->ready = false;
	if (was_ready && c->on_state)
		c->on_state(c->state_arg, false);
	sort_out_calls(c);
	if (!c->freed)
		connect_later(c);
	leave(c);
}

static void on_closed(void *arg, const struct err *why)
{
	struct ipc_client *c = arg;

	if (why->code != -ECONNRESET)
		log_warn("connection to %s: %s", process_name(c->config.peer), why->text);
	disconnect(c);
}

/* Who cannot be talked to will not be by waiting: as after an upgrade, until the engine is restarted. */
static void fail_all(struct ipc_client *c)
{
	struct ipc_call *call;
	struct err e;

	err_http(&e, 503, "%s is of another version: the engine has been upgraded and waits for its restart",
		 process_name(c->config.peer));
	while ((call = TAILQ_FIRST(&c->calls))) {
		c->failures++;
		call_end(call, NULL, &e);
	}
}

static void on_hello(struct ipc_client *c, const struct hello *hello)
{
	struct ipc_call *call, *tmp;
	struct err e;

	if (hello->schema != ipc_schema_hash() || hello->process != c->config.peer) {
		log_error("%s speaks another version of the messages, or is another process", c->path);
		disconnect(c);
		fail_all(c);
		return;
	}
	c->ready = true;
	c->backoff_ms = BACKOFF_FIRST_MS;
	if (c->on_state)
		c->on_state(c->state_arg, true);
	for (call = TAILQ_FIRST(&c->calls); call && c->ready; call = tmp) {
		tmp = TAILQ_NEXT(call, next);
		if (!call->sent && call_send(call, &e) < 0 && e.code != -EPIPE) {
			call_fail(call, e.code, e.text);
			tmp = TAILQ_FIRST(&c->calls);
		}
	}
}

static void on_failure(struct ipc_call *call, const struct failure *failure)
{
	struct err e;

	err_set(&e, failure->code ? (int)failure->code : -EIO, "%s", failure->text);
	e.status = (int)failure->status;
	call_end(call, NULL, &e);
}

static void on_answer(struct ipc_call *call, const struct ipc_head *head, void *msg)
{
	uint16_t number = head->message->number;

	if (!call->begun)
		histogram_add(&call->client->took, now_us() - call->began_us);
	if (head->kind == K_CHUNK && number == IPC_chunk && call->events->chunk) {
		call->begun = true;
		call->events->chunk(call->arg, msg);
	} else if (head->kind == K_GO && number == IPC_chunk && call->events->hijack) {
		call->begun = true;
		call->events->hijack(call->arg, ((struct chunk *)msg)->content_type);
	} else if (head->kind == K_ERROR && number == IPC_failure) {
		on_failure(call, msg);
	} else if (head->kind == K_END && number == call->message->reply) {
		call_end(call, msg, NULL);
	} else {
		log_error("%s answered %s with %s", process_name(call->client->config.peer), call->message->name,
			  head->message->name);
		call_fail(call, -EBADMSG, "the service answered with a message that is no answer");
	}
}

static void on_message(void *arg, const struct ipc_head *head, void *msg)
{
	struct ipc_client *c = arg;
	struct ipc_call *call = call_find(c, head->id);

	c->busy++;
	if (head->kind == K_HELLO && head->message->number == IPC_hello && !c->ready)
		on_hello(c, msg);
	else if (call && c->ready)
		on_answer(call, head, msg);
	/* else: the answer to a call that was cancelled meanwhile */
	channel_msg_free(head->message, msg);
	leave(c);
}

static const struct channel_events channel_events = {.message = on_message, .closed = on_closed};

static void try_connect(struct ipc_client *c)
{
	struct ipc_head head = {.message = ipc_message(IPC_hello), .kind = K_HELLO};
	struct hello hello = {.schema = ipc_schema_hash(), .process = c->config.self};
	struct err e;
	int fd = packet_connect(c->path, SOCK_NONBLOCK, &e);

	if (fd < 0) {
		log_debug("%s", e.text);
		connect_later(c);
		return;
	}
	c->channel = channel_new(c->base, fd, &channel_events, c);
	if (channel_send(c->channel, &head, &hello, &e) < 0)
		disconnect(c);
}

struct ipc_client *ipc_client_new(struct event_base *base, const struct ipc_client_config *config)
{
	struct ipc_client *c = XNEW(struct ipc_client);

	c->base = base;
	c->config = *config;
	snprintf(c->path, sizeof c->path, "%s", config->path);
	if (c->config.max_calls == 0)
		c->config.max_calls = 1024;
	c->backoff_ms = BACKOFF_FIRST_MS;
	TAILQ_INIT(&c->calls);
	c->again = evtimer_new(base, on_again, c);
	return c;
}

void ipc_client_free(struct ipc_client *c)
{
	struct ipc_call *call;

	if (!c || c->freed)
		return;
	c->freed = true;
	c->busy++;
	channel_free(STEAL(c->channel));
	c->ready = false;
	while ((call = TAILQ_FIRST(&c->calls)))
		call_fail(call, -ECANCELED, "shutting down");
	event_free(c->again);
	leave(c);
}

void ipc_client_connect(struct ipc_client *c)
{
	if (!c->channel && !event_pending(c->again, EV_TIMEOUT, NULL))
		try_connect(c);
}

bool ipc_client_connected(const struct ipc_client *c)
{
	return c->ready;
}

void ipc_client_set_max_calls(struct ipc_client *c, unsigned max_calls)
{
	c->config.max_calls = max_calls;
}

double ipc_client_is_up(const struct ipc_client *c)
{
	return c->ready;
}

double ipc_client_calls(const struct ipc_client *c)
{
	return c->ncalls;
}

double ipc_client_failures(const struct ipc_client *c)
{
	return (double)c->failures;
}

const struct histogram *ipc_client_took(const struct ipc_client *c)
{
	return &c->took;
}

void ipc_client_on_state(struct ipc_client *c, void (*fn)(void *arg, bool connected), void *arg)
{
	c->on_state = fn;
	c->state_arg = arg;
}

/* ---- calling ---- */

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct ipc_call *call = arg;
	struct cancel cancel = {};

	(void)fd;
	(void)what;
	send_control(call, K_CANCEL, IPC_cancel, &cancel);
	call_fail(call, -ETIMEDOUT, "the service did not answer in time");
}

/* Keep the packet: its bytes cut to size, its descriptors as copies of our own. */
static int keep_packet(struct ipc_call *call, struct ipc_packet *p, struct err *e)
{
	call->packet.bytes = xmemdup(p->bytes, p->len);
	call->packet.len = p->len;
	for (size_t i = 0; i < p->nfds; i++) {
		int copy = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 3);
		if (copy < 0)
			return err_sys(e, -errno, "duplicate a descriptor to send");
		call->packet.fds[call->packet.nfds++] = copy;
	}
	return 0;
}

static int call_begin(struct ipc_call *call, void *msg, uint32_t deadline_ms, struct err *e)
{
	unsigned char bytes[IPC_MESSAGE_MAX] UNINITIALIZED;
	struct ipc_packet p = {.bytes = bytes};
	struct ipc_head head = {
		.message = call->message, .kind = K_REQUEST, .id = call->id, .deadline_ms = deadline_ms};
	struct ipc_client *c = call->client;

	int r = channel_encode(&head, msg, &p, e);
	if (r == 0 && (call->repeatable || !c->ready))
		r = keep_packet(call, &p, e);
	if (r == 0 && c->ready) {
		r = channel_send_packet(c->channel, &p, e);
		call->sent = r == 0;
		call->sends = r == 0;
		/* The loss of the connection is noticed by its reader; until then the call counts as not sent. */
		if (r == -EPIPE || r == -ECONNRESET)
			r = call->packet.bytes ? 0 : keep_packet(call, &p, e);
	}
	explicit_bzero(bytes, p.len);
	ipc_packet_clean(&p);
	return r;
}

struct ipc_call *ipc_call(struct ipc_client *c, uint16_t number, void *msg, const struct ipc_call_options *options,
			  const struct ipc_call_events *events, void *arg, struct err *e)
{
	static const struct ipc_call_options none;
	const struct ipc_message *m = ipc_message(number);

	if (!options)
		options = &none;
	if (c->freed) {
		err_set(e, -ECANCELED, "shutting down");
		return NULL;
	}
	if (c->ncalls >= c->config.max_calls) {
		c->failures++;
		err_set(e, -EBUSY, "busy: too many requests to %s are in flight", process_name(c->config.peer));
		return NULL;
	}
	struct ipc_call *call = XNEW(struct ipc_call);
	call->client = c;
	call->id = ++c->next_id;
	call->message = m;
	call->events = events;
	call->arg = arg;
	call->began_us = now_us();
	call->repeatable = options->repeatable || (m->op && m->op->effect != CHANGE && m->op->answer != HIJACK);
	TAILQ_INSERT_TAIL(&c->calls, call, next);
	c->ncalls++;
	if (call_begin(call, msg, options->deadline_ms, e) < 0) {
		call_free(call);
		return NULL;
	}
	if (options->deadline_ms) {
		struct timeval after = timeval_ms(options->deadline_ms);
		call->deadline = evtimer_new(c->base, on_deadline, call);
		event_add(call->deadline, &after);
	}
	ipc_client_connect(c);
	return call;
}

void ipc_call_cancel(struct ipc_call *call)
{
	struct cancel cancel = {};

	if (!call)
		return;
	send_control(call, K_CANCEL, IPC_cancel, &cancel);
	call_free(call);
}

void ipc_call_credit(struct ipc_call *call, uint32_t bytes)
{
	struct credit credit = {.bytes = bytes};

	send_control(call, K_CREDIT, IPC_credit, &credit);
}

void ipc_call_go(struct ipc_call *call, const void *early, size_t len)
{
	struct go go = {.early = {.data = len ? early : NULL, .len = len}};

	send_control(call, K_GO, IPC_go, &go);
}
