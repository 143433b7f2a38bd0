/* loop: from the start of the runtime to the last byte for the last client. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/fault.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define LINE_PIECE (16u << 10) /* a line is logged in pieces of this size, as Docker does */
#define READ_SIZE  (64u << 10)
#define LINGER_MS  60000 /* a client that takes nothing for so long after the end is left */

static void tell(struct shim *s, struct wire_head head, const char *text, size_t len, const int *fds, size_t nfds)
{
	if (s->control >= 0)
		wire_send(s->control, &head, text, len, fds, nfds);
}

static void tell_started(struct shim *s)
{
	struct wire_head head = {.type = WIRE_STARTED, .pid = s->init, .time = s->started_at};

	tell(s, head, NULL, 0, &s->init_pidfd, 1);
}

static void tell_exited(struct shim *s)
{
	struct wire_head head = {.type = WIRE_EXITED, .code = s->exit.code, .sig = s->exit.sig, .time = s->exit.time};

	tell(s, head, NULL, 0, NULL, 0);
}

/* ---- output ---- */

static void logger_flush(struct shim *s)
{
	if (!shim_logger_flush(&s->logger))
		tell(s, (struct wire_head){.type = WIRE_LOGGER_LOST}, NULL, 0, NULL, 0);
}

static void log_lines(struct shim *s, enum stream i, bool end)
{
	char *bytes = s->partial[i].bytes;
	size_t have = s->partial[i].have, from = 0;
	int64_t time = now_ns();

	if (s->log.fd < 0 && !s->logger.wanted) {
		s->partial[i].have = 0;
		return;
	}
	while (from < have) {
		char *newline = memchr(bytes + from, '\n', have - from);
		size_t len = newline ? (size_t)(newline - bytes) + 1 - from : have - from;
		if (len > LINE_PIECE)
			len = LINE_PIECE;
		else if (!newline && !end)
			break;
		logfile_line(&s->log, i, bytes + from, len, time);
		shim_logger_line(&s->logger, i, bytes + from, len, time);
		from += len;
	}
	memmove(bytes, bytes + from, have - from);
	s->partial[i].have = have - from;
	logfile_flush(&s->log);
	if (s->log.rotated)
		tell(s, (struct wire_head){.type = WIRE_ROTATED}, NULL, 0, NULL, 0);
	s->log.rotated = false;
	logger_flush(s);
}

static void out_close(struct shim *s, enum stream i)
{
	if (s->partial[i].have)
		log_lines(s, i, true);
	if (s->out[i] == s->terminal) {
		s->out[i] = -1;
		return;
	}
	fd_close(&s->out[i]);
}

/* Returns whether there may be more. */
static bool out_read(struct shim *s, enum stream i)
{
	if (!s->partial[i].bytes)
		s->partial[i].bytes = xcalloc(1, READ_SIZE);
	char *to = s->partial[i].bytes + s->partial[i].have;
	ssize_t n = read(s->out[i], to, READ_SIZE - s->partial[i].have);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		out_close(s, i);
		return false;
	}
	for (struct client *c = s->clients; c; c = c->next)
		client_output(c, i, to, (size_t)n);
	s->partial[i].have += (size_t)n;
	log_lines(s, i, false);
	return true;
}

/* ---- input ---- */

static void in_close(struct shim *s)
{
	if (s->in >= 0 && s->in != s->terminal)
		fd_close(&s->in);
	s->in = -1;
	s->input.from = s->input.to = 0;
}

static void in_write(struct shim *s)
{
	while (s->in >= 0 && s->input.from < s->input.to) {
		ssize_t n = write(s->in, s->input.bytes + s->input.from, s->input.to - s->input.from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			in_close(s);
			return;
		}
		s->input.from += (size_t)n;
	}
	s->input.from = s->input.to = 0;
	if (s->stdin_end && s->in >= 0)
		in_close(s);
}

/* A client will send nothing more. */
static void client_read_end(struct shim *s, struct client *c)
{
	if (!c->reading)
		return;
	c->reading = false;
	if (s->args.stdin_once && !s->args.tty) {
		s->stdin_end = true;
		in_write(s);
	}
}

/* Into `input`, from which step() writes. Returns false when the client is to go. */
static bool client_read(struct shim *s, struct client *c)
{
	char typed[sizeof s->input.bytes - sizeof c->keys];
	ssize_t n;

	if (c->early_from < c->early_len) {
		n = (ssize_t)(c->early_len - c->early_from);
		if (n > (ssize_t)sizeof typed)
			n = sizeof typed;
		memcpy(typed, c->early + c->early_from, (size_t)n);
		c->early_from += (size_t)n;
	} else {
		n = recv(c->fd, typed, sizeof typed, MSG_DONTWAIT);
	}
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		client_read_end(s, c);
		return c->flags & (WIRE_OUT | WIRE_ERR);
	}
	ssize_t len = client_typed(c, typed, (size_t)n, s->input.bytes);
	if (len < 0) {
		tell(s, (struct wire_head){.type = WIRE_DETACHED}, NULL, 0, NULL, 0);
		c->reading = false;
		return false;
	}
	s->input.from = 0;
	s->input.to = (size_t)len;
	return true;
}

/* May a client's bytes be read now? */
static bool in_wanted(const struct shim *s, const struct client *c)
{
	return c->reading && s->started && s->in >= 0 && s->input.from == s->input.to;
}

/* ---- what runtimed asks ---- */

static void resize(struct shim *s, uint32_t rows, uint32_t columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

	s->args.rows = rows;
	s->args.columns = columns;
	if (s->terminal >= 0 && rows && columns)
		ioctl(s->terminal, TIOCSWINSZ, &size);
}

static void begin_replay(struct shim *s, struct client *c)
{
	c->log_due = false;
	if (c->flags & WIRE_LOGS)
		client_replay(c, s->args.log_dir, s->args.log_name, s->args.log_files);
}

static void attach(struct shim *s, const struct wire_head *head, const char *text, size_t len, int fd)
{
	if (fd < 0)
		return;
	struct client *c = client_new(fd, head, text, s->args.tty);

	if (len > c->nkeys && c->reading) {
		c->early_len = len - c->nkeys;
		c->early = xmemdup(text + c->nkeys, c->early_len);
	}
	if (!s->args.stdin_open)
		c->reading = false;
	c->next = s->clients;
	s->clients = c;
	c->log_due = true;
	if (s->dropped)
		begin_replay(s, c);
}

static void say_state(struct shim *s)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	tell(s, (struct wire_head){.type = WIRE_STATE, .pid = getpid()}, NULL, 0, &self, self >= 0);
	fd_close(&self);
	if (s->started)
		tell_started(s);
	if (s->exit_sent)
		tell_exited(s);
	else if (s->logger.wanted && s->logger.fd < 0)
		tell(s, (struct wire_head){.type = WIRE_LOGGER_LOST}, NULL, 0, NULL, 0);
}

static void control_lost(struct shim *s)
{
	fd_close(&s->control);
	/* Before GO nobody would ever say go: the starter ends by its socket. */
	if (s->starter && s->starter_sock >= 0)
		fd_close(&s->starter_sock);
}

/* Returns false when there was nothing to read. */
static bool control_read(struct shim *s)
{
	static char text[WIRE_TEXT_MAX + 1];
	struct wire_head head;
	int fds[WIRE_FDS_MAX];
	ssize_t n = wire_receive(s->control, &head, text, sizeof text, fds);

	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		control_lost(s);
		return false;
	}
	switch (head.type) {
	case WIRE_GO:
		if (s->starter_sock >= 0)
			wire_send(s->starter_sock, &head, NULL, 0, fds, 1);
		break;
	case WIRE_ATTACH:
		attach(s, &head, text, (size_t)n, STEAL_FD(fds[0]));
		break;
	case WIRE_RESIZE:
		resize(s, head.rows, head.columns);
		break;
	case WIRE_HELLO:
		say_state(s);
		break;
	case WIRE_LOGGER:
		if (fds[0] >= 0)
			shim_logger_take(&s->logger, STEAL_FD(fds[0]));
		break;
	default:
		break;
	}
	for (size_t i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(&fds[i]);
	return true;
}

static void control_accept(struct shim *s)
{
	int fd = accept4(s->args.listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t n = sizeof who;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || who.uid != 0) {
		close(fd);
		return;
	}
	fd_close(&s->control);
	s->control = fd;
}

/* ---- the start ---- */

/* The starter speaks before it becomes the runtime; its socket ends when it does. */
static void starter_read(struct shim *s)
{
	static char text[8192];
	struct wire_head head;
	int fds[WIRE_FDS_MAX];
	ssize_t n = wire_receive(s->starter_sock, &head, text, sizeof text, fds);

	if (n < 0) {
		fd_close(&s->starter_sock);
		return;
	}
	/* Its own mounts of what it hands over are gone before anybody has these. */
	if (head.type == WIRE_STATE)
		waitpid(s->starter, NULL, 0);
	tell(s, head, text, (size_t)n, fds, fds[0] >= 0);
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

	tell(s, (struct wire_head){.type = WIRE_FAILED, .code = code, .flags = 1}, text, n > 0 ? (size_t)n : 0, NULL,
	     0);
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
	resize(s, s->args.rows, s->args.columns);
}

static void drop(struct shim *s)
{
	int keep[] = {s->control,  s->signals, s->init_pidfd,	s->out[0],	s->out[1],	   s->in,
		      s->terminal, s->log.fd,  s->args.log_dir, s->args.listen, s->args.exit_file, s->logger.fd};
	int all[ARRAY_LEN(keep) + 256];
	size_t n = ARRAY_LEN(keep);

	memcpy(all, keep, sizeof keep);
	for (struct client *c = s->clients; c && n < ARRAY_LEN(all); c = c->next)
		all[n++] = c->fd;
	privileges_drop(s->args.uid, all, n);
	s->dropped = true;
	/* Of those that came before: files that were opened then would be closed now. */
	for (struct client *c = s->clients; c; c = c->next)
		begin_replay(s, c);
}

static void runtime_ended(struct shim *s, int status)
{
	char text[32] = "";

	s->starter = 0;
	fd_close(&s->starter_sock);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		start_failed(s, WIFEXITED(status) ? WEXITSTATUS(status) : 128);
	AUTO_CLOSE int fd = openat(s->args.dir, "pid", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!read(fd, text, sizeof text - 1);
	s->init = (pid_t)strtol(text, NULL, 10);
	if (s->init <= 0)
		start_failed(s, 128);
	s->init_pidfd = (int)syscall(SYS_pidfd_open, s->init, 0);
	if (s->args.tty)
		take_terminal(s);
	s->started = true;
	s->started_at = now_ns();
	fd_close(&fd);
	FAULT(start_created);
	drop(s);
	FAULT(start_dropped);
	tell_started(s);
}

/* ---- the end ---- */

static void init_ended(struct shim *s, int status)
{
	FAULT(exit_seen);
	s->exited = true;
	s->exit = (struct wire_exit){.magic = WIRE_MAGIC, .time = now_ns()};
	s->exit.sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	s->exit.code = s->exit.sig ? 128 + s->exit.sig : WEXITSTATUS(status);
	/* What is in the pipes is all that will come. It is read whether or not clients keep up: they get it from
	 * memory. */
	for (enum stream i = 0; i < STREAMS; i++) {
		while (s->out[i] >= 0 && out_read(s, i))
			;
		if (s->out[i] >= 0)
			out_close(s, i);
	}
	in_close(s);
	if (s->args.exit_file >= 0)
		(void)!write(s->args.exit_file, &s->exit, sizeof s->exit);
	FAULT(exit_written);
	s->exit_sent = true;
	tell_exited(s);
}

static void reap(struct shim *s)
{
	struct signalfd_siginfo info[8];
	int status;
	pid_t pid;

	while (read(s->signals, info, sizeof info) > 0)
		;
	/* Until the runtime has ended only it is waited for: its child's pid is not known before. */
	if (s->starter) {
		if (waitpid(s->starter, &status, WNOHANG) != s->starter)
			return;
		runtime_ended(s, status);
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->init && !s->exited)
			init_ended(s, status);
}

/* ---- the loop ---- */

struct polls {
	struct pollfd *v;
	size_t n, capacity;
};

static size_t watch(struct polls *p, int fd, int events)
{
	if (p->n == p->capacity) {
		p->capacity = p->capacity ? p->capacity * 2 : 16;
		p->v = xrealloc(p->v, p->capacity, sizeof *p->v);
	}
	p->v[p->n] = (struct pollfd){.fd = fd, .events = (short)events};
	return p->n++;
}

static bool clients_pending(const struct shim *s)
{
	for (const struct client *c = s->clients; c; c = c->next)
		if (client_pending(c))
			return true;
	return false;
}

static bool replay(struct shim *s, struct client *c)
{
	if (!client_replay_more(c))
		return false;
	/* The beginnings of lines that are not in the log yet. */
	for (enum stream i = 0; !c->log && i < STREAMS; i++)
		if (s->partial[i].have)
			client_send(c, i, s->partial[i].bytes, s->partial[i].have);
	return true;
}

/* It wanted what was logged so far, if anything, and has it. */
static bool has_all(const struct client *c)
{
	return !c->log && !c->log_due && !(c->flags & WIRE_STREAM) && !client_pending(c);
}

static void serve_clients(struct shim *s, const struct pollfd *p)
{
	struct client **at = &s->clients;
	struct client *c;

	for (size_t i = 0; (c = *at); i++) {
		bool stay = true;
		if (p[i].revents & (POLLOUT | POLLERR | POLLHUP))
			stay = client_flush(c) && !(p[i].revents & (POLLERR | POLLHUP) && !(p[i].revents & POLLIN));
		if (stay && in_wanted(s, c) && (c->early_from < c->early_len || p[i].revents & (POLLIN | POLLHUP)))
			stay = client_read(s, c);
		if (stay && p[i].revents & (POLLERR | POLLHUP) && !in_wanted(s, c))
			stay = false;
		if (stay && c->log && !client_pending(c))
			stay = replay(s, c);
		if (stay && !has_all(c)) {
			at = &c->next;
			continue;
		}
		client_read_end(s, c);
		*at = c->next;
		client_free(c);
	}
}

static void logger_serve(struct shim *s, int events)
{
	if (events & (POLLERR | POLLHUP)) {
		shim_logger_lose(&s->logger);
		tell(s, (struct wire_head){.type = WIRE_LOGGER_LOST}, NULL, 0, NULL, 0);
		return;
	}
	logger_flush(s);
}

/* Clients may join while the others are served: they come first in the list and have no poll entry yet. */
static void step(struct shim *s, struct polls *p)
{
	bool wait = clients_pending(s) || shim_logger_full(&s->logger), busy = false;
	size_t nclients = 0;

	p->n = 0;
	size_t control = watch(p, s->control, POLLIN);
	size_t signals = watch(p, s->signals, POLLIN);
	size_t listening = watch(p, s->args.listen, POLLIN);
	size_t starter = watch(p, s->starter_sock, POLLIN);
	/* Before the start has succeeded what stands in the pipes may be the runtime's complaint, told otherwise. */
	wait = wait || !s->started;
	size_t out = watch(p, wait ? -1 : s->out[0], POLLIN);
	size_t err = watch(p, wait ? -1 : s->out[1], POLLIN);
	watch(p, s->input.from < s->input.to ? s->in : -1, POLLOUT);
	size_t logger = watch(p, s->logger.fd, s->logger.from < s->logger.to ? POLLOUT : 0);
	size_t first = p->n;
	for (struct client *c = s->clients; c; c = c->next, nclients++) {
		bool want = in_wanted(s, c);
		busy = busy || (want && c->early_from < c->early_len) || (c->log && !client_pending(c)) || has_all(c);
		watch(p, c->fd, (want ? POLLIN : 0) | (client_pending(c) ? POLLOUT : 0));
	}
	busy = compression_step(&s->log) || busy;
	int n = poll(p->v, p->n, busy ? 0 : s->exit_sent ? LINGER_MS : -1);
	if (n < 0)
		return;
	if (n == 0 && s->exit_sent && !busy)
		exit(0);
	if (nclients)
		serve_clients(s, p->v + first);
	/* What runtimed asked before a client typed, a resize, counts when the container reads it. */
	if (p->v[control].revents || s->input.from < s->input.to)
		while (s->control >= 0 && control_read(s))
			;
	if (s->input.from < s->input.to)
		in_write(s);
	if (p->v[logger].revents)
		logger_serve(s, p->v[logger].revents);
	if (s->out[0] >= 0 && p->v[out].revents)
		out_read(s, STREAM_OUT);
	if (s->out[1] >= 0 && p->v[err].revents)
		out_read(s, STREAM_ERR);
	if (p->v[starter].revents && s->starter_sock >= 0)
		starter_read(s);
	if (p->v[signals].revents)
		reap(s);
	if (p->v[listening].revents)
		control_accept(s);
}

static bool finished(const struct shim *s)
{
	if (!s->exit_sent || (s->logger.fd >= 0 && s->logger.from < s->logger.to))
		return false;
	for (const struct client *c = s->clients; c; c = c->next)
		if (client_pending(c) || c->log)
			return false;
	return true;
}

void loop_run(struct shim *s)
{
	struct polls p = {0};

	fcntl(s->control, F_SETFL, O_NONBLOCK);
	while (!finished(s))
		step(s, &p);
	/* The next run of the container may rotate the same files. */
	compression_stop(&s->log);
	while (s->clients) {
		struct client *c = s->clients;
		s->clients = c->next;
		client_free(c);
	}
	free(p.v);
}
