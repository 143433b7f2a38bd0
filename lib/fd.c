#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/nsfs.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MEMFD_SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define OPEN_TRIES  10000

/* -1: it is no socket. */
static int socket_is(int fd, int option)
{
	int value = -1;
	socklen_t n = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &n) == 0 ? value : -1;
}

static bool is_unix_socket(int fd, int want_type)
{
	return socket_is(fd, SO_DOMAIN) == AF_UNIX && socket_is(fd, SO_TYPE) == want_type &&
	       socket_is(fd, SO_ACCEPTCONN) == 0;
}

static bool is_inet_socket(int fd, int want_protocol, int want_listening)
{
	const int domain = socket_is(fd, SO_DOMAIN);

	return (domain == AF_INET || domain == AF_INET6) && socket_is(fd, SO_PROTOCOL) == want_protocol &&
	       socket_is(fd, SO_ACCEPTCONN) == want_listening;
}

static bool is_mode(int fd, mode_t want)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == want;
}

static bool is_pipe(int fd, int want_access)
{
	int flags = fcntl(fd, F_GETFL);

	return is_mode(fd, S_IFIFO) && flags >= 0 && (flags & O_ACCMODE) == want_access;
}

static bool is_memfd(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return is_mode(fd, S_IFREG) && seals >= 0 && (seals & MEMFD_SEALS) == MEMFD_SEALS;
}

static bool is_namespace(int fd, int clone_flag)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC)
		return false;
	return ioctl(fd, NS_GET_NSTYPE) == clone_flag;
}

static bool is_pidfd(int fd)
{
	char link[64], target[64];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, target, sizeof target - 1);
	if (n >= 0) {
		target[n] = '\0';
		return strcmp(target, "anon_inode:[pidfd]") == 0 || str_starts(target, "pidfd:");
	}
	/* No /proc in a sandbox: a pidfd accepts signal 0 by pidfd_send_signal; others are EBADF. */
	return !is_mode(fd, S_IFREG) && !is_mode(fd, S_IFDIR) && !is_mode(fd, S_IFSOCK) && !is_mode(fd, S_IFIFO);
}

static bool is_pty(int fd)
{
	unsigned int number;

	return is_mode(fd, S_IFCHR) && ioctl(fd, TIOCGPTN, &number) == 0;
}

static const struct {
	const char *name;
} kinds[FD_KINDS] = {
	[FD_STREAM] = {"stream socket"},
	[FD_PIPE_READ] = {"pipe (read)"},
	[FD_PIPE_WRITE] = {"pipe (write)"},
	[FD_MEMFD] = {"sealed memfd"},
	[FD_FILE] = {"file"},
	[FD_DIR] = {"directory"},
	[FD_NETNS] = {"network namespace"},
	[FD_USERNS] = {"user namespace"},
	[FD_PIDFD] = {"pidfd"},
	[FD_SEQPACKET] = {"seqpacket socket"},
	[FD_PTY] = {"pty"},
	[FD_UDP] = {"UDP socket"},
	[FD_TCP_LISTEN] = {"listening TCP socket"},
};

const char *fd_kind_name(enum fd_kind kind)
{
	return (unsigned)kind < FD_KINDS ? kinds[kind].name : "?";
}

int fd_check(int fd, enum fd_kind kind, struct err *e)
{
	bool ok = false;

	switch (kind) {
	case FD_STREAM:
		ok = is_unix_socket(fd, SOCK_STREAM);
		break;
	case FD_SEQPACKET:
		ok = is_unix_socket(fd, SOCK_SEQPACKET);
		break;
	case FD_PIPE_READ:
		ok = is_pipe(fd, O_RDONLY);
		break;
	case FD_PIPE_WRITE:
		ok = is_pipe(fd, O_WRONLY);
		break;
	case FD_MEMFD:
		ok = is_memfd(fd);
		break;
	case FD_FILE:
		ok = is_mode(fd, S_IFREG);
		break;
	case FD_DIR:
		ok = is_mode(fd, S_IFDIR);
		break;
	case FD_NETNS:
		ok = is_namespace(fd, CLONE_NEWNET);
		break;
	case FD_USERNS:
		ok = is_namespace(fd, CLONE_NEWUSER);
		break;
	case FD_PIDFD:
		ok = is_pidfd(fd);
		break;
	case FD_PTY:
		ok = is_pty(fd);
		break;
	case FD_UDP:
		ok = is_inet_socket(fd, IPPROTO_UDP, 0);
		break;
	case FD_TCP_LISTEN:
		ok = is_inet_socket(fd, IPPROTO_TCP, 1);
		break;
	case FD_KINDS:
		break;
	}
	return ok ? 0 : err_set(e, -EBADF, "descriptor %d is not a %s", fd, fd_kind_name(kind));
}

int fd_open_within(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve};
	unsigned tries = 0;
	long fd;

	/* Not for ever: a file under a lease says the same for as long as its holder likes. */
	do
		fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
	while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < OPEN_TRIES);
	return fd < 0 ? -errno : (int)fd;
}

int fd_make_parents(const char *path, struct err *e)
{
	AUTO_FREE char *part = xstrdup(path);

	for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(part, 0755) == 0)
			chmod(part, 0755);
		else if (errno != EEXIST)
			return err_sys(e, -errno, "create %s", part);
		*p = '/';
	}
	return 0;
}

void fd_spread(int dir)
{
	int flags;

	if (ioctl(dir, FS_IOC_GETFLAGS, &flags) < 0 || (flags & FS_TOPDIR_FL))
		return;
	flags |= FS_TOPDIR_FL;
	(void)ioctl(dir, FS_IOC_SETFLAGS, &flags);
}

int fd_set_nonblock(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, -errno, "set O_NONBLOCK");
	return 0;
}

int fd_write_all(int fd, const void *buf, size_t len, struct err *e)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_full(int fd, void *buf, size_t len, struct err *e)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = read(fd, (char *)buf + have, len - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "read");
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

int fd_memfd(const char *name, const void *data, size_t len, struct err *e)
{
	AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(e, -errno, "memfd_create");
	int r = fd_write_all(fd, data, len, e);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) < 0)
		return err_sys(e, -errno, "seal memfd");
	return STEAL_FD(fd);
}

int fd_read_file(int fd, size_t max, char **out, size_t *len, struct err *e)
{
	size_t cap = 4096, have = 0;
	AUTO_FREE char *buf = xcalloc(cap + 1, 1);

	for (;;) {
		ssize_t n = fd_read_full(fd, buf + have, cap - have, e);
		if (n < 0)
			return (int)n;
		have += (size_t)n;
		if (have > max)
			return err_set(e, -EFBIG, "file is larger than %zu bytes", max);
		if (have < cap)
			break;
		cap = cap * 2 > max ? max + 1 : cap * 2;
		buf = xrealloc(buf, cap + 1, 1);
	}
	buf[have] = '\0';
	*out = STEAL(buf);
	*len = have;
	return 0;
}
