/* log: see log.h. */
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/util.h"
#include "lib/worker.h"
#include "runtimed/log/log.h"

/* For what is left when the container has ended. */
#define LAST_MS 30000

struct worker {
	struct daemon daemon;
	struct setup setup;
	struct queue queue;
	struct sender sender;
	struct reader reader;
	struct ipc_request *waiting; /* for the first connection */
	struct event *told;
	bool carries;
};

static void on_reader_ended(void *arg)
{
	struct worker *w = arg;

	queue_end(&w->queue, LAST_MS);
}

static void on_told(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	eventfd_t n;

	(void)what;
	eventfd_read(fd, &n);
	if (w->waiting && (w->sender.first_ok || w->sender.first.code)) {
		if (w->sender.first_ok)
			ipc_reply_done(STEAL(w->waiting));
		else
			ipc_reply_error(STEAL(w->waiting), &w->sender.first);
	}
	if (w->sender.finished)
		daemon_stop(&w->daemon);
}

/* The driver's own name for the queue's bound, where it has one. */
static size_t queue_limit(const struct setup *s)
{
	int64_t n = s->driver == LOG_DRIVER_fluentd && !json_object_get(s->options, "max-buffer-size")
			    ? logopt_number(s->options, "fluentd-buffer-limit")
			    : logopt_number(s->options, "max-buffer-size");

	return n > 0 ? (size_t)n : SIZE_MAX;
}

static int carry(struct worker *w, struct log_carry *m, struct err *e)
{
	int r = setup_read(m->setup, w->daemon.config->log_driver_journal, &w->setup, e);

	if (r == 0)
		r = queue_init(&w->queue, queue_limit(&w->setup),
			       str_eq(logopt_text(w->setup.options, "mode"), "non-blocking"), e);
	if (r == 0)
		r = fd_set_nonblock(m->lines, e);
	if (r == 0)
		r = sender_start(&w->sender, &w->setup, &w->queue, m->again, e);
	if (r < 0)
		return r;
	reader_start(&w->reader, w->daemon.base, STEAL_FD(m->lines), &w->queue, on_reader_ended, w);
	w->told = event_new(w->daemon.base, w->sender.told, EV_READ | EV_PERSIST, on_told, w);
	event_add(w->told, NULL);
	w->carries = true;
	return 0;
}

static void on_log_carry(struct ipc_request *req, struct log_carry *m, struct worker *w)
{
	struct err e;

	if (w->carries) {
		ipc_fail(req, 400, "this worker carries a log already");
		return;
	}
	if (carry(w, m, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (w->sender.sink.check_at_start)
		w->waiting = req;
	else
		ipc_reply_done(req);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(log_carry, struct worker),
};

/* runtimed has gone, or has what it wanted: a worker that carries nothing is of no use. */
static void on_idle(void *arg)
{
	struct worker *w = arg;

	if (!w->carries || w->sender.first.code)
		daemon_stop(&w->daemon);
}

static void clean(struct worker *w)
{
	if (!w->carries)
		return;
	queue_end(&w->queue, 0);
	event_free(w->told);
	sender_clean(&w->sender);
	if (w->queue.dropped)
		log_warn("%.12s: %llu lines were dropped", w->setup.id, (unsigned long long)w->queue.dropped);
	reader_clean(&w->reader);
	queue_clean(&w->queue);
	setup_free(&w->setup);
}

int main(int argc, char **argv)
{
	struct worker w = {0};

	daemon_init(&w.daemon, PROC_log, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	daemon_confine(&w.daemon);
	const int code = daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), on_idle, &w);
	clean(&w);
	return code;
}
