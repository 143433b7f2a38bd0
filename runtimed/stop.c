#include "runtimed/stop.h"

#include <errno.h>
#include <signal.h>

#include "lib/log.h"
#include "runtimed/events.h"
#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "runtimed/signals.h"

/* A process that SIGKILL has not ended by then hangs in the kernel. */
#define KILL_PATIENCE_S 10

struct stopping {
	struct waiter waiter; /* first: the waiter is the operation */
	struct container *container;
	struct event *timer;
	int sig;
	int64_t seconds;
	bool killed;
	stop_done done;
	void *arg;
};

int stop_signal(const struct container *c)
{
	int sig = signal_parse(json_text(c->config, "StopSignal"), SIGTERM, NULL);

	return sig > 0 ? sig : SIGTERM;
}

static void finish(struct stopping *s, int rc, const struct err *e)
{
	struct container *c = s->container;

	waiter_cancel(&s->waiter);
	if (s->timer)
		event_free(s->timer);
	if (rc == 0 && s->sig)
		event_container(c, "stop", NULL);
	s->done(c, rc, e, s->arg);
	free(s);
	container_unref(c);
}

static void arm(struct stopping *s, int64_t seconds)
{
	struct timeval after = {.tv_sec = (time_t)seconds};

	event_add(s->timer, &after);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct stopping *s = arg;
	struct err e = {0};

	(void)fd;
	(void)what;
	if (s->killed) {
		err_http(&e, 500, "container %s: its processes do not end although they were killed",
			 s->container->name);
		finish(s, e.code, &e);
		return;
	}
	s->killed = true;
	event_kill(s->container, SIGKILL);
	if (s->container->run && launch_kill_all(s->container->run, &e) < 0)
		log_warn("kill container %.12s: %s", s->container->id, e.text);
	arm(s, KILL_PATIENCE_S);
}

static void begin(struct stopping *s);

static void on_event(struct waiter *w, struct container *c, uint32_t event)
{
	struct stopping *s = (struct stopping *)w;

	if (container_alive(c) && !(event & (CE_EXIT | CE_REMOVED)))
		begin(s);
	else
		finish(s, 0, NULL);
}

static int64_t patience(const struct container *c, int64_t seconds)
{
	const json_t *own = json_object_get(c->config, "StopTimeout");

	if (seconds != STOP_DEFAULT)
		return seconds;
	return own ? json_integer_value(own) : (int64_t)c->rt->d.config->containers_stop_timeout / 1000;
}

static void begin(struct stopping *s)
{
	struct container *c = s->container;
	int64_t seconds = patience(c, s->seconds);
	struct err e = {0};

	container_wait(c, &s->waiter, CE_EXIT | CE_REMOVED, on_event);
	if (s->sig == 0)
		s->sig = stop_signal(c);
	event_kill(c, s->sig);
	int rc = launch_signal(c->run, s->sig, &e);
	if (rc < 0 && rc != -ESRCH)
		log_warn("stop container %.12s: %s", c->id, e.text);
	launch_wake(c->run);
	if (seconds == 0)
		on_timer(-1, 0, s);
	else if (seconds > 0)
		arm(s, seconds);
}

void stop_container(struct container *c, int sig, int64_t seconds, stop_done done, void *arg)
{
	struct stopping *s = XNEW(struct stopping);

	*s = (struct stopping){.container = container_ref(c), .sig = sig, .seconds = seconds, .done = done, .arg = arg};
	s->timer = evtimer_new(c->rt->d.base, on_timer, s);
	c->state.stopped_by_user = !c->restarting_by_request;
	run_cancel_restart(c);
	container_settled(c);
	if (container_alive(c)) {
		begin(s);
	} else if (c->starting) {
		container_wait(c, &s->waiter, CE_SETTLED | CE_REMOVED, on_event);
	} else {
		s->sig = 0; /* nothing was stopped: no event */
		finish(s, 0, NULL);
	}
}
