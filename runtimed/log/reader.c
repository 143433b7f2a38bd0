/* reader: lines from the shim into the queue. With a full queue it does not read, and so the container waits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "runtimed/launch/wire.h"
#include "runtimed/log/log.h"

#define BLOCK	  (64u << 10)
#define LINE_MAX_ (1u << 20) /* the shim cuts lines far below it */

static void finish(struct reader *r)
{
	if (r->readable)
		event_free(STEAL(r->readable));
	fd_close(&r->fd);
	r->ended(r->arg);
}

static void put_line(struct reader *r, const struct wire_line *head, const char *text)
{
	struct line *line = xcalloc(1, sizeof *line + head->len + 1);

	line->time = head->time;
	line->is_err = head->is_err;
	line->partial = head->partial;
	line->len = head->len;
	memcpy(line->text, text, head->len);
	if (head->dropped)
		queue_count_dropped(r->queue, head->dropped);
	queue_put(r->queue, line);
}

/* Whole lines of what was read. Returns false for what is none. */
static bool put_lines(struct reader *r)
{
	struct wire_line head;
	size_t at = 0;

	while (r->have - at >= sizeof head) {
		memcpy(&head, r->bytes + at, sizeof head);
		if (head.len > LINE_MAX_)
			return false;
		if (r->have - at < sizeof head + head.len)
			break;
		put_line(r, &head, r->bytes + at + sizeof head);
		at += sizeof head + head.len;
	}
	memmove(r->bytes, r->bytes + at, r->have - at);
	r->have -= at;
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct reader *r = arg;

	(void)what;
	if (queue_full(r->queue)) {
		event_del(r->readable); /* on_room() adds it again */
		if (!queue_full(r->queue))
			event_add(r->readable, NULL);
		return;
	}
	if (r->have + BLOCK > r->size) {
		r->size = r->have + BLOCK;
		r->bytes = xrealloc(r->bytes, r->size, 1);
	}
	ssize_t n = read(fd, r->bytes + r->have, BLOCK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(r);
		return;
	}
	r->have += (size_t)n;
	if (!put_lines(r)) {
		log_error("the shim sends what are no lines");
		finish(r);
	}
}

static void on_room(evutil_socket_t fd, short what, void *arg)
{
	struct reader *r = arg;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	if (r->readable)
		event_add(r->readable, NULL);
}

void reader_start(struct reader *r, struct event_base *base, int take_fd, struct queue *q, void (*ended)(void *arg),
		  void *arg)
{
	*r = (struct reader){.base = base, .queue = q, .fd = take_fd, .ended = ended, .arg = arg};
	r->readable = event_new(base, r->fd, EV_READ | EV_PERSIST, on_readable, r);
	r->room = event_new(base, q->wake, EV_READ | EV_PERSIST, on_room, r);
	event_add(r->readable, NULL);
	event_add(r->room, NULL);
}

void reader_clean(struct reader *r)
{
	if (r->readable)
		event_free(r->readable);
	if (r->room)
		event_free(r->room);
	fd_close(&r->fd);
	free(r->bytes);
}
