/*
 * The stream of a client that is no UNIX socket: the owner has one end of a socket pair, and apid carries bytes between
 * the other end and the client, each way as fast as the slower side, and each end of a direction by itself.
 */
#include "apid/pump.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "apid/exchange.h"
#include "lib/util.h"

/* ---- client to owner: what the owner does not take yet waits in c->in ---- */

/* What is to go to the owner: the client's bytes, or what its frames contain. */
static struct evbuffer *source(struct exchange *x)
{
	if (!x->ws)
		return x->conn->in;
	websocket_decode(x->ws, x->conn->in, connection_out(x->conn), CONN_INPUT_MAX);
	return x->ws->plain;
}

static void end_input(struct exchange *x)
{
	if ((x->conn->eof || (x->ws && x->ws->closed)) && !evbuffer_get_length(source(x)))
		shutdown(x->pump.fd, SHUT_WR);
}

static void send_input(struct exchange *x)
{
	struct evbuffer *in;

	while (evbuffer_get_length(in = source(x))) {
		int n = evbuffer_write(in, x->pump.fd);
		if (n < 0 && errno == EAGAIN) {
			event_add(x->pump.writable, NULL);
			return;
		}
		if (n < 0) {
			/* The owner reads no more; what it still says goes on. */
			evbuffer_drain(in, evbuffer_get_length(in));
			break;
		}
	}
	end_input(x);
}

void pump_input(struct exchange *x)
{
	send_input(x);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;

	(void)fd;
	(void)what;
	send_input(x);
	connection_resume(x->conn);
}

/* ---- owner to client ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;
	struct connection *c = x->conn;

	(void)what;
	ssize_t n = recv(fd, x->apid->buffer, sizeof x->apid->buffer, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		event_add(x->pump.readable, NULL);
		return;
	}
	if (n <= 0) {
		if (x->ws && !x->ws->closed)
			websocket_close(connection_out(c), 1000);
		c->close_when_written = true;
		connection_flush(c);
		return;
	}
	if (x->ws)
		websocket_encode(connection_out(c), x->apid->buffer, (size_t)n);
	else
		evbuffer_add(connection_out(c), x->apid->buffer, (size_t)n);
	if (evbuffer_get_length(connection_out(c)) < CONN_OUTPUT_MAX)
		event_add(x->pump.readable, NULL);
	connection_flush(c);
}

void pump_drained(struct exchange *x)
{
	event_add(x->pump.readable, NULL);
}

/* ---- life ---- */

void pump_start(struct exchange *x)
{
	struct connection *c = x->conn;

	c->state = CONN_PUMP;
	x->pump.readable = event_new(x->apid->base, x->pump.fd, EV_READ, on_readable, x);
	x->pump.writable = event_new(x->apid->base, x->pump.fd, EV_WRITE, on_writable, x);
	event_add(x->pump.readable, NULL);
	/* What came early is the first that the pump carries. */
	ipc_call_go(x->call, NULL, 0);
	send_input(x);
	connection_resume(c);
}

void pump_clean(struct exchange *x)
{
	if (x->pump.readable)
		event_free(STEAL(x->pump.readable));
	if (x->pump.writable)
		event_free(STEAL(x->pump.writable));
	fd_close(&x->pump.fd);
}
