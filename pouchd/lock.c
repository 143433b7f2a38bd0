/* One engine a directory: a locked file in it, pouchd.pid. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/times.h"
#include "lib/util.h"
#include "pouchd/supervisor.h"

/* For how long the children of a killed supervisor may take to end. */
#define LEFTOVERS_MS 20000

/* Is `pid` a running pouchd? A zombie is not. */
static bool is_supervisor(pid_t pid)
{
	char path[64], comm[32] = "";

	if (pid <= 0 || kill(pid, 0) < 0)
		return false;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, comm, sizeof comm - 1) <= 0)
		return false;
	const char *name = strchr(comm, '(');
	return name && str_starts(name, "(pouchd) ") && name[9] != 'Z';
}

static pid_t owner(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof text - 1, 0) > 0 ? (pid_t)atoi(text) : 0;
}

/* By a descriptor of its own: the one that children get cannot write. */
static int write_pid(const char *path, struct err *e)
{
	char text[16];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return err_sys(e, -errno, "write %s", path);
	return 0;
}

int lock_directory(const char *dir, struct err *e)
{
	static const struct timespec pause = {.tv_nsec = 2000000};
	AUTO_FREE char *path = xasprintf("%s/pouchd.pid", dir);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int64_t until = monotonic_ms() + LEFTOVERS_MS;

	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, -errno, "lock %s", path);
		pid_t pid = owner(fd);
		if (is_supervisor(pid))
			return err_set(e, -EBUSY, "another engine uses %s (pouchd, pid %d)", dir, (int)pid);
		if (monotonic_ms() > until)
			return err_set(e, -EBUSY, "processes of an earlier engine with %s do not end", dir);
		nanosleep(&pause, NULL);
	}
	int r = write_pid(path, e);
	return r < 0 ? r : STEAL_FD(fd);
}
