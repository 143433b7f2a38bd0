/* shim: see shim.h. Started by runtimed as `shim ID FD`: FD is the control socket. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util.h"
#include "lib/fault.h"
#include "runtimed/shim/shim.h"

static void report(int control, const struct err *e)
{
	struct wire_head head = {.type = WIRE_FAILED, .code = 128, .sig = e->status, .pid = e->code};

	wire_send(control, &head, e->text, strlen(e->text), NULL, 0);
}

static int open_signals(struct shim *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? err_sys(e, -errno, "signalfd") : 0;
}

static int open_console(struct shim *s, struct err *e)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/console", s->args.dir);
	s->console_listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlinkat(s->args.dir, "console", 0);
	if (s->console_listen < 0 || bind(s->console_listen, (struct sockaddr *)&to, sizeof to) < 0 ||
	    listen(s->console_listen, 1) < 0)
		return err_sys(e, -errno, "make the console's socket");
	return 0;
}

/* The container's 0, 1, 2 in `theirs`; our ends in `s`. */
static int open_stdio(struct shim *s, int theirs[3], struct err *e)
{
	int p[2], null = null_open(s->args.nulls, e);

	fd_close(&s->args.nulls);
	if (null < 0)
		return null;
	theirs[0] = theirs[1] = theirs[2] = null;
	if (s->args.tty)
		return open_console(s, e);
	for (int i = 0; i < STREAMS; i++) {
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_sys(e, -errno, "pipe");
		fcntl(p[0], F_SETFL, O_NONBLOCK);
		s->out[i] = p[0];
		theirs[1 + i] = p[1];
	}
	if (s->args.stdin_open) {
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_sys(e, -errno, "pipe");
		fcntl(p[1], F_SETFL, O_NONBLOCK);
		theirs[0] = p[0];
		s->in = p[1];
	}
	/* With the host's ids shifted, the container's user could not reopen /dev/stdout. */
	for (int i = 0; i < 3; i++)
		if (theirs[i] != null && s->args.size)
			(void)!fchown(theirs[i], s->args.base, s->args.base);
	return 0;
}

static int start(struct shim *s, char *text, size_t len, struct err *e)
{
	int theirs[3] = {-1, -1, -1}, pair[2];

	int r = args_parse(text, len, &s->args, e);
	if (r < 0)
		return r;
	if (s->args.mode != MODE_MOUNT && s->args.filter < 0)
		return err_set(e, -EINVAL, "shim: no filter of system calls");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "become the reaper");
	logfile_open(&s->log, &s->args);
	shim_logger_init(&s->logger, &s->args);
	r = open_signals(s, e);
	if (r == 0)
		r = open_stdio(s, theirs, e);
	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = err_sys(e, -errno, "socketpair");
	if (r < 0)
		return r;
	if (s->args.listen >= 0 && listen(s->args.listen, 4) < 0)
		return err_sys(e, -errno, "listen");
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		starter_run(&s->args, pair[1], theirs);
	}
	if (pid < 0)
		return err_sys(e, -errno, "fork");
	close(pair[1]);
	s->starter = pid;
	s->starter_sock = pair[0];
	close(theirs[0]);
	for (int i = 1; i < 3; i++)
		if (theirs[i] != theirs[0])
			close(theirs[i]);
	/* The clones are the starter's now. */
	for (size_t i = 0; i < s->args.nlayers; i++)
		close(s->args.layers[i]);
	for (size_t i = 0; i < s->args.nmounts; i++)
		close(s->args.mounts[i]);
	fd_close(&s->args.top);
	fd_close(&s->args.program);
	fd_close(&s->args.root);
	return 0;
}

int main(int argc, char **argv)
{
	struct shim s = {.control = -1,
			 .starter_sock = -1,
			 .init_pidfd = -1,
			 .signals = -1,
			 .console_listen = -1,
			 .out = {-1, -1},
			 .in = -1,
			 .logger.fd = -1,
			 .writer.lines.fd = -1,
			 .terminal = -1};
	int fds[WIRE_FDS_MAX];
	struct wire_head head;
	struct err e = {0};

	if (argc != 3)
		return 2;
	s.control = atoi(argv[2]);
	char *text = xcalloc(1, WIRE_TEXT_MAX + 1);
	ssize_t n = wire_receive(s.control, &head, text, WIRE_TEXT_MAX + 1, fds);
	if (n < 0 || head.type != WIRE_PREPARE)
		return 2;
	/* The arguments stay; their buffer shrinks to what they need. */
	text = xrealloc(text, (size_t)n + 1, 1);

	/* A program that was run from a descriptor is called by its number. */
	prctl(PR_SET_NAME, "shim");
	FAULT(start_shim_began);
	setsid();
	if (start(&s, text, (size_t)n, &e) < 0) {
		report(s.control, &e);
		return 1;
	}
	loop_run(&s);
	return 0;
}
