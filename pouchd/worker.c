/*
 * Workers: processes that live for one connection. Whoever may send one of a worker's messages may connect to its
 * socket; pouchd accepts, looks at the kernel's word of who it is, and starts the program with the connection as
 * descriptor 3. A resident worker gets the listening socket itself when the first connection waits in it: it goes on
 * when its caller is restarted, and is started again by the next connection when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ipc/message.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

#define STEADY_MS 5000 /* a resident one that lived for so long did not fail at its start */
#define PAUSE_MS  50
#define PAUSE_MAX 1000

/* Every kind that there is, and how many may run at a time; more wait in the socket's queue. */
static const struct {
	enum process_id id;
	unsigned max;
	bool resident;
} kinds[] = {
	{PROC_image_fetch, 64, false}, {PROC_image_unpack, 16, false},
	{PROC_rootfs, 64, false},      {PROC_volume_mount, 8, false},
	{PROC_dns, 1, true},	       {PROC_log, 1024, false},
};
_Static_assert(ARRAY_LEN(kinds) <= WORKER_KINDS, "WORKER_KINDS is too small");

/* Does the uid belong to a process that may send one of the worker's messages? */
static bool may_call(const struct supervisor *s, enum process_id worker, uid_t uid)
{
	size_t n;
	const struct ipc_message *const *messages = ipc_messages(&n);

	for (size_t i = 0; i < n; i++) {
		if (MSG_OWNER(messages[i]->number) != worker || messages[i]->reply == IPC_none)
			continue;
		for (enum process_id p = 1; p < PROC_LIMIT; p++)
			if (messages[i]->senders & (1u << p) && p != worker && process_name(p) &&
			    process_uid(p, s->config->ids_base) == uid)
				return true;
	}
	return false;
}

/* `take_control` is -1 but for a resident one, `control` its other end. */
static int start(struct worker_kind *k, int socket, int control, int take_control)
{
	struct supervisor *s = k->sup;
	const struct spawn_fd fds[] = {{process_name(k->id), socket},
				       {"config", s->config_fd},
				       {"policy", s->policy_fd},
				       {"control", control},
				       {"lock", k->resident ? s->lock_fd : -1}};
	struct err e;
	pid_t pid = spawn(s, k->id, fds, ARRAY_LEN(fds), &e);

	if (pid < 0) {
		log_error("%s", e.text);
		fd_close(&take_control);
		return pid;
	}
	s->workers = xrealloc(s->workers, s->nworkers + 1, sizeof *s->workers);
	s->workers[s->nworkers++] =
		(struct worker){.pid = pid, .kind = k, .control = take_control, .started_ms = monotonic_ms()};
	k->running++;
	k->spawned++;
	log_debug("%s started, pid %d", process_name(k->id), (int)pid);
	return 0;
}

/* ---- resident ones ---- */

static void listen_later(struct worker_kind *k)
{
	unsigned ms = (unsigned)PAUSE_MS << (k->failures < 5 ? k->failures : 5);
	const struct timeval tv = timeval_ms(ms < PAUSE_MAX ? ms : PAUSE_MAX);

	event_add(k->again, &tv);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct worker_kind *k = arg;

	(void)fd;
	(void)what;
	if (k->running == 0 && k->sup->state != ENGINE_STOPPING)
		event_add(k->acceptable, NULL);
}

/* Who connects is checked by the process, as daemons do. */
static void on_first(evutil_socket_t listen_fd, short what, void *arg)
{
	struct worker_kind *k = arg;
	int pair[2];

	(void)what;
	event_del(k->acceptable); /* until it ends */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
		AUTO_CLOSE int theirs = pair[1];

		if (start(k, listen_fd, theirs, pair[0]) == 0)
			return;
	}
	k->failures++;
	listen_later(k);
}

static void resident_exited(const struct worker *w)
{
	struct worker_kind *k = w->kind;

	close(w->control);
	k->failures = monotonic_ms() - w->started_ms >= STEADY_MS ? 0 : k->failures + 1;
	if (k->sup->state == ENGINE_STOPPING)
		return;
	/* The first death costs no pause: nothing says yet that it will be repeated. */
	if (k->failures <= 1)
		event_add(k->acceptable, NULL);
	else
		listen_later(k);
}

/* ---- those for one connection ---- */

static void on_connect(evutil_socket_t listen_fd, short what, void *arg)
{
	struct worker_kind *k = arg;
	struct ucred cred;
	socklen_t n = sizeof cred;

	(void)what;
	while (k->running < k->max) {
		AUTO_CLOSE int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN)
				log_error("accept for %s: %s", process_name(k->id), strerror(errno));
			return;
		}
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && may_call(k->sup, k->id, cred.uid))
			start(k, fd, -1, -1);
		else
			log_warn("uid %u (pid %d) may not connect to %s", (unsigned)cred.uid, (int)cred.pid,
				 process_name(k->id));
	}
	event_del(k->acceptable); /* until one ends */
}

int workers_init(struct supervisor *s, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct worker_kind *k = &s->kinds[i];
		*k = (struct worker_kind){
			.sup = s, .id = kinds[i].id, .max = kinds[i].max, .resident = kinds[i].resident};
		k->present = spawn_present(s, k->id);
		k->listen_fd = socket_ipc(s->args.run, k->id, k->present, e);
		if (k->listen_fd < 0)
			return k->listen_fd;
		if (!k->present) {
			log_warn("%s is not installed beside pouchd", process_name(k->id));
			continue;
		}
		k->acceptable =
			event_new(s->base, k->listen_fd, EV_READ | EV_PERSIST, k->resident ? on_first : on_connect, k);
		k->again = evtimer_new(s->base, on_again, k);
		event_add(k->acceptable, NULL);
	}
	return 0;
}

bool worker_exited(struct supervisor *s, pid_t pid, int status)
{
	for (size_t i = 0; i < s->nworkers; i++) {
		const struct worker w = s->workers[i];
		struct worker_kind *k = w.kind;
		if (w.pid != pid)
			continue;
		s->workers[i] = s->workers[--s->nworkers];
		if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)) {
			k->failed++;
			log_warn("%s (pid %d) ended with %s %d", process_name(k->id), (int)pid,
				 WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
		const bool was_full = k->running-- == k->max;
		if (k->resident)
			resident_exited(&w);
		else if (was_full && s->state != ENGINE_STOPPING)
			event_add(k->acceptable, NULL);
		return true;
	}
	return false;
}

/* In the midst of a long removal, say, of a tree: what it leaves is cleaned by the next start. */
static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < s->nworkers; i++)
		if (s->workers[i].kind->id != PROC_log) {
			log_error("%s (pid %d) is not ending in time; it is killed",
				  process_name(s->workers[i].kind->id), (int)s->workers[i].pid);
			kill(s->workers[i].pid, SIGKILL);
		}
}

size_t workers_stop(struct supervisor *s)
{
	const struct timeval tv = timeval_ms(s->config->supervisor_stop_timeout);
	size_t left = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (s->kinds[i].acceptable)
			event_del(s->kinds[i].acceptable);
	/* A log worker ends with its container, as a shim does. */
	for (size_t i = 0; i < s->nworkers; i++)
		if (s->workers[i].kind->id != PROC_log) {
			kill(s->workers[i].pid, SIGTERM);
			left++;
		}
	if (left && !s->workers_due) {
		s->workers_due = true;
		event_base_once(s->base, -1, EV_TIMEOUT, on_late, s, &tv);
	}
	return left;
}
