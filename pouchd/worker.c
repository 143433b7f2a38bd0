/*
 * Workers: processes that live for one connection. Whoever may send one of a worker's messages may connect to its
 * socket; pouchd accepts, looks at the kernel's word of who it is, and starts the program with the connection as
 * descriptor 3.
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
#include "lib/util.h"
#include "pouchd/supervisor.h"

/* Every kind that there is, and how many may run at a time; more wait in the socket's queue. */
static const struct {
	enum process_id id;
	unsigned max;
} kinds[] = {
	{PROC_image_fetch, 64}, {PROC_image_unpack, 16}, {PROC_rootfs, 64},
	{PROC_volume_mount, 8}, {PROC_dns, 4},		 {PROC_log, 1024},
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

static void start(struct worker_kind *k, int connection)
{
	struct supervisor *s = k->sup;
	const struct spawn_fd fds[] = {
		{process_name(k->id), connection}, {"config", s->config_fd}, {"policy", s->policy_fd}};
	struct err e;
	pid_t pid = spawn(s, k->id, fds, ARRAY_LEN(fds), &e);

	if (pid < 0) {
		log_error("%s", e.text);
		return;
	}
	s->workers = xrealloc(s->workers, s->nworkers + 1, sizeof *s->workers);
	s->workers[s->nworkers++] = (struct worker){.pid = pid, .kind = k};
	k->running++;
	k->spawned++;
	log_debug("%s started, pid %d", process_name(k->id), (int)pid);
}

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
			start(k, fd);
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
		*k = (struct worker_kind){.sup = s, .id = kinds[i].id, .max = kinds[i].max};
		k->present = spawn_present(s, k->id);
		k->listen_fd = socket_ipc(s->args.run, k->id, k->present, e);
		if (k->listen_fd < 0)
			return k->listen_fd;
		if (!k->present) {
			log_warn("%s is not installed beside pouchd", process_name(k->id));
			continue;
		}
		k->acceptable = event_new(s->base, k->listen_fd, EV_READ | EV_PERSIST, on_connect, k);
		event_add(k->acceptable, NULL);
	}
	return 0;
}

bool worker_exited(struct supervisor *s, pid_t pid, int status)
{
	for (size_t i = 0; i < s->nworkers; i++) {
		struct worker_kind *k = s->workers[i].kind;
		if (s->workers[i].pid != pid)
			continue;
		s->workers[i] = s->workers[--s->nworkers];
		if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)) {
			k->failed++;
			log_warn("%s (pid %d) ended with %s %d", process_name(k->id), (int)pid,
				 WIFSIGNALED(status) ? "signal" : "status",
				 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
		if (k->running-- == k->max && s->state != ENGINE_STOPPING)
			event_add(k->acceptable, NULL);
		return true;
	}
	return false;
}

void workers_stop(struct supervisor *s)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (s->kinds[i].acceptable)
			event_del(s->kinds[i].acceptable);
	for (size_t i = 0; i < s->nworkers; i++)
		kill(s->workers[i].pid, SIGTERM);
}
