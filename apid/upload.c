/* A streamed body: through a pipe to the owner. The client is read only as fast as the owner reads. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>

#include "apid/exchange.h"
#include "lib/util.h"

#define PIPE_BYTES (256 << 10)

static void on_writable(evutil_socket_t fd, short what, void *arg);

int upload_open(struct exchange *x, int *reader, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe for the request's body");
	*reader = ends[0];
	x->upload.fd = ends[1];
	/* Fewer switches between the two sides; without it the pipe is only smaller. */
	(void)fcntl(x->upload.fd, F_SETPIPE_SZ, PIPE_BYTES);
	int r = fd_set_nonblock(x->upload.fd, e);
	if (r < 0)
		return r;
	x->upload.writable = event_new(x->apid->base, x->upload.fd, EV_WRITE, on_writable, x);
	x->upload.held = evbuffer_new();
	return 0;
}

bool upload_ready(const struct exchange *x)
{
	return x->sink != SINK_UPLOAD || x->upload.broken || !evbuffer_get_length(x->upload.held);
}

static void close_pipe(struct exchange *x)
{
	if (x->upload.writable)
		event_free(STEAL(x->upload.writable));
	fd_close(&x->upload.fd);
}

void upload_clean(struct exchange *x)
{
	close_pipe(x);
	if (x->upload.held)
		evbuffer_free(STEAL(x->upload.held));
	x->upload.broken = true;
}

/* The owner has stopped reading: it knows enough, or has failed. Its answer says which. */
static void broke(struct exchange *x)
{
	close_pipe(x);
	evbuffer_drain(x->upload.held, evbuffer_get_length(x->upload.held));
	x->upload.broken = true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;
	int n;

	(void)what;
	while (evbuffer_get_length(x->upload.held)) {
		n = evbuffer_write(x->upload.held, fd);
		if (n < 0 && errno == EAGAIN) {
			event_add(x->upload.writable, NULL);
			return;
		}
		if (n < 0) {
			broke(x);
			break;
		}
	}
	if (x->body_done)
		close_pipe(x);
	else
		connection_resume(x->conn);
}

void upload_piece(struct exchange *x, const char *data, size_t len)
{
	if (x->upload.broken)
		return;
	ssize_t n = write(x->upload.fd, data, len);
	if (n < 0 && errno != EAGAIN) {
		broke(x);
		return;
	}
	size_t wrote = n < 0 ? 0 : (size_t)n;
	if (wrote == len)
		return;
	evbuffer_add(x->upload.held, data + wrote, len - wrote);
	event_add(x->upload.writable, NULL);
}

void upload_end(struct exchange *x)
{
	if (!x->upload.broken && !evbuffer_get_length(x->upload.held))
		close_pipe(x);
}
