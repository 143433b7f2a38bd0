#include "lib/notify.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/util.h"

int notify_open(const char *path, struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof sun.sun_path)
		return err_set(e, -ENAMETOOLONG, "NOTIFY_SOCKET is empty or longer than %zu bytes",
			       sizeof sun.sun_path - 1);
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, -errno, "socket for NOTIFY_SOCKET");
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	if (connect(fd, (const struct sockaddr *)&sun, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		return err_sys(e, -errno, "connect to NOTIFY_SOCKET %s", path);
	return STEAL_FD(fd);
}

void notify_send(int fd, const char *state)
{
	struct iovec iov = {.iov_base = (char *)(uintptr_t)state, .iov_len = strlen(state)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd < 0)
		return;
	while (sendmsg(fd, &mh, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}
