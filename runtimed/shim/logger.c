/*
 * logger: a container's lines to its log worker. What the worker does not take at once waits here: then the container
 * waits, too, or with mode=non-blocking further lines are dropped and counted.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

/* With mode=non-blocking the worker reads always; beyond this it has died. */
#define DROP_BEYOND (256u << 10)

void shim_logger_init(struct shim_logger *g, const struct shim_args *a)
{
	*g = (struct shim_logger){
		.fd = a->logger, .wanted = a->logger >= 0, .drops = a->logger_drops, .limit = DROP_BEYOND};
}

/* Where the line begins that is sent in part. */
static size_t line_of(const struct shim_logger *g)
{
	struct wire_line head;
	size_t at = 0;

	while (at < g->from) {
		memcpy(&head, g->bytes + at, sizeof head);
		if (at + sizeof head + head.len > g->from)
			break;
		at += sizeof head + head.len;
	}
	return at;
}

/* A line that was sent in part is sent again, whole, to the next worker. */
static void rewind_line(struct shim_logger *g)
{
	g->from = line_of(g);
}

static void forget_sent(struct shim_logger *g)
{
	size_t at = line_of(g);

	memmove(g->bytes, g->bytes + at, g->to - at);
	g->from -= at;
	g->to -= at;
}

static void append(struct shim_logger *g, const void *data, size_t len)
{
	if (g->to + len > g->capacity && g->from > g->capacity / 2)
		forget_sent(g);
	if (g->to + len > g->capacity) {
		g->capacity = (g->to + len) * 2;
		g->bytes = xrealloc(g->bytes, g->capacity, 1);
	}
	memcpy(g->bytes + g->to, data, len);
	g->to += len;
}

void shim_logger_line(struct shim_logger *g, enum stream stream, const char *text, size_t len, int64_t time)
{
	bool ends = len && text[len - 1] == '\n';

	if (!g->wanted)
		return;
	if (g->drops && g->from < g->to && g->to - g->from + len > g->limit) {
		g->dropped++;
		g->total_dropped++;
		return;
	}
	struct wire_line head = {.len = (uint32_t)(len - ends),
				 .is_err = stream == STREAM_ERR,
				 .partial = !ends,
				 .dropped = g->dropped,
				 .time = time};
	g->dropped = 0;
	append(g, &head, sizeof head);
	append(g, text, head.len);
}

bool shim_logger_flush(struct shim_logger *g)
{
	while (g->fd >= 0 && g->from < g->to) {
		ssize_t n = send(g->fd, g->bytes + g->from, g->to - g->from, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		g->stuck = n < 0 && errno == EAGAIN;
		if (g->stuck)
			return true;
		if (n < 0) {
			shim_logger_lose(g);
			return false;
		}
		g->from += (size_t)n;
	}
	if (g->from == g->to) {
		free(STEAL(g->bytes));
		g->from = g->to = g->capacity = 0;
	}
	return true;
}

void shim_logger_lose(struct shim_logger *g)
{
	fd_close(&g->fd);
	rewind_line(g);
}

void shim_logger_take(struct shim_logger *g, int take_fd)
{
	fd_close(&g->fd);
	rewind_line(g);
	g->fd = take_fd;
	shim_logger_flush(g);
}
