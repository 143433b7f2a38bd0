/* shim: starting shims, talking with them, noticing their end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/fault.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

/* ---- settings ---- */

static void add(struct shim_settings *s, const char *text)
{
	size_t n = strlen(text) + 1;

	if (s->len + n > s->capacity) {
		s->capacity = (s->len + n) * 2;
		s->text = xrealloc(s->text, s->capacity, 1);
	}
	memcpy(s->text + s->len, text, n);
	s->len += n;
}

void settings_text(struct shim_settings *s, const char *key, const char *value)
{
	AUTO_FREE char *text = xasprintf("%s=%s", key, value);

	add(s, text);
}

void settings_number(struct shim_settings *s, const char *key, uint64_t value)
{
	char text[128];

	snprintf(text, sizeof text, "%s=%llu", key, (unsigned long long)value);
	add(s, text);
}

void settings_fd(struct shim_settings *s, const char *key, int fd)
{
	if (fd < 0)
		return;
	settings_number(s, key, (uint64_t)fd);
	s->fds = xrealloc(s->fds, s->nfds + 1, sizeof *s->fds);
	s->fds[s->nfds++] = fd;
}

void settings_take_fd(struct shim_settings *s, const char *key, int take_fd)
{
	s->owned = xrealloc(s->owned, s->nowned + 1, sizeof *s->owned);
	s->owned[s->nowned++] = take_fd;
	settings_fd(s, key, take_fd);
}

void settings_free(struct shim_settings *s)
{
	for (size_t i = 0; i < s->nowned; i++)
		close(s->owned[i]);
	free(s->owned);
	free(s->text);
	free(s->fds);
	*s = (struct shim_settings){0};
}

/* ---- the process ---- */

#define CHILD_STACK (32u << 10)

/* Deliver what has been said. Returns false when the shim was freed meanwhile. */
static bool drain(struct launch_shim *s)
{
	static char text[WIRE_TEXT_MAX + 1];
	struct wire_head head;
	int fds[WIRE_FDS_MAX];
	bool freed = false;

	while (s->control >= 0) {
		ssize_t n = wire_receive(s->control, &head, text, sizeof text, fds);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			event_free(STEAL(s->readable));
			fd_close(&s->control);
			break;
		}
		/* Only while s->on() runs; it is taken back below. */
		// cppcheck-suppress autoVariables
		s->freed = &freed;
		s->on(s->arg, &head, text, (size_t)n, fds);
		for (size_t i = 0; i < WIRE_FDS_MAX; i++)
			fd_close(&fds[i]);
		if (freed)
			return false;
		s->freed = NULL;
	}
	return true;
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct launch_shim *s = arg;

	(void)fd;
	(void)what;
	if (s->pid)
		waitpid(s->pid, NULL, 0);
	s->pid = 0;
	event_free(STEAL(s->gone));
	fd_close(&s->pidfd);
	/* What it has said before it ended counts. */
	if (drain(s))
		s->on(s->arg, NULL, NULL, 0, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct launch_shim *s = arg;

	(void)fd;
	(void)what;
	/* Its process tells the end; without one to watch the socket does. */
	if (drain(s) && s->control < 0 && !s->gone)
		s->on(s->arg, NULL, NULL, 0, NULL);
}

int fd_keep(int take_fd)
{
	int kept = take_fd < 0 ? -1 : fcntl(take_fd, F_DUPFD_CLOEXEC, KEPT_FDS);

	if (kept < 0)
		return take_fd;
	close(take_fd);
	return kept;
}

struct child {
	const char *path;
	int program;
	char *const *argv, *const *environment;
	int control;
	const struct shim_settings *settings;
};

/* Behind what the shim gets, and behind all that is not kept. */
static unsigned end_of_fds(const struct child *c)
{
	int last = c->control > c->program ? c->control : c->program;

	for (size_t i = 0; i < c->settings->nfds; i++)
		if (c->settings->fds[i] > last)
			last = c->settings->fds[i];
	return last < KEPT_FDS ? KEPT_FDS : (unsigned)last + 1;
}

/* In runtimed's memory and, until it has one of its own, with its table of descriptors. */
static int become_shim(void *arg)
{
	const struct child *c = arg;

	if (syscall(SYS_close_range, end_of_fds(c), ~0u, CLOSE_RANGE_UNSHARE) < 0 && unshare(CLONE_FILES) < 0)
		return 127;
	fcntl(c->control, F_SETFD, 0);
	for (size_t i = 0; i < c->settings->nfds; i++)
		fcntl(c->settings->fds[i], F_SETFD, 0);
	if (c->program >= 0)
		execveat(c->program, "", c->argv, c->environment, AT_EMPTY_PATH);
	else
		execve(c->path, c->argv, c->environment);
	return 127;
}

static int spawn(const char *path, int program, const char *id, int control, const struct shim_settings *settings)
{
	UNINITIALIZED _Alignas(16) char stack[CHILD_STACK];
	char number[16];
	char *const argv[] = {(char *)(uintptr_t) "pouch-shim", (char *)(uintptr_t)id, number, NULL};
	char *const environment[] = {fault_environment(), NULL};
	struct child child = {path, program, argv, environment, control, settings};

	snprintf(number, sizeof number, "%d", control);
	/* As vfork(2), but for the descriptors. */
	pid_t pid = clone(become_shim, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &child);
	return pid < 0 ? -errno : pid;
}

static void listen_to(struct launch_shim *s, int take_control)
{
	s->control = take_control;
	s->readable = event_new(s->launch->c.base, s->control, EV_READ | EV_PERSIST, on_readable, s);
	event_add(s->readable, NULL);
}

int shim_start(struct launch_shim *s, const char *id, int program, const struct shim_settings *settings, struct err *e)
{
	struct wire_head head = {.type = WIRE_PREPARE};
	int pair[2];

	s->control = s->pidfd = -1;
	if (settings->len > WIRE_TEXT_MAX)
		return err_set(e, -E2BIG, "the container has too many mounts");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "socketpair");
	AUTO_CLOSE int ours = fd_keep(pair[0]);
	AUTO_CLOSE int theirs = pair[1];
	int r = fd_set_nonblock(ours, e);
	if (r == 0) {
		r = wire_send(ours, &head, settings->text, settings->len, NULL, 0);
		if (r < 0)
			err_sys(e, r, "prepare the shim");
	}
	if (r < 0)
		return r;
	pid_t pid = spawn(s->launch->c.shim, program, id, theirs, settings);
	if (pid < 0)
		return err_sys(e, pid, "start %s", s->launch->c.shim);
	s->pid = pid;
	shim_watch(s, fd_keep((int)syscall(SYS_pidfd_open, pid, 0)));
	listen_to(s, STEAL_FD(ours));
	return 0;
}

void shim_watch(struct launch_shim *s, int take_pidfd)
{
	if (s->gone)
		event_free(s->gone);
	fd_close(&s->pidfd);
	s->pidfd = take_pidfd;
	s->gone = event_new(s->launch->c.base, s->pidfd, EV_READ, on_gone, s);
	event_add(s->gone, NULL);
}

static void address(int dir, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/shim.sock", dir);
}

int shim_listener(int dir, struct err *e)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;

	address(dir, &a);
	unlinkat(dir, "shim.sock", 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, -errno, "make the shim's socket");
	return STEAL_FD(fd);
}

int shim_connect(struct launch_shim *s, int dir, struct err *e)
{
	AUTO_CLOSE int fd = fd_keep(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	struct wire_head hello = {.type = WIRE_HELLO};
	struct sockaddr_un a;

	s->control = s->pidfd = -1;
	address(dir, &a);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return err_sys(e, -errno, "connect to the shim");
	int r = wire_send(fd, &hello, NULL, 0, NULL, 0);
	if (r < 0)
		return err_sys(e, r, "greet the shim");
	listen_to(s, STEAL_FD(fd));
	return 0;
}

int shim_send(struct launch_shim *s, const struct wire_head *head, const void *text, size_t len, int fd, struct err *e)
{
	int r = s->control < 0 ? -ESRCH : wire_send(s->control, head, text, len, &fd, fd >= 0);

	return r < 0 ? err_sys(e, r, "talk to the container's shim") : 0;
}

/* ---- those that are let go while they still serve their clients ---- */

static void orphan_free(struct orphan *o)
{
	LIST_REMOVE(o, link);
	event_free(o->gone);
	close(o->pidfd);
	free(o);
}

static void on_orphan_gone(evutil_socket_t fd, short what, void *arg)
{
	struct orphan *o = arg;

	(void)fd;
	(void)what;
	waitpid(o->pid, NULL, 0);
	orphan_free(o);
}

void orphans_free(struct launch *l)
{
	while (!LIST_EMPTY(&l->orphans))
		orphan_free(LIST_FIRST(&l->orphans));
}

static void leave(struct launch_shim *s)
{
	struct orphan *o = XNEW(struct orphan);

	o->pid = s->pid;
	o->pidfd = STEAL_FD(s->pidfd);
	o->gone = event_new(s->launch->c.base, o->pidfd, EV_READ, on_orphan_gone, o);
	event_add(o->gone, NULL);
	LIST_INSERT_HEAD(&s->launch->orphans, o, link);
}

void shim_free(struct launch_shim *s, bool kill)
{
	if (kill && s->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	if (s->readable)
		event_free(STEAL(s->readable));
	if (s->gone)
		event_free(STEAL(s->gone));
	if (s->pid && s->pidfd >= 0)
		leave(s);
	s->pid = 0;
	fd_close(&s->control);
	fd_close(&s->pidfd);
	if (s->freed)
		*s->freed = true;
	s->freed = NULL;
}
