#include "netd/waiting.h"

#include <event2/event.h>
#include <stdlib.h>

#include "lib/util.h"

/* The kernel removes the devices of a dead namespace in milliseconds, under load in a second or two. */
static const struct timeval patience = {.tv_sec = 10};

struct waiting {
	struct netd *d;
	struct ipc_request *req;
	struct event *timer;
	struct err why;
	TAILQ_ENTRY(waiting) next;
};

static void waiting_free(struct waiting *w)
{
	TAILQ_REMOVE(&w->d->waiting, w, next);
	event_free(w->timer);
	free(w);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct waiting *w = arg;

	(void)fd;
	(void)what;
	ipc_reply_error(w->req, &w->why);
	waiting_free(w);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct waiting *w = arg;

	ipc_reply_error(req, &w->why);
	waiting_free(w);
}

void waiting_add(struct netd *d, struct ipc_request *req, const struct err *why)
{
	struct waiting *w = XNEW(struct waiting);

	*w = (struct waiting){.d = d, .req = req, .why = *why};
	w->timer = evtimer_new(d->daemon.base, on_timer, w);
	event_add(w->timer, &patience);
	ipc_request_on_cancel(req, on_cancel, w);
	TAILQ_INSERT_TAIL(&d->waiting, w, next);
}

void waiting_retry(struct netd *d)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&d->waiting); w; w = next) {
		next = TAILQ_NEXT(w, next);
		ipc_request_on_cancel(w->req, NULL, NULL); /* an answered request is no more */
		if (container_attach(d, w->req, &w->why))
			waiting_free(w);
		else
			ipc_request_on_cancel(w->req, on_cancel, w);
	}
}
