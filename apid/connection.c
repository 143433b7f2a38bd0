#include "apid/connection.h"

#include <errno.h>
#include <event2/event.h>

#include "apid/exchange.h"
#include "apid/listener.h"
#include "apid/pump.h"
#include "apid/tls.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"

#define LINGER_MS      2000
#define LINGER_BYTES   (256u << 20) /* a client that is in the midst of an upload reads the answer behind it */
#define HALF_CLOSED_MS 1000	    /* between two looks whether a half-closed client has gone altogether */

/* ---- time ---- */

static void arm(struct connection *c, uint32_t ms)
{
	struct timeval after = timeval_ms(ms);

	event_add(&c->timer, event_base_init_common_timeout(c->apid->base, &after));
}

static void refuse(struct connection *c, int status, const char *text)
{
	struct err e;

	err_http(&e, status, "%s", text);
	exchange_refuse(c, &e);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	switch (c->state) {
	case CONN_HEAD:
		if (evbuffer_get_length(c->in)) {
			refuse(c, 408, "the request's head did not come in time");
			connection_flush(c);
			return;
		}
		break;
	case CONN_BODY:
		exchange_stalled(c->exchange);
		return;
	case CONN_WAIT:
	case CONN_PUMP:
		/* Only armed for a client that has closed its sending side. */
		if (!transport_gone(&c->transport)) {
			arm(c, HALF_CLOSED_MS);
			return;
		}
		break;
	default:
		break;
	}
	connection_close(c);
}

/* ---- life ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

struct connection *connection_new(struct apid *a, const struct listener *l, int take_fd, uint64_t counted)
{
	struct connection *c = XNEW(struct connection);

	c->apid = a;
	c->listener = l;
	c->counted = counted;
	c->transport.fd = take_fd;
	c->local = l->local;
	if (l->tls)
		c->transport.ssl = tls_accept(l->tls, take_fd);
	c->in = evbuffer_new();
	c->out = evbuffer_new();
	event_assign(&c->readable, a->base, take_fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->writable, a->base, take_fd, EV_WRITE, on_writable, c);
	event_assign(&c->timer, a->base, -1, 0, on_timer, c);
	event_add(&c->readable, NULL);
	/* A handshake is part of the first head. */
	arm(c, l->tls ? a->config->limits_head_timeout : a->config->limits_idle_timeout);
	TAILQ_INSERT_TAIL(&a->connections, c, next);
	a->nconnections++;
	return c;
}

/* The stream is closed, or another's; the memory follows when nobody up the stack looks at it any more. */
static void finish(struct connection *c)
{
	c->state = CONN_CLOSED;
	event_del(&c->readable);
	event_del(&c->writable);
	event_del(&c->timer);
	transport_close(&c->transport);
	evbuffer_free(c->in);
	evbuffer_free(c->out);
	c->in = c->out = NULL;
	if (c->caller)
		caller_clean(c->caller);
	free(STEAL(c->caller));
	guard_forget(&c->known);
	free(c->attested);
	c->attested = NULL;
	TAILQ_REMOVE(&c->apid->connections, c, next);
	c->apid->nconnections--;
	listener_uncount(c->apid, c->counted);
	apid_discard(c->apid, &c->garbage, c);
}

void connection_close(struct connection *c)
{
	if (c->state == CONN_CLOSED)
		return;
	if (c->exchange)
		exchange_abandon(STEAL(c->exchange));
	finish(c);
}

void connection_release(struct connection *c)
{
	c->exchange = NULL;
	finish(c);
}

bool connection_idle(const struct connection *c)
{
	return c->state == CONN_HEAD && !evbuffer_get_length(c->in) && !evbuffer_get_length(c->out);
}

/* ---- out ---- */

struct evbuffer *connection_out(struct connection *c)
{
	return c->out;
}

static void linger(struct connection *c)
{
	if (c->eof) {
		connection_close(c);
		return;
	}
	c->state = CONN_LINGER;
	transport_end_writing(&c->transport);
	evbuffer_drain(c->in, evbuffer_get_length(c->in));
	event_add(&c->readable, NULL);
	arm(c, LINGER_MS);
}

static void written(struct connection *c)
{
	if (c->state == CONN_HANDOFF)
		exchange_handoff(c->exchange);
	else if (c->close_when_written)
		linger(c);
	else if (c->exchange)
		exchange_drained(c->exchange);
}

void connection_flush(struct connection *c)
{
	if (c->state == CONN_CLOSED || c->processing || c->state == CONN_LINGER)
		return;
	while (evbuffer_get_length(c->out)) {
		ssize_t n = transport_write(&c->transport, c->out);
		if (n == -EAGAIN) {
			event_add(&c->writable, NULL);
			return;
		}
		if (n < 0) {
			connection_close(c);
			return;
		}
	}
	written(c);
}

void connection_send(struct connection *c, const void *data, size_t len)
{
	size_t sent = 0;

	if (c->state == CONN_CLOSED)
		return;
	if (!c->processing && c->state != CONN_LINGER && !evbuffer_get_length(c->out))
		sent = transport_send(&c->transport, data, len);
	evbuffer_add(c->out, (const char *)data + sent, len - sent);
	connection_flush(c);
}

static void process(struct connection *c, const char *data, size_t len);

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	if (c->transport.want_write)
		on_readable(fd, what, c);
	connection_flush(c);
	process(c, NULL, 0); /* pipelined requests waited for room, or the idle time begins now */
}

/* ---- in ---- */

/* Read on only where the bytes have a place. */
static void choose_reading(struct connection *c)
{
	bool want = !c->eof;

	if (c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_HANDOFF)
		want = false;
	else if (c->state != CONN_LINGER && evbuffer_get_length(c->in) >= CONN_INPUT_MAX)
		want = false;
	else if (c->state == CONN_BODY && evbuffer_get_length(c->in))
		want = false; /* the exchange cannot take more yet */
	if (want)
		event_add(&c->readable, NULL);
	else
		event_del(&c->readable);
}

static void choose_timer(struct connection *c)
{
	const struct config *config = c->apid->config;

	switch (c->state) {
	case CONN_HEAD:
		if (evbuffer_get_length(c->in) == 0) {
			arm(c, config->limits_idle_timeout);
			c->busy_timer = false;
		} else if (!c->busy_timer) {
			arm(c, config->limits_head_timeout);
			c->busy_timer = true;
		}
		break;
	case CONN_BODY:
		/* A body that waits for its owner is not the client's delay. */
		if (evbuffer_get_length(c->in))
			event_del(&c->timer);
		else
			arm(c, config->limits_body_timeout);
		break;
	case CONN_WAIT:
	case CONN_PUMP:
		if (c->eof)
			arm(c, HALF_CLOSED_MS);
		else
			event_del(&c->timer);
		break;
	default:
		break;
	}
}

/* `data` begins where the head does; what the guard has seen of it, it does not see again. Bytes that are used. */
static size_t read_head(struct connection *c, const char *data, size_t len)
{
	size_t used = 0, seen = c->guard.seen;

	if (c->close_when_written)
		return 0;
	switch (head_guard_feed(&c->guard, data + seen, len - seen, c->apid->config->limits_head_bytes, &used)) {
	case GUARD_MORE:
		return 0;
	case GUARD_BAD:
		refuse(c, 400, c->guard.why);
		return 0;
	case GUARD_LARGE:
		refuse(c, 431, "the request's head is too large");
		return 0;
	case GUARD_DONE:
		break;
	}
	c->guard = (struct head_guard){0};
	c->busy_timer = false;
	exchange_new(c, data, seen + used);
	return seen + used;
}

/* One request after the other from these bytes, as far as they go and their answers have a place. Bytes used. */
static size_t read_requests(struct connection *c, const char *data, size_t len)
{
	size_t at = 0, used = 1;

	while (used && at < len && c->state != CONN_CLOSED) {
		/* A pipelining client that does not read its answers is made to wait. */
		if (evbuffer_get_length(c->out) > CONN_OUTPUT_MAX)
			break;
		used = c->state == CONN_HEAD   ? read_head(c, data + at, len - at)
		       : c->state == CONN_BODY ? exchange_body(c->exchange, data + at, len - at)
					       : 0;
		at += used;
	}
	return at;
}

static void take_from_buffer(struct connection *c)
{
	size_t len;

	/* A body is taken piece by piece as it lies there, a head must lie in one. */
	while (c->state != CONN_CLOSED && (len = evbuffer_get_length(c->in))) {
		if (c->state == CONN_BODY)
			len = evbuffer_get_contiguous_space(c->in);
		size_t used = read_requests(c, (const char *)evbuffer_pullup(c->in, (ssize_t)len), len);
		if (!used || c->state == CONN_CLOSED)
			return;
		evbuffer_drain(c->in, used);
	}
}

/* What has just been read, straight from where it was read into; the rest waits in the connection's own buffer. */
static void take_fresh(struct connection *c, const char *data, size_t len)
{
	size_t used = 0;

	if (!evbuffer_get_length(c->in))
		used = read_requests(c, data, len);
	if (c->state != CONN_CLOSED && used < len)
		evbuffer_add(c->in, data + used, len - used);
}

/* `data`: new bytes, NULL without. */
static void process(struct connection *c, const char *data, size_t len)
{
	if (c->processing || c->state == CONN_CLOSED)
		return;
	c->processing = true;
	if (data)
		take_fresh(c, data, len);
	if (c->state == CONN_PUMP)
		pump_input(c->exchange);
	take_from_buffer(c);
	c->processing = false;
	connection_flush(c);
	if (c->state == CONN_CLOSED)
		return;
	if (c->eof && c->state == CONN_HEAD && !evbuffer_get_length(c->out)) {
		connection_close(c);
		return;
	}
	choose_reading(c);
	choose_timer(c);
}

static void take_input(struct connection *c, const char *data, size_t len)
{
	if (c->state == CONN_LINGER) {
		c->lingered += len;
		if (c->lingered > LINGER_BYTES)
			connection_close(c);
		return;
	}
	process(c, data, len);
}

static void client_ended(struct connection *c)
{
	c->eof = true;
	event_del(&c->readable);
	/* In the middle of a request, or with nobody there to read an answer. */
	if (c->state == CONN_LINGER || c->state == CONN_BODY || transport_gone(&c->transport)) {
		connection_close(c);
		return;
	}
	process(c, NULL, 0);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	size_t room = sizeof c->apid->buffer;

	(void)fd;
	(void)what;
	if (c->state == CONN_WAIT)
		room = CONN_INPUT_MAX > evbuffer_get_length(c->in) ? CONN_INPUT_MAX - evbuffer_get_length(c->in) : 1;
	do {
		ssize_t n = transport_read(&c->transport, c->apid->buffer, room);
		c->apid->reads++;
		if (n == -EAGAIN) {
			if (c->transport.want_write)
				event_add(&c->writable, NULL);
			return;
		}
		if (n < 0)
			connection_close(c);
		else if (n == 0)
			client_ended(c);
		else
			take_input(c, c->apid->buffer, (size_t)n);
		if (n > 0)
			explicit_bzero(c->apid->buffer, (size_t)n); /* credentials pass here */
		/* TLS may have decrypted more than it gave: the socket will not tell again. */
	} while (c->state != CONN_CLOSED && event_pending(&c->readable, EV_READ, NULL) &&
		 transport_pending(&c->transport));
}

/* ---- for exchanges ---- */

void connection_next(struct connection *c, bool keep)
{
	c->exchange = NULL;
	if (!keep || c->apid->stopping)
		c->close_when_written = true;
	c->state = CONN_HEAD;
	process(c, NULL, 0);
}

void connection_body_done(struct connection *c)
{
	c->state = CONN_WAIT;
}

void connection_resume(struct connection *c)
{
	process(c, NULL, 0);
}

void connection_hand_off(struct connection *c)
{
	c->state = CONN_HANDOFF;
	event_del(&c->readable);
	connection_flush(c);
}
