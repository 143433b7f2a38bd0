#include "ipc/packet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/util.h"

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

int packet_connect(const char *path, int flags, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		return err_sys(e, -errno, "socket");
	if ((size_t)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path) >= sizeof sun.sun_path)
		return err_set(e, -ENAMETOOLONG, "%s: too long for a socket", path);
	if (connect(fd, (const struct sockaddr *)&sun, sizeof sun) < 0)
		return err_sys(e, -errno, "connect to %s", path);
	return STEAL_FD(fd);
}

int packet_send(int fd, const void *bytes, size_t len, const int *fds, size_t nfds, int flags)
{
	union control control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

void packet_close_fds(const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

static size_t collect_fds(struct msghdr *mh, int *fds)
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count && n < IPC_FDS_MAX; i++)
			memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return n;
}

ssize_t packet_receive(int fd, unsigned char *bytes, int *fds, size_t *nfds, int flags, struct err *e)
{
	union control control;
	struct iovec iov = {.iov_base = bytes, .iov_len = IPC_MESSAGE_MAX};
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t n;

	*nfds = 0;
	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, -errno, "receive");
	*nfds = collect_fds(&mh, fds);
	if (n == 0 && *nfds == 0)
		return err_set(e, -ECONNRESET, "the peer has closed the connection");
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		packet_close_fds(fds, *nfds);
		*nfds = 0;
		return err_set(e, -EBADMSG, "a packet with too many bytes or descriptors");
	}
	return n;
}
