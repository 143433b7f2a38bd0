#include "runtimed/launch/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"

#define STAT_BEGAN 22 /* of /proc/PID/stat, proc(5); the name, which may have spaces, is the second */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
};

int wire_send(int fd, const struct wire_head *head, const void *text, size_t len, const int *fds, size_t nfds)
{
	struct wire_head h = *head;
	struct iovec iov[2] = {{&h, sizeof h}, {(void *)(uintptr_t)text, len}};
	union control control = {0};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	h.magic = WIRE_MAGIC;
	if (len > WIRE_TEXT_MAX || nfds > WIRE_FDS_MAX)
		return -EMSGSIZE;
	if (nfds) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){CMSG_LEN(nfds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	for (;;) {
		if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

static void take_fds(struct msghdr *m, int fds[WIRE_FDS_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (n < WIRE_FDS_MAX)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t wire_receive(int fd, struct wire_head *head, char *text, size_t size, int fds[WIRE_FDS_MAX])
{
	struct iovec iov[2] = {{head, sizeof *head}, {text, size - 1}};
	union control control;
	struct msghdr m = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n;

	for (size_t i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = -1;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	take_fds(&m, fds);
	if ((size_t)n < sizeof *head || head->magic != WIRE_MAGIC || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (size_t i = 0; i < WIRE_FDS_MAX; i++)
			fd_close(&fds[i]);
		return -EBADMSG;
	}
	n -= (ssize_t)sizeof *head;
	text[n] = '\0';
	return n;
}

uint64_t wire_began(pid_t pid)
{
	char path[32], text[1024];

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	const char *at = strrchr(text, ')');
	for (int field = 2; at && field < STAT_BEGAN; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}
