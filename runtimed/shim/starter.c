/* starter: straight-line code up to exec of the OCI runtime, in a process whose mounts end with it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"
#include "lib/fault.h"
#include "runtimed/shim/shim.h"

static _Noreturn void fail(int sock, const struct err *e)
{
	struct wire_head head = {.type = WIRE_FAILED, .code = 128, .sig = e->status, .pid = e->code};

	wire_send(sock, &head, e->text, strlen(e->text), NULL, 0);
	_exit(1);
}

/* GO's document; the socket's end means that the start is given up. */
static int wait_for_go(int sock)
{
	static char text[WIRE_TEXT_MAX + 1];
	int fds[WIRE_FDS_MAX];
	struct wire_head head;

	if (wire_receive(sock, &head, text, sizeof text, fds) < 0 || head.type != WIRE_GO)
		_exit(1);
	return fds[0];
}

static int copy_document(int from, const char *to, struct err *e)
{
	AUTO_CLOSE int out = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	off_t at = 0;
	ssize_t n;

	if (out < 0)
		return err_sys(e, -errno, "create %s", to);
	while ((n = sendfile(out, from, &at, 1u << 30)) > 0)
		;
	return n < 0 ? err_sys(e, -errno, "write %s", to) : 0;
}

struct words {
	const char *v[80];
	size_t n;
	char text[12][96]; /* those that are made here */
	size_t ntext;
};

static void word(struct words *w, const char *text)
{
	w->v[w->n++] = text;
}

static void in_dir(struct words *w, const char *option, int dir, const char *name)
{
	char *text = w->text[w->ntext++];

	snprintf(text, sizeof w->text[0], "/proc/self/fd/%d/%s", dir, name);
	word(w, option);
	word(w, text);
}

static void command(const struct shim_args *a, struct words *w, const char *stage, int document)
{
	word(w, a->runtime);
	for (size_t i = 0; i < a->nruntime_args; i++)
		word(w, a->runtime_args[i]);
	word(w, "--root");
	word(w, a->runtime_root);
	in_dir(w, "--log", a->dir, "log");
	word(w, a->mode == MODE_EXEC ? "exec" : "run");
	word(w, "--detach");
	in_dir(w, "--pid-file", a->dir, "pid");
	if (a->tty)
		in_dir(w, "--console-socket", a->dir, "console");
	if (a->mode == MODE_EXEC) {
		word(w, "--process");
		snprintf(w->text[w->ntext], sizeof w->text[0], "/proc/self/fd/%d", document);
		word(w, w->text[w->ntext++]);
	} else {
		word(w, "--bundle");
		word(w, stage);
	}
	word(w, a->id);
	word(w, NULL);
}

void plain_begin(const int stdio[3])
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 3; i++)
		dup2(stdio[i], i);
	umask(022);
}

/* What the runtime, and by it the container's process, inherits: three descriptors, no signal settings, no secrets. */
static void make_plain(const struct shim_args *a, const int stdio[3], int document)
{
	plain_begin(stdio);
	syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
	fcntl(a->dir, F_SETFD, 0);
	for (size_t i = 0; i < a->nkeep; i++)
		fcntl(a->keep[i], F_SETFD, 0);
	if (a->mode == MODE_EXEC)
		fcntl(document, F_SETFD, 0);
}

/* The last of the look-up's words, which may hold spaces. */
static const char *home_of(const char *who)
{
	for (int i = 0; i < 3; i++)
		who += strcspn(who, " ") + 1;
	return who;
}

/* For whoever looks into a stopped container's files. */
static _Noreturn void hand_over(const struct shim_args *a, int sock, struct err *e)
{
	struct wire_head head = {.type = WIRE_STATE};
	AUTO_CLOSE int whole = stage_view(a, e);

	if (whole < 0)
		fail(sock, e);
	wire_send(sock, &head, NULL, 0, &whole, 1);
	_exit(0);
}

void starter_run(const struct shim_args *a, int sock, const int stdio[3])
{
	char who[4096], stage[256] = "/";
	AUTO_FREE char *workdir = NULL;
	struct words w = {0};
	struct wire_head head = {.type = WIRE_PREPARED, .pid = getpid()};
	struct err e = {0};
	AUTO_CLOSE int root = -1;

	if (a->mode != MODE_EXEC) {
		if (stage_build(a, stage, &e) < 0)
			fail(sock, &e);
		root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	} else if (a->nstages && stage_empty(a, stage, &e) < 0) {
		fail(sock, &e);
	}
	FAULT(start_mounted);
	if (a->mode == MODE_MOUNT)
		hand_over(a, sock, &e);
	if (a->mode == MODE_RUN && places_check(a, &workdir, &e) < 0)
		fail(sock, &e);
	if (user_lookup(a, a->mode == MODE_EXEC ? a->root : root, who, sizeof who, &e) < 0)
		fail(sock, &e);
	AUTO_FREE char *prepared = xasprintf("%s%c%s%c%s", who, 0, stage, 0, workdir ? workdir : "");
	size_t n = strlen(who) + 1 + strlen(stage) + 1 + (workdir ? strlen(workdir) : 0);
	wire_send(sock, &head, prepared, n, NULL, 0);
	int document = wait_for_go(sock);
	if (a->mode == MODE_RUN && copy_document(document, "config.json", &e) < 0)
		fail(sock, &e);
	FAULT(start_runtime);
	if (a->init >= 0)
		enter_run(a, document, home_of(who), stdio);
	/* The runtime would make it for everybody to read. */
	AUTO_CLOSE int log = openat(a->dir, "log", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)log;
	command(a, &w, stage, document);
	make_plain(a, stdio, document);
	if (a->mode == MODE_RUN && a->exec_shows)
		fcntl(sock, F_SETFD, 0);
	char *const environment[] = {
		(char *)(uintptr_t) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	if (a->program >= 0)
		execveat(a->program, "", (char *const *)(uintptr_t)w.v, environment, AT_EMPTY_PATH);
	execve(a->runtime, (char *const *)(uintptr_t)w.v, environment);
	_exit(errno == ENOENT ? 127 : 126);
}
