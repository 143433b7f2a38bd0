/* begin: from the starter's first word to the running container. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/fault.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

void begin_show(struct shim *s)
{
	if (s->shown)
		return;
	s->shown = true;
	control_started(s);
}

/*
 * The starter speaks before it becomes the runtime. Its socket ends when it does, or, where the exec shows, when the
 * container's process becomes what it is to be: only then may it be looked at.
 */
void begin_starter(struct shim *s)
{
	static char text[8192];
	struct wire_head head;
	int fds[WIRE_FDS_MAX];
	ssize_t n = wire_receive(s->starter_sock, &head, text, sizeof text, fds);

	if (n < 0 || s->started) {
		fd_close(&s->starter_sock);
		if (s->started)
			begin_show(s);
		return;
	}
	/* Its own mounts of what it hands over are gone before anybody has these. */
	if (head.type == WIRE_STATE)
		waitpid(s->starter, NULL, 0);
	control_tell(s, head, text, (size_t)n, fds, fds[0] >= 0);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	if (head.type == WIRE_FAILED || head.type == WIRE_STATE)
		exit(head.type == WIRE_FAILED);
}

static _Noreturn void start_failed(struct shim *s, int code)
{
	char text[4096] = "";
	AUTO_CLOSE int fd = openat(s->args.dir, "log", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

	control_tell(s, (struct wire_head){.type = WIRE_FAILED, .code = code, .flags = 1}, text, n > 0 ? (size_t)n : 0,
		     NULL, 0);
	exit(1);
}

static void take_terminal(struct shim *s)
{
	int conn = accept4(s->console_listen, NULL, NULL, SOCK_CLOEXEC), fd = -1;
	char name[64];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {name, sizeof name};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

	if (conn >= 0 && recvmsg(conn, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) >= 0 && CMSG_FIRSTHDR(&m) &&
	    CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	fd_close(&conn);
	fd_close(&s->console_listen);
	unlinkat(s->args.dir, "console", 0);
	if (fd < 0)
		return;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	s->terminal = s->out[STREAM_OUT] = fd;
	if (s->args.stdin_open)
		s->in = fd;
	control_resize(s, s->args.rows, s->args.columns);
}

static void drop(struct shim *s)
{
	writer_start(s);
	int keep[] = {s->control,	  s->signals,	  s->init_pidfd,     s->out[0],
		      s->out[1],	  s->in,	  s->terminal,	     s->log.fd,
		      s->args.log_dir,	  s->args.listen, s->args.exit_file, s->logger.fd,
		      s->writer.lines.fd, s->starter_sock};
	int all[ARRAY_LEN(keep) + 256];
	size_t n = ARRAY_LEN(keep);

	memcpy(all, keep, sizeof keep);
	for (struct client *c = s->clients; c && n < ARRAY_LEN(all); c = c->next)
		all[n++] = c->fd;
	privileges_drop(s->args.uid, s->args.filter, all, n);
	s->dropped = true;
	/* Of those that came before: files that were opened then would be closed now. */
	for (struct client *c = s->clients; c; c = c->next)
		control_replay(s, c);
}

void begin_ended(struct shim *s, int status)
{
	char text[32] = "";

	s->starter = 0;
	if (s->args.mode != MODE_RUN || !s->args.exec_shows)
		fd_close(&s->starter_sock);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		start_failed(s, WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	AUTO_CLOSE int fd = openat(s->args.dir, "pid", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		(void)!read(fd, text, sizeof text - 1);
	s->init = (pid_t)strtol(text, NULL, 10);
	if (s->init <= 0)
		start_failed(s, 128);
	if (s->args.mode != MODE_RUN)
		dprintf(fd, " %llu", (unsigned long long)wire_began(s->init));
	s->init_pidfd = (int)syscall(SYS_pidfd_open, s->init, 0);
	if (s->args.tty)
		take_terminal(s);
	s->started = true;
	s->started_at = now_ns();
	fd_close(&fd);
	FAULT(start_created);
	drop(s);
	FAULT(start_dropped);
	if (s->starter_sock < 0)
		begin_show(s);
}
