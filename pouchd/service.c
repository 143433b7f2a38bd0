/* The daemons: started, watched, restarted with back-off, stopped in order. Their listening sockets outlive them. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ipc/channel.h"
#include "ipc/server.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

#define STEADY_MS   5000 /* one that has been ready for so long did not fail at its start */
#define BACKOFF_MS  50
#define START_TRIES 5 /* of a service, before the engine's own start is given up */

/* Helpers first, in no order among each other; the HTTP front when all of them are ready. */
static const enum process_id ids[SERVICES] = {PROC_auditd, PROC_imaged,	  PROC_volumed,
					      PROC_netd,   PROC_runtimed, PROC_apid};

static void start(struct service *v);

const char *service_state_name(enum service_phase state)
{
	static const char *const names[] = {"down", "starting", "ready", "stopping"};

	return names[state];
}

static void set_timer(struct service *v, uint32_t ms)
{
	const struct timeval tv = timeval_ms(ms);

	event_add(v->timer, &tv);
}

static void answer_restart(struct service *v, const char *problem)
{
	struct ipc_request *req = STEAL(v->restart_request);

	if (req && problem)
		ipc_fail(req, 500, "%s %s", process_name(v->id), problem);
	else if (req)
		ipc_reply_done(req);
}

/* ---- the control connection ---- */

static void control_message(void *arg, const struct ipc_head *head, void *msg)
{
	struct service *v = arg;

	if (head->kind == K_END && head->message->number == IPC_service_state) {
		const struct service_state *state = msg;
		free(v->report);
		v->report = xstrndup(state->state.raw.data, state->state.raw.len);
	} else if (head->kind == K_END && head->message->number == IPC_done) {
		reload_answered(v, NULL);
	} else if (head->kind == K_ERROR && head->message->number == IPC_failure) {
		const struct failure *failure = msg;
		struct err e;
		err_set(&e, failure->code ? (int)failure->code : -EIO, "%s: %s", process_name(v->id), failure->text);
		reload_answered(v, &e);
	} else {
		log_error("%s sent %s by its control connection", process_name(v->id), head->message->name);
	}
	channel_msg_free(head->message, msg);
}

/* What ends is the process; that is said by SIGCHLD. */
static void control_closed(void *arg, const struct err *why)
{
	struct service *v = arg;

	(void)why;
	channel_free(v->control);
	v->control = NULL;
}

static const struct channel_events control_events = {.message = control_message, .closed = control_closed};

static void ask_state(struct service *v)
{
	const struct ipc_head head = {
		.message = ipc_message(IPC_service_status), .kind = K_REQUEST, .id = ++v->next_id};
	struct service_status ask = {};

	if (v->control)
		channel_send(v->control, &head, &ask, NULL);
}

/* ---- start ---- */

static pid_t start_process(struct service *v, int control, struct err *e)
{
	struct supervisor *s = v->sup;
	struct spawn_fd fds[LISTENERS_MAX + 5];
	char names[LISTENERS_MAX][32];
	size_t n = 0;

	fds[n++] = (struct spawn_fd){process_name(v->id), v->listen_fd};
	for (size_t i = 0; v->id == PROC_apid && i < s->nhttp; i++) {
		snprintf(names[i], sizeof names[i], "http-%zu", i);
		fds[n++] = (struct spawn_fd){names[i], s->http[i].fd};
	}
	fds[n++] = (struct spawn_fd){"control", control};
	fds[n++] = (struct spawn_fd){"config", s->config_fd};
	fds[n++] = (struct spawn_fd){"policy", s->policy_fd};
	fds[n++] = (struct spawn_fd){"lock", s->lock_fd};
	return spawn(s, v->id, fds, n, e);
}

/* Without a process: the next try comes later. */
static void start_later(struct service *v)
{
	uint32_t max = v->sup->config->supervisor_backoff_max;
	uint64_t pause = v->failures ? (uint64_t)BACKOFF_MS << (v->failures < 16 ? v->failures - 1 : 15) : 0;

	v->state = SERVICE_DOWN;
	if (pause == 0)
		start(v);
	else
		set_timer(v, pause < max ? (uint32_t)pause : max);
}

static void start(struct service *v)
{
	struct err e;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("socketpair for %s: %s", process_name(v->id), strerror(errno));
		v->failures++;
		start_later(v);
		return;
	}
	AUTO_CLOSE int theirs = pair[1];
	pid_t pid = start_process(v, theirs, &e);
	if (pid < 0) {
		log_error("%s", e.text);
		close(pair[0]);
		v->failures++;
		start_later(v);
		return;
	}
	v->pid = pid;
	v->state = SERVICE_STARTING;
	v->started_ms = monotonic_ms();
	v->control = channel_new(v->sup->base, pair[0], &control_events, v);
	set_timer(v, v->sup->config->supervisor_start_timeout);
	log_debug("%s started, pid %d", process_name(v->id), (int)pid);
}

static bool helpers_ready(const struct supervisor *s)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (s->services[i].id != PROC_apid && s->services[i].state != SERVICE_READY)
			return false;
	return true;
}

/* Has it a process, or a timer that will start one? */
static bool under_way(const struct service *v)
{
	return v->pid || event_pending(v->timer, EV_TIMEOUT, NULL);
}

void services_go_on(struct supervisor *s)
{
	struct service *front = service_by_name(s, "apid");

	if (s->state != ENGINE_STARTING)
		return;
	for (size_t i = 0; i < SERVICES; i++) {
		struct service *v = &s->services[i];
		if (v != front && v->state == SERVICE_DOWN && !under_way(v))
			start(v);
	}
	if (!helpers_ready(s))
		return;
	if (front->state == SERVICE_DOWN && !under_way(front))
		start(front);
	if (front->state == SERVICE_READY)
		supervisor_ready(s);
}

void service_ready(struct service *v)
{
	if (v->state != SERVICE_STARTING)
		return;
	v->state = SERVICE_READY;
	v->ready_ms = monotonic_ms();
	event_del(v->timer);
	log_info("%s is ready, pid %d, after %d ms", process_name(v->id), (int)v->pid,
		 (int)(v->ready_ms - v->started_ms));
	ask_state(v);
	answer_restart(v, NULL);
	services_go_on(v->sup);
}

/* ---- end ---- */

static void terminate(struct service *v)
{
	if (v->pid == 0 || v->state == SERVICE_STOPPING)
		return;
	v->state = SERVICE_STOPPING;
	kill(v->pid, SIGTERM);
	set_timer(v, v->sup->config->supervisor_stop_timeout);
}

void service_restart(struct service *v)
{
	if (v->pid) {
		terminate(v);
	} else {
		event_del(v->timer);
		start(v);
	}
}

/* There is no process any more, or it is no longer the service's. */
static void forget_process(struct service *v)
{
	channel_free(v->control);
	v->control = NULL;
	v->pid = 0;
	v->state = SERVICE_DOWN;
	reload_answered(v, &(struct err){.code = -ECONNRESET, .text = "the process ended meanwhile"});
}

static void describe(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buf, size, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 127)
		snprintf(buf, size, "could not be executed");
	else
		snprintf(buf, size, "ended with status %d", WEXITSTATUS(status));
}

/*
 * A restart of apid that was asked for: the old process has said that it accepts no more connections, and answers what
 * it has begun (followed logs may take long). The new one need not wait for that.
 */
void service_leaves(struct service *v)
{
	const struct timeval tv = timeval_ms(v->sup->config->supervisor_stop_timeout);

	if (v->id != PROC_apid || v->state != SERVICE_STOPPING || v->sup->state != ENGINE_READY || v->leaving)
		return;
	event_del(v->timer);
	event_add(v->leaving_timer, &tv);
	v->leaving = v->pid;
	forget_process(v);
	v->restarts++;
	log_info("%s is restarted; pid %d ends what it has begun", process_name(v->id), (int)v->leaving);
	start(v);
}

static void on_leaving_timer(evutil_socket_t fd, short what, void *arg)
{
	struct service *v = arg;

	(void)fd;
	(void)what;
	log_warn("%s: pid %d has not ended what it had begun; it is killed", process_name(v->id), (int)v->leaving);
	kill(v->leaving, SIGKILL);
}

static void left(struct service *v, int status)
{
	event_del(v->leaving_timer);
	v->leaving = 0;
	v->last_exit = status;
	v->exited = true;
	if (v->sup->state == ENGINE_STOPPING)
		services_stop(v->sup);
}

void service_exited(struct service *v, pid_t pid, int status)
{
	struct supervisor *s = v->sup;
	bool wanted = v->state == SERVICE_STOPPING;
	bool steady = v->state == SERVICE_READY && monotonic_ms() - v->ready_ms >= STEADY_MS;
	char text[128];

	if (pid == v->leaving) {
		left(v, status);
		return;
	}
	describe(status, text, sizeof text);
	event_del(v->timer);
	v->last_exit = status;
	v->exited = true;
	forget_process(v);
	if (s->state == ENGINE_STOPPING) {
		services_stop(s);
		return;
	}
	v->restarts++;
	v->failures = wanted || steady ? 0 : v->failures + 1;
	if (wanted) {
		log_info("%s is restarted", process_name(v->id));
		start(v);
		return;
	}
	log_error("%s %s", process_name(v->id), text);
	answer_restart(v, text);
	if (s->state == ENGINE_STARTING && v->failures >= START_TRIES) {
		log_error("%s does not start; giving up", process_name(v->id));
		s->exit_code = 1;
		services_stop(s);
		return;
	}
	/* The first death costs no pause: nothing says yet that it will be repeated. */
	if (v->failures <= 1)
		start(v);
	else
		start_later(v);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct service *v = arg;

	(void)fd;
	(void)what;
	if (v->state == SERVICE_DOWN) {
		start(v);
		return;
	}
	log_error("%s is not %s in time; it is killed", process_name(v->id),
		  v->state == SERVICE_STARTING ? "ready" : "ending");
	kill(v->pid, SIGKILL);
}

/* SIGTERM to those of `set` that still run; false when none does. */
static bool stop_some(struct supervisor *s, uint32_t set)
{
	bool some = false;

	for (size_t i = 0; i < SERVICES; i++) {
		struct service *v = &s->services[i];
		if (!(set & (1u << v->id)) || (v->pid == 0 && v->leaving == 0))
			continue;
		terminate(v);
		some = true;
	}
	return some;
}

/* The front first, so that no request finds its helper gone; who keeps the audit records last. */
void services_stop(struct supervisor *s)
{
	static const uint32_t order[] = {P(apid), P(runtimed) | P(imaged) | P(volumed) | P(netd), P(auditd)};

	if (s->state != ENGINE_STOPPING) {
		s->state = ENGINE_STOPPING;
		for (size_t i = 0; i < SERVICES; i++) {
			answer_restart(&s->services[i], "is stopped with the engine");
			if (s->services[i].pid == 0)
				event_del(s->services[i].timer);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (stop_some(s, order[i]))
			return;
	if (workers_stop(s) == 0)
		supervisor_done(s);
}

/* ---- all of them ---- */

struct service *service_by_pid(struct supervisor *s, pid_t pid)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (pid > 0 && (s->services[i].pid == pid || s->services[i].leaving == pid))
			return &s->services[i];
	return NULL;
}

struct service *service_by_name(struct supervisor *s, const char *name)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (strcmp(process_name(s->services[i].id), name) == 0)
			return &s->services[i];
	return NULL;
}

int services_init(struct supervisor *s, struct err *e)
{
	for (size_t i = 0; i < SERVICES; i++) {
		struct service *v = &s->services[i];
		*v = (struct service){.sup = s, .id = ids[i], .listen_fd = -1};
		v->state = SERVICE_DOWN;
		v->timer = evtimer_new(s->base, on_timer, v);
		v->leaving_timer = evtimer_new(s->base, on_leaving_timer, v);
		if (!spawn_present(s, ids[i]))
			return err_set(e, -ENOENT, "%s is missing in %s, where pouchd is", process_name(ids[i]),
				       s->programs);
		if (ids[i] != PROC_apid && (v->listen_fd = socket_ipc(s->args.run, ids[i], true, e)) < 0)
			return v->listen_fd;
	}
	return 0;
}
