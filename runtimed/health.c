#include "runtimed/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "runtimed/events.h"
#include "runtimed/exec.h"
#include "runtimed/runtimed.h"
#include "lib/times.h"

/* Docker's. */
#define DEFAULT_INTERVAL       (30 * NS_PER_SEC)
#define DEFAULT_START_INTERVAL (5 * NS_PER_SEC)
#define DEFAULT_RETRIES	       3
#define OUTPUT_MAX	       4096
#define LOG_KEPT	       5

struct health {
	struct container *container;
	struct event *next, *timeout, *readable;
	struct exec *exec; /* the test that runs */
	int stream;	   /* its output */
	int64_t begun, test_begun;
	bool timed_out, stopped;
	int streak; /* failures in a row */
	enum health_status { STARTING, HEALTHY, UNHEALTHY } status;
	json_t *log; /* the last results */
	char frames[OUTPUT_MAX * 2 + 64];
	size_t len;
};

static const char *const words[] = {"starting", "healthy", "unhealthy"};

static const json_t *test_of(const struct container *c)
{
	const json_t *test = json_object_get(json_object_get(c->config, "Healthcheck"), "Test");
	const char *kind = json_string_value(json_array_get(test, 0));

	return kind && *kind && strcmp(kind, "NONE") != 0 ? test : NULL;
}

static int64_t setting(const struct health *h, const char *name, int64_t otherwise)
{
	int64_t n = json_int(json_object_get(h->container->config, "Healthcheck"), name);

	return n ? n : otherwise;
}

static void arm(struct event *ev, int64_t ns)
{
	struct timeval after = {.tv_sec = ns / NS_PER_SEC, .tv_usec = (ns % NS_PER_SEC) / 1000};

	event_add(ev, &after);
}

static void arm_next(struct health *h)
{
	bool young = h->status == STARTING && time_now() - h->begun < setting(h, "StartPeriod", 0);
	int64_t interval = setting(h, "Interval", DEFAULT_INTERVAL);

	arm(h->next,
	    young ? setting(h, "StartInterval", interval < DEFAULT_START_INTERVAL ? interval : DEFAULT_START_INTERVAL)
		  : interval);
}

/* ---- results ---- */

/* The output without the 8-byte frames around it; what is not UTF-8 is shown as '?'. */
static json_t *output(struct health *h)
{
	char text[OUTPUT_MAX + 1];
	size_t len = 0, at = 0;

	while (h->len - at >= 8) {
		uint32_t n;
		memcpy(&n, h->frames + at + 4, sizeof n);
		n = ntohl(n);
		at += 8;
		for (; n && at < h->len && len < OUTPUT_MAX; n--)
			text[len++] = h->frames[at++];
		if (n)
			break;
	}
	json_t *o = json_stringn(text, len);
	for (size_t i = 0; !o && i < len; i++)
		if (text[i] & 0x80)
			text[i] = '?';
	return o ? o : json_stringn(text, len);
}

static void change(struct health *h, enum health_status to)
{
	if (h->status == to)
		return;
	h->status = to;
	AUTO_FREE char *action = xasprintf("health_status: %s", words[to]);
	event_container(h->container, action, NULL);
	container_changed(h->container);
}

static void record(struct health *h, int exit_code, json_t *take_output)
{
	char begun[TIME_TEXT], ended[TIME_TEXT];
	bool young = time_now() - h->begun < setting(h, "StartPeriod", 0);

	json_array_append_new(h->log,
			      json_pack("{s:s s:s s:i s:o}", "Start", time_rfc3339(h->test_begun, begun), "End",
					time_rfc3339(time_now(), ended), "ExitCode", exit_code, "Output", take_output));
	while (json_array_size(h->log) > LOG_KEPT)
		json_array_remove(h->log, 0);
	if (exit_code == 0) {
		h->streak = 0;
		change(h, HEALTHY);
	} else if (!(h->status == STARTING && young)) {
		h->streak++;
		if (h->streak >= setting(h, "Retries", DEFAULT_RETRIES))
			change(h, UNHEALTHY);
	}
}

/* ---- one test ---- */

static void test_clean(struct health *h)
{
	event_del(h->timeout);
	if (h->readable)
		event_free(h->readable);
	h->readable = NULL;
	fd_close(&h->stream);
}

static void drain(struct health *h)
{
	ssize_t n;
	char rest[4096];

	while (h->len < sizeof h->frames && (n = read(h->stream, h->frames + h->len, sizeof h->frames - h->len)) > 0)
		h->len += (size_t)n;
	while (h->len == sizeof h->frames && (n = read(h->stream, rest, sizeof rest)) > 0)
		;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct health *h = arg;
	char end;

	(void)what;
	drain(h);
	if (recv(fd, &end, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		event_del(h->readable);
}

static void on_test_ended(struct exec *x, const struct err *failure)
{
	struct health *h = x->arg;
	int code = x->exit_code;

	TAILQ_REMOVE(&x->container->execs, x, link);
	table_remove(&x->container->rt->execs, x->id);
	exec_free(x);
	if (!h)
		return; /* health_free() was there before */
	h->exec = NULL;
	if (h->stream >= 0)
		drain(h);
	test_clean(h);
	if (h->stopped)
		return;
	if (h->timed_out) {
		AUTO_FREE char *text = xasprintf("Health check exceeded timeout (%gs)",
						 (double)setting(h, "Timeout", DEFAULT_INTERVAL) / NS_PER_SEC);
		record(h, -1, json_string(text));
	} else {
		record(h, failure ? -1 : code, failure ? json_string(failure->text) : output(h));
	}
	arm_next(h);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct health *h = arg;

	(void)fd;
	(void)what;
	h->timed_out = true;
	if (h->exec && h->exec->run)
		launch_exec_kill(h->exec->run);
}

/* The time was over before there was anything to kill. */
static void on_test_started(struct exec *x)
{
	const struct health *h = x->arg;

	if (h && h->timed_out)
		launch_exec_kill(x->run);
}

/* The command: as given, or a text for the container's shell. */
static json_t *command(const struct container *c)
{
	const json_t *test = test_of(c), *shell = json_object_get(c->config, "Shell");
	bool by_shell = str_eq(json_string_value(json_array_get(test, 0)), "CMD-SHELL");
	json_t *cmd = by_shell && !json_array_size(shell) ? json_pack("[ss]", "/bin/sh", "-c") : json_array();

	if (by_shell && json_array_size(shell))
		json_array_extend(cmd, (json_t *)(uintptr_t)shell);
	for (size_t i = 1; i < json_array_size(test); i++)
		json_array_append(cmd, json_array_get(test, i));
	return cmd;
}

static void test(struct health *h)
{
	struct container *c = h->container;
	int pair[2];
	struct err e;

	h->test_begun = time_now();
	h->len = 0;
	h->timed_out = false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		arm_next(h);
		return;
	}
	h->stream = pair[0];
	h->readable = event_new(c->rt->d.base, h->stream, EV_READ | EV_PERSIST, on_readable, h);
	event_add(h->readable, NULL);
	struct exec *x =
		exec_new(c, json_pack("{s:o s:b s:b}", "Cmd", command(c), "AttachStdout", true, "AttachStderr", true));
	x->hidden = true;
	x->started = on_test_started;
	x->ended = on_test_ended;
	x->arg = h;
	exec_add(c->rt, x);
	h->exec = x;
	arm(h->timeout, setting(h, "Timeout", DEFAULT_INTERVAL));
	if (exec_run(x, pair[1], NULL, 0, &e) < 0)
		on_test_ended(x, &e);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
	struct health *h = arg;

	(void)fd;
	(void)what;
	if (h->container->state.status == CT_RUNNING && !h->exec)
		test(h);
	else
		arm_next(h); /* paused */
}

/* ---- life ---- */

void health_start(struct container *c)
{
	struct health *h;

	if (!test_of(c))
		return;
	health_free(c->health);
	h = XNEW(struct health);
	h->container = c;
	h->stream = -1;
	h->begun = c->state.started;
	h->log = json_array();
	h->next = evtimer_new(c->rt->d.base, on_next, h);
	h->timeout = evtimer_new(c->rt->d.base, on_timeout, h);
	c->health = h;
	arm_next(h);
}

void health_stop(struct container *c)
{
	struct health *h = c->health;

	if (!h)
		return;
	h->stopped = true;
	event_del(h->next);
	h->status = UNHEALTHY; /* as Docker has it: what does not run is not healthy; no event */
}

void health_free(struct health *h)
{
	if (!h)
		return;
	if (h->exec)
		h->exec->arg = NULL;
	test_clean(h);
	event_free(h->next);
	event_free(h->timeout);
	json_decref(h->log);
	free(h);
}

const char *health_status(const struct container *c)
{
	return c->health ? words[c->health->status] : test_of(c) ? words[STARTING] : "none";
}

json_t *health_shown(const struct container *c)
{
	const struct health *h = c->health;

	if (!test_of(c))
		return NULL;
	return json_pack("{s:s s:i s:o}", "Status", health_status(c), "FailingStreak", h ? h->streak : 0, "Log",
			 h ? json_copy(h->log) : json_array());
}
