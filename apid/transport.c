#include "apid/transport.h"

#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/util.h"

ssize_t transport_read(struct transport *t, void *buf, size_t len)
{
	ssize_t n;

	do
		n = recv(t->fd, buf, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t transport_write(struct transport *t, struct evbuffer *out)
{
	int n;

	do
		n = evbuffer_write(out, t->fd);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

size_t transport_pending(const struct transport *t)
{
	(void)t;
	return 0;
}

void transport_end_writing(struct transport *t)
{
	shutdown(t->fd, SHUT_WR);
}

bool transport_gone(const struct transport *t)
{
	struct pollfd p = {.fd = t->fd, .events = 0};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

void transport_close(struct transport *t)
{
	fd_close(&t->fd);
}
