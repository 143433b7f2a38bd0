/* control: what runtimed asks of the shim, and is told. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

void control_tell(struct shim *s, struct wire_head head, const char *text, size_t len, const int *fds, size_t nfds)
{
	if (s->control >= 0)
		wire_send(s->control, &head, text, len, fds, nfds);
}

void control_started(struct shim *s)
{
	struct wire_head head = {.type = WIRE_STARTED, .pid = s->init, .time = s->started_at};

	control_tell(s, head, NULL, 0, &s->init_pidfd, 1);
}

void control_exited(struct shim *s)
{
	struct wire_head head = {.type = WIRE_EXITED, .code = s->exit.code, .sig = s->exit.sig, .time = s->exit.time};

	control_tell(s, head, NULL, 0, NULL, 0);
}

void control_resize(struct shim *s, uint32_t rows, uint32_t columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

	s->args.rows = rows;
	s->args.columns = columns;
	if (s->terminal >= 0 && rows && columns)
		ioctl(s->terminal, TIOCSWINSZ, &size);
}

void control_replay(struct shim *s, struct client *c)
{
	c->log_due = (c->flags & WIRE_LOGS) && writer_behind(s);
	if ((c->flags & WIRE_LOGS) && !c->log_due)
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
		control_replay(s, c);
}

static void say_state(struct shim *s)
{
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	control_tell(s, (struct wire_head){.type = WIRE_STATE, .pid = getpid()}, NULL, 0, &self, self >= 0);
	fd_close(&self);
	if (s->shown)
		control_started(s);
	if (s->exit_sent)
		control_exited(s);
	else if (s->logger.wanted && s->logger.fd < 0)
		control_tell(s, (struct wire_head){.type = WIRE_LOGGER_LOST}, NULL, 0, NULL, 0);
}

static void control_lost(struct shim *s)
{
	fd_close(&s->control);
	/* Before GO nobody would ever say go: the starter ends by its socket. */
	if (s->starter && s->starter_sock >= 0)
		fd_close(&s->starter_sock);
}

bool control_read(struct shim *s)
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
		control_resize(s, head.rows, head.columns);
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

void control_accept(struct shim *s)
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
