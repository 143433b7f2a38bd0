/* client: who is attached: output as frames or raw, back-pressure, detach keys. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

struct client *client_new(int take_fd, const struct wire_head *how, const char *keys, bool tty)
{
	struct client *c = XNEW(struct client);

	c->fd = take_fd;
	c->flags = how->flags;
	c->reading = how->flags & WIRE_IN;
	c->framed = !tty && !(how->flags & WIRE_RAW);
	c->nkeys = how->nkeys < sizeof c->keys ? how->nkeys : 0;
	memcpy(c->keys, keys, c->nkeys);
	return c;
}

void client_free(struct client *c)
{
	/* The socket is shared with apid, which may hold it a little longer: the client sees the end now. */
	shutdown(c->fd, SHUT_RDWR);
	close(c->fd);
	if (c->log)
		gzclose(c->log);
	free(c->waiting);
	free(c->early);
	free(c->line);
	free(c);
}

static void keep(struct client *c, const char *data, size_t len)
{
	if (c->from) {
		memmove(c->waiting, c->waiting + c->from, c->to - c->from);
		c->to -= c->from;
		c->from = 0;
	}
	if (c->to + len > c->capacity) {
		c->capacity = c->to + len;
		c->waiting = xrealloc(c->waiting, c->capacity, 1);
	}
	memcpy(c->waiting + c->to, data, len);
	c->to += len;
}

/* What the kernel takes of `n` bytes; 0 when it is full, and when the client has gone: the next flush sees it. */
static size_t push(struct client *c, const char *data, size_t len)
{
	ssize_t n;

	do
		n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? 0 : (size_t)n;
}

static void put(struct client *c, const char *data, size_t len)
{
	size_t taken = client_pending(c) ? 0 : push(c, data, len);

	if (taken < len)
		keep(c, data + taken, len - taken);
}

void client_output(struct client *c, enum stream stream, const char *data, size_t len)
{
	if ((c->flags & WIRE_STREAM) && !c->log && !c->log_due)
		client_send(c, stream, data, len);
}

void client_send(struct client *c, enum stream stream, const char *data, size_t len)
{
	if (!(c->flags & (stream == STREAM_OUT ? WIRE_OUT : WIRE_ERR)))
		return;
	if (c->framed) {
		char head[8] = {(char)(stream + 1), 0,	      0, 0, (char)(len >> 24), (char)(len >> 16),
				(char)(len >> 8),   (char)len};
		/* One packet where possible: head and text in one send. */
		if (!client_pending(c) && len <= 4088) {
			char both[4096];
			memcpy(both, head, 8);
			memcpy(both + 8, data, len);
			put(c, both, len + 8);
			return;
		}
		put(c, head, 8);
	}
	put(c, data, len);
}

bool client_flush(struct client *c)
{
	while (client_pending(c)) {
		ssize_t n = send(c->fd, c->waiting + c->from, c->to - c->from, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->from += (size_t)n;
	}
	free(STEAL(c->waiting));
	c->from = c->to = c->capacity = 0;
	return true;
}

ssize_t client_typed(struct client *c, const char *in, size_t n, char *out)
{
	size_t len = 0;

	if (c->nkeys == 0) {
		memcpy(out, in, n);
		return (ssize_t)n;
	}
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)in[i] == c->keys[c->matched]) {
			if (++c->matched == c->nkeys)
				return -1;
			continue;
		}
		/* What looked like the beginning of the keys was typed all the same. */
		memcpy(out + len, c->keys, c->matched);
		len += c->matched;
		c->matched = (unsigned char)in[i] == c->keys[0];
		if (!c->matched)
			out[len++] = in[i];
	}
	return (ssize_t)len;
}
