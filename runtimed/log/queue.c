/* queue: lines that wait for the collector, bounded by their bytes. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "lib/util.h"
#include "runtimed/log/log.h"

#define NS 1000000000ll

int64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

int queue_init(struct queue *q, size_t limit, bool drops, struct err *e)
{
	pthread_condattr_t attributes;

	*q = (struct queue){.limit = limit, .drops = drops, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	STAILQ_INIT(&q->lines);
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&q->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return q->wake < 0 ? err_sys(e, -errno, "eventfd") : 0;
}

void queue_clean(struct queue *q)
{
	struct line *line;

	while ((line = STAILQ_FIRST(&q->lines))) {
		STAILQ_REMOVE_HEAD(&q->lines, next);
		free(line);
	}
	fd_close(&q->wake);
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
}

static size_t cost(const struct line *line)
{
	return sizeof *line + line->len;
}

void queue_put(struct queue *q, struct line *take_line)
{
	pthread_mutex_lock(&q->lock);
	/* One line is taken always, however long. */
	if (q->drops && q->bytes && q->bytes + cost(take_line) > q->limit) {
		q->dropped++;
		free(take_line);
	} else {
		q->bytes += cost(take_line);
		STAILQ_INSERT_TAIL(&q->lines, take_line, next);
		pthread_cond_signal(&q->changed);
	}
	pthread_mutex_unlock(&q->lock);
}

bool queue_full(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	bool full = !q->drops && q->bytes >= q->limit;
	pthread_mutex_unlock(&q->lock);
	return full;
}

void queue_count_dropped(struct queue *q, uint64_t n)
{
	pthread_mutex_lock(&q->lock);
	q->dropped += n;
	pthread_mutex_unlock(&q->lock);
}

void queue_end(struct queue *q, unsigned ms)
{
	pthread_mutex_lock(&q->lock);
	q->ended = true;
	q->deadline = monotonic_ns() + ms * 1000000ll;
	pthread_cond_signal(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

size_t queue_take(struct queue *q, size_t max, struct lines *out)
{
	struct line *line;
	size_t n = 0;

	STAILQ_INIT(out);
	pthread_mutex_lock(&q->lock);
	while (STAILQ_EMPTY(&q->lines) && !q->ended)
		pthread_cond_wait(&q->changed, &q->lock);
	for (; n < max && (line = STAILQ_FIRST(&q->lines)); n++) {
		STAILQ_REMOVE_HEAD(&q->lines, next);
		STAILQ_INSERT_TAIL(out, line, next);
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

void queue_done(struct queue *q, struct lines *lines, bool delivered)
{
	struct line *line;
	size_t bytes = 0, n = 0;

	while ((line = STAILQ_FIRST(lines))) {
		STAILQ_REMOVE_HEAD(lines, next);
		bytes += cost(line);
		n++;
		free(line);
	}
	pthread_mutex_lock(&q->lock);
	bool was_full = q->bytes >= q->limit;
	q->bytes -= bytes;
	q->dropped += delivered ? 0 : n;
	if (was_full && q->bytes < q->limit)
		eventfd_write(q->wake, 1);
	pthread_mutex_unlock(&q->lock);
}

static bool time_left(const struct queue *q)
{
	return !q->ended || monotonic_ns() < q->deadline;
}

bool queue_pause(struct queue *q, unsigned ms)
{
	int64_t until = monotonic_ns() + ms * 1000000ll;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		/* The end may come while it waits, and bring its deadline. */
		int64_t stop = q->ended && q->deadline < until ? q->deadline : until;
		const struct timespec t = {.tv_sec = stop / NS, .tv_nsec = stop % NS};
		if (monotonic_ns() >= stop)
			break;
		pthread_cond_timedwait(&q->changed, &q->lock, &t);
	}
	bool left = time_left(q);
	pthread_mutex_unlock(&q->lock);
	return left;
}
