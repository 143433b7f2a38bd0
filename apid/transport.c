#include "apid/transport.h"

#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/util.h"

#define RECORD 16384 /* of TLS: more at a time only waits longer */

/* What a failed TLS operation means in errno's words. */
static ssize_t tls_result(struct transport *t, int n)
{
	int why = SSL_get_error(t->ssl, n);

	ERR_clear_error();
	t->want_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	t->broken = true;
	return -ECONNRESET;
}

ssize_t transport_read(struct transport *t, void *buf, size_t len)
{
	ssize_t n;

	if (t->ssl) {
		int got = SSL_read(t->ssl, buf, len > INT_MAX ? INT_MAX : (int)len);
		return got > 0 ? got : tls_result(t, got);
	}
	do
		n = recv(t->fd, buf, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t tls_write(struct transport *t, struct evbuffer *out)
{
	size_t len = evbuffer_get_length(out);

	if (len > RECORD)
		len = RECORD;
	int n = SSL_write(t->ssl, evbuffer_pullup(out, (ssize_t)len), (int)len);
	if (n <= 0) {
		ssize_t r = tls_result(t, n);
		return r ? r : -EPIPE;
	}
	evbuffer_drain(out, (size_t)n);
	return n;
}

ssize_t transport_write(struct transport *t, struct evbuffer *out)
{
	struct evbuffer_iovec piece;
	ssize_t n;

	if (t->ssl)
		return tls_write(t, out);
	/* Most answers lie in one piece, and send(2) costs less than writev(2). */
	bool one = evbuffer_peek(out, -1, NULL, &piece, 1) == 1;
	do
		n = one ? send(t->fd, piece.iov_base, piece.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
			: evbuffer_write(out, t->fd);
	while (n < 0 && errno == EINTR);
	if (one && n > 0)
		evbuffer_drain(out, (size_t)n);
	return n < 0 ? -errno : n;
}

size_t transport_send(struct transport *t, const void *data, size_t len)
{
	ssize_t n = t->ssl ? 0 : send(t->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n > 0 ? (size_t)n : 0;
}

size_t transport_pending(const struct transport *t)
{
	return t->ssl ? (size_t)SSL_pending(t->ssl) : 0;
}

void transport_end_writing(struct transport *t)
{
	if (t->ssl && !t->broken && SSL_is_init_finished(t->ssl)) {
		SSL_shutdown(t->ssl); /* close_notify; the client's own is not waited for */
		ERR_clear_error();
	}
	shutdown(t->fd, SHUT_WR);
}

bool transport_gone(const struct transport *t)
{
	struct pollfd p = {.fd = t->fd, .events = 0};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

void transport_close(struct transport *t)
{
	SSL_free(t->ssl);
	t->ssl = NULL;
	fd_close(&t->fd);
}
