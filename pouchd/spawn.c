/* One child process: its program, its descriptors, an environment of ours alone. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

#define FIRST_FD 3
#define FDS_MAX	 (LISTENERS_MAX + 8)
#define ENV_MAX	 12

struct child {
	const char *program;
	char *argv[8];
	char *env[ENV_MAX + 1];
	char names[FDS_MAX * 32];
	char listen_pid[32]; /* filled in by the child */
	int fds[FDS_MAX];
	size_t nfds;
};

bool spawn_present(const struct supervisor *s, enum process_id id)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->programs, process_name(id));

	return access(path, X_OK) == 0;
}

static void add_fds(struct child *c, const struct spawn_fd *fds, size_t nfds)
{
	size_t at = (size_t)snprintf(c->names, sizeof c->names, "LISTEN_FDNAMES=");

	for (size_t i = 0; i < nfds && c->nfds < FDS_MAX; i++) {
		if (fds[i].fd < 0)
			continue;
		at += (size_t)snprintf(c->names + at, sizeof c->names - at, "%s%s", c->nfds ? ":" : "", fds[i].name);
		c->fds[c->nfds++] = fds[i].fd;
	}
}

/* Only what is listed here goes on to children. */
static size_t add_inherited(char **env, size_t n)
{
	static const char *const passed[] = {"PATH", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "POUCH_FAULTS"};

	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		if (getenv(passed[i]))
			env[n++] = xasprintf("%s=%s", passed[i], getenv(passed[i]));
	return n;
}

static void in_child(struct child *c)
{
	struct rlimit files;
	sigset_t none;

	setsid(); /* the terminal's signals are for pouchd, which ends its children in order */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* First out of the way of the numbers that they shall get. */
	for (size_t i = 0; i < c->nfds; i++)
		if ((c->fds[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, FIRST_FD + FDS_MAX)) < 0)
			_exit(126);
	for (size_t i = 0; i < c->nfds; i++)
		if (dup2(c->fds[i], FIRST_FD + (int)i) < 0)
			_exit(126);
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(126);
	snprintf(c->listen_pid, sizeof c->listen_pid, "LISTEN_PID=%d", (int)getpid());
	execve(c->program, c->argv, c->env);
	_exit(127);
}

pid_t spawn(const struct supervisor *s, enum process_id id, const struct spawn_fd *fds, size_t nfds, struct err *e)
{
	AUTO_FREE char *program = xasprintf("%s/%s", s->programs, process_name(id));
	AUTO_FREE char *name = xstrdup(process_name(id)), *root = xstrdup(s->args.root), *run = xstrdup(s->args.run);
	struct child c = {.program = program, .argv = {name, (char[]){"--root"}, root, (char[]){"--run"}, run, NULL}};
	char count[32];
	size_t n = 0;

	add_fds(&c, fds, nfds);
	snprintf(count, sizeof count, "LISTEN_FDS=%zu", c.nfds);
	c.env[n++] = count;
	c.env[n++] = c.names;
	c.env[n++] = c.listen_pid;
	size_t ours = n;
	c.env[n++] = xasprintf("NOTIFY_SOCKET=%s/ipc/notify.sock", s->args.run);
	n = add_inherited(c.env, n);
	pid_t pid = fork();
	if (pid == 0)
		in_child(&c);
	int r = pid < 0 ? err_sys(e, -errno, "fork for %s", name) : 0;
	while (n > ours)
		free(c.env[--n]);
	return r < 0 ? r : pid;
}
