/* sender: the thread that waits for the collector, so that nothing else has to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "runtimed/log/log.h"

#define TIMEOUT_MS  10000
#define WAIT_MS	    100
#define WAIT_MAX_MS 10000
/* A UNIX socket that was made anew is not the one in this process's root: another worker will see it. */
#define STALE_MS 10000

static const struct driver *const drivers[LOG_DRIVERS] = {
	[LOG_DRIVER_syslog] = &driver_syslog, [LOG_DRIVER_journald] = &driver_journald,
	[LOG_DRIVER_gelf] = &driver_gelf,     [LOG_DRIVER_fluentd] = &driver_fluentd,
	[LOG_DRIVER_splunk] = &driver_splunk,
};

void sink_put(struct sink *k, const void *data, size_t len)
{
	if (k->have + len > k->size) {
		k->size = (k->have + len) * 2;
		k->buffer = xrealloc(k->buffer, k->size, 1);
	}
	memcpy(k->buffer + k->have, data, len);
	k->have += len;
}

void sink_text(struct sink *k, const char *text)
{
	sink_put(k, text, strlen(text));
}

static int connect_sink(struct sink *k, struct err *e)
{
	if (stream_is_open(&k->stream) && stream_alive(&k->stream))
		return 0;
	stream_close(&k->stream);
	int r = k->driver->connect(k, e);
	if (r == 0)
		k->connected_at = monotonic_ns();
	return r;
}

static int deliver(struct sink *k, const struct lines *lines, struct err *e)
{
	const struct line *line;

	int r = connect_sink(k, e);
	k->have = k->kept = 0;
	STAILQ_FOREACH(line, lines, next) {
		if (r < 0)
			return r;
		r = k->driver->send(k, line, e);
	}
	if (r == 0 && k->driver->flush)
		r = k->driver->flush(k, e);
	return r;
}

static void tell(struct sender *s)
{
	eventfd_write(s->told, 1);
}

static bool is_stale(const struct sink *k, int64_t since)
{
	return str_starts(k->how.address.scheme, "unix") && monotonic_ns() - since > STALE_MS * 1000000ll;
}

/* Until the batch is delivered, or given up. */
static void deliver_or_drop(struct sender *s, struct lines *lines)
{
	struct sink *k = &s->sink;
	unsigned wait = k->wait_ms;
	int64_t since = monotonic_ns();
	bool delivered;
	struct err e;

	for (unsigned attempt = 1;; attempt++) {
		delivered = deliver(k, lines, &e) == 0;
		if (delivered && attempt > 1)
			log_info("%.12s: the collector is back", k->setup->id);
		if (delivered)
			break;
		stream_close(&k->stream);
		if (attempt == 1)
			log_warn("%.12s: %s", k->setup->id, e.text);
		bool last = k->max_attempts && attempt >= k->max_attempts;
		if (is_stale(k, since))
			s->stale = true;
		if (last || s->stale || !queue_pause(s->queue, wait))
			break;
		wait = wait * 2 > k->wait_max ? k->wait_max : wait * 2;
	}
	queue_done(s->queue, lines, delivered);
}

static void *run(void *arg)
{
	struct sender *s = arg;
	struct lines lines;

	if (s->sink.check_at_start) {
		s->first_ok = connect_sink(&s->sink, &s->first) == 0;
		tell(s);
		if (!s->first_ok)
			return NULL;
	}
	while (!s->stale && queue_take(s->queue, s->sink.driver->batch, &lines))
		deliver_or_drop(s, &lines);
	s->finished = true;
	tell(s);
	return NULL;
}

int sender_start(struct sender *s, const struct setup *setup, struct queue *q, bool again, struct err *e)
{
	*s = (struct sender){.queue = q, .told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	s->sink = (struct sink){.driver = drivers[setup->driver],
				.setup = setup,
				.how.timeout_ms = TIMEOUT_MS,
				.stream.fd = -1,
				.wait_ms = WAIT_MS,
				.wait_max = WAIT_MAX_MS,
				.check_at_start = true};
	if (s->told < 0)
		return err_sys(e, -errno, "eventfd");
	int r = s->sink.driver->prepare(&s->sink, e);
	if (r < 0)
		return r;
	s->sink.check_at_start = s->sink.check_at_start && !again;
	r = pthread_create(&s->thread, NULL, run, s);
	if (r > 0)
		return err_sys(e, -r, "make a thread");
	s->running = true;
	return 0;
}

void sender_clean(struct sender *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	stream_close(&s->sink.stream);
	fd_close(&s->told);
	free(s->sink.buffer);
}
