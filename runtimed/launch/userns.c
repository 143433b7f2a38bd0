/* userns: the pair of a user namespace and a network namespace inside of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

struct birth {
	int join_user;
	bool net;
	int done;      /* written when the namespaces are there, or cannot be */
	int wanted[2]; /* a pipe that says nothing; it ends when the child is not needed, or its parent has died */
};

/* Without what running containers keep open, which may be thousands. */
static bool own_table(const struct birth *b)
{
	const int needed[] = {KEPT_FDS - 1, b->join_user, b->done, b->wanted[0], b->wanted[1]};
	int last = 0;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		last = needed[i] > last ? needed[i] : last;
	return syscall(SYS_close_range, (unsigned)last + 1, ~0u, CLOSE_RANGE_UNSHARE) == 0 || unshare(CLONE_FILES) == 0;
}

/* Runs in our memory, with a stack of its own, and soon with a descriptor table of its own. */
__attribute__((noreturn)) static int child(void *arg)
{
	struct birth *b = arg;
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	char c = 5;

	if (!own_table(b)) {
		(void)!write(b->done, &c, 1);
		_exit(0);
	}
	c = 1;
	if (b->join_user >= 0 && setns(b->join_user, CLONE_NEWUSER) < 0)
		c = 2;
	else if (b->join_user >= 0 && b->net && unshare(CLONE_NEWNET) < 0)
		c = 3;
	if (c == 1 && b->net) {
		int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (s < 0 || ioctl(s, SIOCSIFFLAGS, &lo) < 0)
			c = 4;
		close(s);
	}
	(void)!write(b->done, &c, 1);
	/* Our copies of the parent's descriptors would keep its clients' connections open if we outlived it. */
	close(b->wanted[1]);
	while (read(b->wanted[0], &c, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

static int write_map(int proc, const char *name, const struct launch_ids *ids, struct err *e)
{
	AUTO_CLOSE int fd = openat(proc, name, O_WRONLY | O_CLOEXEC);
	char text[64];

	int n = snprintf(text, sizeof text, "0 %u %u\n", ids->base, ids->size);
	if (fd < 0)
		return err_sys(e, -errno, "open %s of a new user namespace", name);
	return fd_write_all(fd, text, (size_t)n, e) < 0 ? err_prefix(e, "write %s", name) : 0;
}

static int collect(pid_t pid, const struct launch_ids *ids, int flags, bool net, int *user, int *net_fd, struct err *e)
{
	char path[40];
	int r = 0;

	snprintf(path, sizeof path, "/proc/%d", pid);
	AUTO_CLOSE int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return err_sys(e, -errno, "open %s", path);
	if (flags & CLONE_NEWUSER) {
		r = write_map(proc, "uid_map", ids, e);
		if (r == 0)
			r = write_map(proc, "gid_map", ids, e);
		if (r == 0 && (*user = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC)) < 0)
			r = err_sys(e, -errno, "open a new user namespace");
	}
	if (r == 0 && net && (*net_fd = openat(proc, "ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		r = err_sys(e, -errno, "open a new network namespace");
	return r;
}

/* What the child says: a step that failed, or 1; 0 when it has died. */
static char wait_for_word(int done, int pidfd)
{
	struct pollfd p[] = {{.fd = done, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
	char c = 0;

	while (poll(p, ARRAY_LEN(p), -1) < 0 && errno == EINTR)
		;
	return (p[0].revents & POLLIN) && read(done, &c, 1) == 1 ? c : 0;
}

int namespaces_make(const struct launch_ids *ids, bool net, int join_user, int *user, int *net_fd, struct err *e)
{
	/* One at a time: only the thread of the event loop comes here. */
	static char stack[16384] __attribute__((aligned(16)));
	int flags = (ids->size && join_user < 0 ? CLONE_NEWUSER : 0) | (net && join_user < 0 ? CLONE_NEWNET : 0);
	int p[2], pidfd = -1;

	*user = *net_fd = -1;
	if (!flags && !net)
		return 0;
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	AUTO_CLOSE int in = p[0];
	AUTO_CLOSE int out = p[1];
	struct birth b = {.join_user = join_user, .net = net, .done = out};
	if (pipe2(b.wanted, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	AUTO_CLOSE int wanted = b.wanted[0];
	pid_t pid =
		clone(child, stack + sizeof stack, CLONE_VM | CLONE_FILES | CLONE_PIDFD | flags | SIGCHLD, &b, &pidfd);
	int error = errno;
	AUTO_CLOSE int watched = pidfd;
	if (pid < 0) {
		close(b.wanted[1]);
		return err_sys(e, -error, "make namespaces");
	}
	int r = 0;
	char c = wait_for_word(in, watched);
	if (c != 1)
		r = err_set(e, -EIO, "making namespaces failed (step %d)", c);
	if (r == 0)
		r = collect(pid, ids, flags, net, user, net_fd, e);
	close(b.wanted[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0) {
		fd_close(user);
		fd_close(net_fd);
	}
	return r;
}
