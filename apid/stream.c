/* Pieces of a streamed answer: chunks from the owner, given credit as the client takes them, or a pipe's bytes. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>

#include "apid/exchange.h"
#include "lib/log.h"
#include "lib/util.h"

/* Room in the buffer before what is read, for a chunk's size. */
#define FRAME 16
/* Reads of a pipe before others on the loop have their turn. */
#define TURNS 4

static void write_piece(struct exchange *x, const char *data, size_t len)
{
	struct evbuffer *out = connection_out(x->conn);
	char size[24];

	if (!len)
		return;
	if (x->chunked)
		evbuffer_add(out, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", len));
	evbuffer_add(out, data, len);
	if (x->chunked)
		evbuffer_add(out, "\r\n", 2);
}

static void close_source(struct exchange *x)
{
	if (x->source.readable)
		event_free(STEAL(x->source.readable));
	fd_close(&x->source.fd);
}

void stream_clean(struct exchange *x)
{
	close_source(x);
}

static void finish(struct exchange *x)
{
	if (x->chunked)
		evbuffer_add(connection_out(x->conn), "0\r\n\r\n", 5);
	exchange_answered(x);
}

void stream_end(struct exchange *x)
{
	x->source.ended = true;
	if (x->source.fd < 0)
		finish(x);
}

static void source_ended(struct exchange *x)
{
	close_source(x);
	if (x->source.ended)
		finish(x);
}

/* The bytes at buffer + FRAME, in the frame of a chunk, to the client. */
static void pass(struct exchange *x, size_t len)
{
	char *data = x->apid->buffer + FRAME, size[FRAME];

	if (x->chunked) {
		size_t n = (size_t)snprintf(size, sizeof size, "%zx\r\n", len);
		memcpy(data + len, "\r\n", 2);
		data -= n;
		memcpy(data, size, n);
		len += n + 2;
	}
	connection_send(x->conn, data, len);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;
	struct connection *c = x->conn;

	(void)what;
	for (unsigned turns = 0; turns < TURNS; turns++) {
		ssize_t n = read(fd, x->apid->buffer + FRAME, sizeof x->apid->buffer - FRAME - 2);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			log_error("%s: reading the answer: %s", x->audit_id, strerror(errno));
			exchange_cut(x);
			return;
		}
		if (n == 0) {
			source_ended(x);
			return;
		}
		pass(x, (size_t)n);
		if (c->state == CONN_CLOSED)
			return;
		if (evbuffer_get_length(connection_out(c)) >= CONN_OUTPUT_MAX) {
			event_del(x->source.readable); /* stream_drained() goes on */
			return;
		}
	}
}

static int open_source(struct exchange *x, int take_fd)
{
	AUTO_CLOSE int fd = take_fd;

	if (x->source.fd >= 0 || fd_set_nonblock(fd, NULL) < 0)
		return -EINVAL;
	x->source.fd = STEAL_FD(fd);
	x->source.readable = event_new(x->apid->base, x->source.fd, EV_READ | EV_PERSIST, on_readable, x);
	event_add(x->source.readable, NULL);
	return 0;
}

void stream_chunk(struct exchange *x, struct chunk *chunk)
{
	struct connection *c = x->conn;

	if (!x->status)
		answer_begin_stream(x, chunk->content_type, chunk->headers);
	write_piece(x, chunk->data.data, chunk->data.len);
	x->owed += (uint32_t)chunk->data.len;
	if (chunk->pipe >= 0 && open_source(x, STEAL_FD(chunk->pipe)) < 0) {
		exchange_cut(x);
		return;
	}
	connection_flush(c);
}

void stream_drained(struct exchange *x)
{
	if (x->owed && x->call) {
		ipc_call_credit(x->call, x->owed);
		x->owed = 0;
	}
	if (x->source.readable)
		event_add(x->source.readable, NULL);
}
