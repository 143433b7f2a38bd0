/* READY=1 of the children: sd_notify(3) datagrams, whose sender the kernel names. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

/* The sender's pid, 0 when the kernel does not say. */
static pid_t sender(struct msghdr *mh)
{
	struct ucred cred;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof cred);
			return cred.pid;
		}
	return 0;
}

static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncmp(p, line, n) == 0 && (p[n] == '\0' || p[n] == '\n'))
			return true;
	return false;
}

static void on_notify(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	char text[1024];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;

	(void)what;
	for (;;) {
		struct iovec iov = {.iov_base = text, .iov_len = sizeof text - 1};
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
		ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		text[n] = '\0';
		struct service *v = service_by_pid(s, sender(&mh));
		if (v && has_line(text, "READY=1"))
			service_ready(v);
		if (v && has_line(text, "STOPPING=1"))
			service_leaves(v);
	}
}

int notify_init(struct supervisor *s, struct err *e)
{
	s->notify_fd = socket_notify(s->args.run, e);
	if (s->notify_fd < 0)
		return s->notify_fd;
	s->notify = event_new(s->base, s->notify_fd, EV_READ | EV_PERSIST, on_notify, s);
	event_add(s->notify, NULL);
	return 0;
}
