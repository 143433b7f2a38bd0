/*
 * enter: an exec without a runtime. This process prepares outside what needs the engine's power, enters the container
 * by the descriptor of its process, and has a child there that becomes the command (become.c).
 *
 * The child is the first to be seen in the container. It cannot be traced or looked into from there, its program is a
 * sealed copy, and of the engine's it holds nothing but the doors of the container's own cgroups, until it has gone
 * through them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define DOCUMENT_MAX (16u << 20)
/* The time namespace is never the container's own. */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWCGROUP)

struct entry {
	const struct shim_args *args;
	struct process process;
	struct become become;
	struct sock_filter calls[BPF_MAXINSNS];
	int pid_file, log;
	int failure[2];
};

/* Where begin.c looks for a runtime's complaint. */
static _Noreturn void fail(const struct entry *en, const char *text)
{
	(void)!write(en->log, text, strlen(text));
	_exit(1);
}

static _Noreturn void fail_sys(const struct entry *en, const char *what)
{
	struct err e;

	err_sys(&e, -errno, "%s", what);
	fail(en, e.text);
}

/* ---- outside, with the engine's power ---- */

static void open_files(struct entry *en)
{
	const int dir = en->args->dir;

	en->log = openat(dir, "log", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	en->pid_file = openat(dir, "pid", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	if (en->log < 0 || en->pid_file < 0)
		_exit(1);
}

static void read_process(struct entry *en, int document, const char *home)
{
	struct process *p = &en->process;
	struct err e;
	char *text;
	size_t len;
	bool has_home = false;

	/* As its writer has left it, it stands at its end. */
	lseek(document, 0, SEEK_SET);
	if (fd_read_file(document, DOCUMENT_MAX, &text, &len, &e) < 0 || process_parse(text, len, p, &e) < 0)
		fail(en, e.text);
	for (size_t i = 0; i < p->nenv; i++)
		has_home = has_home || str_starts(p->env[i], "HOME=");
	if (!has_home)
		p->env[p->nenv++] = xasprintf("HOME=%s", home);
}

static void read_calls(struct entry *en)
{
	if (en->args->calls < 0)
		return;
	ssize_t n = pread(en->args->calls, en->calls, sizeof en->calls, 0);
	if (n <= 0 || n % (ssize_t)sizeof *en->calls)
		fail(en, "the container's filter of system calls cannot be read");
	en->become.calls = en->calls;
	en->become.ncalls = (size_t)n / sizeof *en->calls;
}

/* Where begin.c takes the terminal from. */
static void connect_console(struct entry *en)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	en->become.console = -1;
	if (!en->args->tty)
		return;
	snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/console", en->args->dir);
	en->become.console = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (en->become.console < 0 || connect(en->become.console, (struct sockaddr *)&to, sizeof to) < 0)
		fail_sys(en, "connect to the console's socket");
}

/* What a process in a user namespace could no longer raise. */
static void set_limits(struct entry *en)
{
	const struct process *p = &en->process;

	if (p->oom_score) {
		AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, p->oom_score, strlen(p->oom_score)) < 0)
			fail_sys(en, "set the OOM score");
	}
	for (size_t i = 0; i < p->nlimits; i++) {
		char *at;
		int resource = (int)strtol(p->limits[i], &at, 10);
		struct rlimit limit = {.rlim_cur = strtoull(at, &at, 10)};
		limit.rlim_max = strtoull(at, NULL, 10);
		if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
			fail_sys(en, "set a resource limit");
	}
}

/* The session's keys are the engine's: the command gets a keyring of its own, as a runtime would give it. */
static void leave_keyring(const struct entry *en)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		fail_sys(en, "leave the session's keyring");
}

static void untraceable(const struct entry *en)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail_sys(en, "be untraceable");
}

/* ---- in ---- */

static void keep_only(const struct entry *en)
{
	int keep[CGROUPS_MAX + 16];
	size_t n = 0;

	for (int i = 0; i < 3; i++)
		keep[n++] = i;
	for (size_t i = 0; i < en->args->ncgroups; i++)
		keep[n++] = en->args->cgroups[i];
	keep[n++] = en->args->init;
	keep[n++] = en->become.console;
	keep[n++] = en->failure[0];
	keep[n++] = en->failure[1];
	keep[n++] = en->pid_file;
	keep[n++] = en->log;
	close_others(keep, n);
	/* Those that came by inheritance, too. */
	for (size_t i = 3; i < n; i++)
		fcntl(keep[i], F_SETFD, FD_CLOEXEC);
}

/* Failures that are the container's end have its name. */
static _Noreturn void fail_inside(const struct entry *en, const char *what)
{
	struct pollfd init = {.fd = en->args->init, .events = POLLIN};
	int code = errno;

	if (poll(&init, 1, 0) == 1)
		fail(en, "the container has ended");
	errno = code;
	fail_sys(en, what);
}

static _Noreturn void child(struct entry *en)
{
	close(en->args->init);
	close(en->pid_file);
	close(en->log);
	close(en->failure[0]);
	become_run(&en->become);
}

/* The pipe ends without a word when the command runs. */
static _Noreturn void parent(const struct entry *en, pid_t pid)
{
	char text[ERR_TEXT_MAX], number[16];

	close(en->failure[1]);
	ssize_t n = read(en->failure[0], text, sizeof text - 1);
	if (n > 0) {
		text[n] = '\0';
		waitpid(pid, NULL, 0);
		fail(en, text);
	}
	int len = snprintf(number, sizeof number, "%d", (int)pid);
	_exit(write(en->pid_file, number, (size_t)len) == len ? 0 : 1);
}

void enter_run(const struct shim_args *a, int document, const char *home, const int stdio[3])
{
	static struct entry entry;
	struct entry *en = &entry;

	en->args = a;
	en->become = (struct become){.process = &en->process,
				     .cgroups = a->cgroups,
				     .ncgroups = a->ncgroups,
				     .own_ids = a->size,
				     .tty = a->tty,
				     .rows = (unsigned short)a->rows,
				     .columns = (unsigned short)a->columns};
	open_files(en);
	read_process(en, document, home);
	read_calls(en);
	connect_console(en);
	plain_begin(stdio);
	if (pipe2(en->failure, O_CLOEXEC) < 0)
		fail_sys(en, "pipe");
	en->become.failure = en->failure[1];
	keep_only(en);
	set_limits(en);
	leave_keyring(en);
	/* Before anything of the container can see this program's memory; setns(2) may take it back (fs.suid_dumpable).
	 */
	untraceable(en);
	if (setns(a->init, NAMESPACES | (a->size ? CLONE_NEWUSER : 0)) < 0)
		fail_inside(en, "enter the container's namespaces");
	untraceable(en);
	pid_t pid = fork();
	if (pid == 0)
		child(en);
	if (pid < 0)
		fail_inside(en, "fork in the container");
	parent(en, pid);
}
