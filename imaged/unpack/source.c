#include "imaged/unpack/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>

#include "imaged/unpack/writeback.h"
#include "lib/fd.h"

#define BUFFER	      (256u << 10)
#define PROGRESS_STEP (512u << 10)

void source_begin(struct source *s, const struct source_config *config)
{
	*s = (struct source){.config = *config, .buffer = xcalloc(2, BUFFER)};
	if (config->hashing)
		digest_begin(&s->digest);
	/* Fewer wake-ups; without the privilege for it the usual 64 KiB do. */
	fcntl(config->fd, F_SETPIPE_SZ, 1 << 20);
}

void source_free(struct source *s)
{
	free(s->buffer);
	s->buffer = NULL;
	digest_free(&s->digest);
}

/* Until there is something to read. A file is always ready. */
static int wait_readable(struct source *s, struct err *e)
{
	struct pollfd fds[2] = {{.fd = s->config.fd, .events = POLLIN},
				{.fd = s->config.watch, .events = POLLIN | POLLRDHUP}};
	int timeout = s->config.stall_ms ? (int)s->config.stall_ms : -1;
	int n;

	do
		n = poll(fds, 2, timeout);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, -errno, "poll");
	if (n == 0)
		return err_set(e, -ETIME, "no byte has come for %" PRIu32 " s", s->config.stall_ms / 1000);
	if (fds[1].revents)
		return err_set(e, -ECANCELED, "cancelled");
	return 0;
}

static int finish(struct source *s, struct err *e)
{
	if (!s->ended && s->config.size && s->bytes != s->config.size)
		return err_set(e, -EBADMSG, "%" PRIu64 " bytes came where %" PRIu64 " were announced", s->bytes,
			       s->config.size);
	if (!s->ended && s->config.hashing)
		digest_text(&s->digest, s->hash);
	s->ended = true;
	return 0;
}

static int account(struct source *s, const unsigned char *bytes, size_t n, struct err *e)
{
	s->bytes += n;
	if (s->config.max_bytes && s->bytes > s->config.max_bytes)
		return err_set(e, -EFBIG, "more than the %" PRIu64 " bytes that the configuration allows",
			       s->config.max_bytes);
	if (s->config.size && s->bytes > s->config.size)
		return err_set(e, -EBADMSG, "more bytes came than the %" PRIu64 " announced", s->config.size);
	if (s->config.hashing)
		digest_add(&s->digest, bytes, n);
	if (s->config.blob >= 0) {
		int rc = fd_write_all(s->config.blob, bytes, n, e);
		if (rc < 0)
			return err_prefix(e, "store");
		writeback_begin(&s->written, s->config.blob, n);
	}
	if (s->config.progress && s->bytes - s->told >= PROGRESS_STEP) {
		s->told = s->bytes;
		s->config.progress(s->config.arg, s->bytes);
	}
	return 0;
}

static int source_next(void *arg, const unsigned char **data, size_t *len, struct err *e)
{
	struct source *s = arg;
	ssize_t n;

	if (s->ended)
		return 0;
	s->second = !s->second;
	unsigned char *half = s->buffer + (s->second ? BUFFER : 0);
	do {
		int rc = wait_readable(s, e);
		if (rc < 0)
			return rc;
		n = read(s->config.fd, half, BUFFER);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return err_sys(e, -errno, "read");
	if (n == 0)
		return finish(s, e);
	int rc = account(s, half, (size_t)n, e);
	if (rc < 0)
		return rc;
	*data = half;
	*len = (size_t)n;
	return 1;
}

struct feed source_feed(struct source *s)
{
	return (struct feed){source_next, s};
}
