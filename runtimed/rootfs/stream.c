/* stream: bytes of a request's pipe in large pieces, as long as somebody waits for them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define BUFFER (128u << 10)

static int nobody(struct err *e)
{
	return err_set(e, -ECANCELED, "nobody waits for the answer any more");
}

int task_wanted(const struct task *t, struct err *e)
{
	struct pollfd p = {.fd = t->peer, .events = POLLIN};

	return poll(&p, 1, 0) > 0 ? nobody(e) : 0;
}

int stream_begin(struct stream *s, int fd, const struct task *t, struct err *e)
{
	*s = (struct stream){.fd = fd, .task = t, .buf = xcalloc(1, BUFFER)};
	return fd_set_nonblock(fd, e);
}

void stream_clean(struct stream *s)
{
	free(STEAL(s->buf));
	free(STEAL(s->packed));
	inflate_free(STEAL(s->inflate));
}

/* Until the pipe is ready. */
static int wait_for(const struct stream *s, short events, struct err *e)
{
	struct pollfd p[] = {{.fd = s->fd, .events = events}, {.fd = s->task->peer, .events = POLLIN}};

	while (poll(p, ARRAY_LEN(p), -1) < 0)
		if (errno != EINTR)
			return err_sys(e, -errno, "poll");
	return p[1].revents ? nobody(e) : 0;
}

/* 0 when it may be tried again. */
static int after(const struct stream *s, short events, const char *what, struct err *e)
{
	if (errno == EINTR)
		return 0;
	return errno == EAGAIN ? wait_for(s, events, e) : err_sys(e, -errno, "%s", what);
}

static int write_out(struct stream *s, const char *data, size_t len, struct err *e)
{
	while (len) {
		ssize_t n = write(s->fd, data, len);
		int r = n < 0 ? after(s, POLLOUT, "write the archive", e) : 0;
		if (r < 0)
			return r;
		data += n > 0 ? n : 0;
		len -= (size_t)(n > 0 ? n : 0);
	}
	return 0;
}

int stream_flush(struct stream *s, struct err *e)
{
	int r = write_out(s, s->buf, s->to, e);

	s->to = 0;
	return r;
}

int stream_put(struct stream *s, const void *data, size_t len, struct err *e)
{
	if (s->to + len > BUFFER) {
		int r = stream_flush(s, e);
		if (r < 0)
			return r;
	}
	if (len > BUFFER)
		return write_out(s, data, len, e);
	memcpy(s->buf + s->to, data, len);
	s->to += len;
	return 0;
}

static int put_zeros(struct stream *s, uint64_t size, struct err *e)
{
	static const char zeros[4096];
	int r = 0;

	for (uint64_t n; r == 0 && size; size -= n) {
		n = size < sizeof zeros ? size : sizeof zeros;
		r = stream_put(s, zeros, n, e);
	}
	return r;
}

/* Small files share a write with the headers around them; large ones go from the page cache into the pipe. */
static int put_small(struct stream *s, int fd, uint64_t *left, struct err *e)
{
	int r = s->to + *left > BUFFER ? stream_flush(s, e) : 0;

	while (r == 0 && *left) {
		ssize_t n = read(fd, s->buf + s->to, *left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "read");
		if (n == 0)
			break;
		s->to += (size_t)n;
		*left -= (uint64_t)n;
	}
	return r;
}

int stream_put_file(struct stream *s, int fd, uint64_t size, struct err *e)
{
	uint64_t left = size;
	int r = size <= BUFFER / 2 ? put_small(s, fd, &left, e) : stream_flush(s, e);

	while (r == 0 && left && size > BUFFER / 2) {
		ssize_t n = sendfile(s->fd, fd, NULL, left < (1u << 30) ? left : 1u << 30);
		if (n < 0)
			r = after(s, POLLOUT, "copy a file into the archive", e);
		else if (n == 0)
			break;
		else
			left -= (uint64_t)n;
	}
	/* It has become shorter since its header was written. */
	return r == 0 ? put_zeros(s, left, e) : r;
}

/* ---- in ---- */

static ssize_t read_in(struct stream *s, char *to, size_t len, struct err *e)
{
	for (;;) {
		ssize_t n = read(s->fd, to, len);
		if (n >= 0)
			return n;
		int r = after(s, POLLIN, "read the archive", e);
		if (r < 0)
			return r;
	}
}

static ssize_t inflate_in(struct stream *s, struct err *e)
{
	ssize_t n = 0;

	while (n == 0) {
		/* What the decoder still holds comes before what has not been read. */
		n = inflate_some(s->inflate, &s->rest, &s->rest_len, s->buf, BUFFER, e);
		if (n || s->rest_len)
			continue;
		s->rest = s->packed;
		ssize_t got = read_in(s, s->packed, BUFFER, e);
		if (got <= 0)
			return got < 0 ? got : inflate_end(s->inflate, e);
		s->rest_len = (size_t)got;
	}
	return n;
}

static ssize_t fill(struct stream *s, struct err *e)
{
	ssize_t n = s->inflate ? inflate_in(s, e) : read_in(s, s->buf, BUFFER, e);

	s->from = 0;
	s->to = n > 0 ? (size_t)n : 0;
	return n;
}

int stream_unpack(struct stream *s, struct err *e)
{
	ssize_t n = 1;

	for (s->to = 0; n > 0 && s->to < INFLATE_MAGIC; s->to += (size_t)(n > 0 ? n : 0))
		n = read_in(s, s->buf + s->to, BUFFER - s->to, e);
	s->inflate = inflate_new(s->buf, s->to);
	if (s->inflate) {
		s->packed = s->buf;
		s->buf = xcalloc(1, BUFFER);
		s->rest = s->packed;
		s->rest_len = s->to;
		s->from = s->to = 0;
	}
	return n < 0 ? (int)n : 0;
}

ssize_t stream_take(struct stream *s, const char **data, size_t len, struct err *e)
{
	if (s->from == s->to) {
		ssize_t n = fill(s, e);
		if (n <= 0)
			return n;
	}
	size_t have = s->to - s->from, n = have < len ? have : len;
	*data = s->buf + s->from;
	s->from += n;
	return (ssize_t)n;
}

void stream_drain(struct stream *s)
{
	struct err e;

	while (read_in(s, s->packed ? s->packed : s->buf, BUFFER, &e) > 0)
		;
}

ssize_t stream_get(struct stream *s, void *to, size_t len, struct err *e)
{
	size_t done = 0;
	const char *data;

	while (done < len) {
		ssize_t n = stream_take(s, &data, len - done, e);
		if (n < 0)
			return n;
		if (n == 0)
			break;
		memcpy((char *)to + done, data, (size_t)n);
		done += (size_t)n;
	}
	return (ssize_t)done;
}
