/* control: what can be asked of a running container. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

int run_must_run(const struct launch_run *run, struct err *e)
{
	return run->state == RUN_RUNNING && run->pidfd >= 0
		       ? 0
		       : err_set(e, -ESRCH, "container %.12s is not running", run->id);
}

int launch_signal(struct launch_run *run, int sig, struct err *e)
{
	int r = run_must_run(run, e);

	if (r == 0 && syscall(SYS_pidfd_send_signal, run->pidfd, sig, NULL, 0) < 0)
		r = err_sys(e, -errno, "send signal %d to container %.12s", sig, run->id);
	return r;
}

int launch_kill_all(struct launch_run *run, struct err *e)
{
	int r = run_must_run(run, e);

	/* Its first process is among them: what forks away meanwhile ends with the run. */
	if (r < 0)
		return r;
	cgroup_kill(run->cgroup, false);
	freeze_give_up(run, "was killed");
	return 0;
}

int launch_resize(struct launch_run *run, unsigned rows, unsigned columns, struct err *e)
{
	struct wire_head head = {.type = WIRE_RESIZE, .rows = rows, .columns = columns};

	return shim_send(&run->shim, &head, NULL, 0, -1, e);
}

int launch_namespace(const struct launch_run *run, const char *name, struct err *e)
{
	char path[64];

	int r = run_must_run(run, e);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "/proc/%d/ns/%s", run->pid, name);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "open the %s namespace of container %.12s", name, run->id);
	/* The pid is still the container's: else this is a stranger's namespace. */
	if (syscall(SYS_pidfd_send_signal, run->pidfd, 0, NULL, 0) < 0)
		return err_set(e, -ESRCH, "container %.12s is not running", run->id);
	return STEAL_FD(fd);
}

ssize_t launch_pids(const struct launch_run *run, pid_t **pids, struct err *e)
{
	int r = run_must_run(run, e);

	return r < 0 ? r : cgroup_pids(run->cgroup, pids, e);
}

/*
 * In a process of its own, which enters the container's mounts: a clone can only be made where they are. What the
 * container may have put in the way is not followed, and only a tmpfs is taken.
 */
static _Noreturn void clone_shm(int mounts, int root, int sock)
{
	struct wire_head head = {.type = WIRE_STATE};
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	struct statfs fs;
	int tree = -1;

	int dir = setns(mounts, CLONE_NEWNS) < 0 ? -1 : (int)syscall(SYS_openat2, root, "dev/shm", &how, sizeof how);
	if (dir >= 0 && fstatfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		tree = (int)syscall(SYS_open_tree, dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree >= 0)
		wire_send(sock, &head, NULL, 0, &tree, 1);
	_exit(0);
}

int launch_shared_memory(const struct launch_run *run, struct err *e)
{
	char path[64], text[2];
	int fds[WIRE_FDS_MAX], pair[2];
	struct wire_head head;

	AUTO_CLOSE int mounts = launch_namespace(run, "mnt", e);
	if (mounts < 0)
		return mounts;
	snprintf(path, sizeof path, "/proc/%d/root", run->pid);
	AUTO_CLOSE int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "look at /dev/shm of container %.12s", run->id);
	AUTO_CLOSE int mine = pair[0];
	AUTO_CLOSE int theirs = pair[1];
	pid_t pid = fork();
	if (pid == 0)
		clone_shm(mounts, root, theirs);
	fd_close(&theirs);
	ssize_t n = pid < 0 ? -errno : wire_receive(mine, &head, text, sizeof text, fds);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (n < 0 || fds[0] < 0)
		return err_http(e, 409, "container %.12s has no /dev/shm to share", run->id);
	return fds[0];
}

int launch_process(const struct launch_run *run, pid_t pid)
{
	char path[32], text[4096];

	snprintf(path, sizeof path, "/proc/%d", pid);
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int fd = dir < 0 ? -1 : openat(dir, "cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, text, sizeof text - 1, NULL);
	if (n < 0)
		return -ESRCH;
	text[n] = '\0';
	return strstr(text, run->cgroup) ? STEAL_FD(dir) : -ESRCH;
}

/* ---- streams ---- */

/* "ctrl-a", "ctrl-[", or one character, separated by commas. Returns the number of keys or -EINVAL. */
static int keys_parse(const char *text, unsigned char keys[32], struct err *e)
{
	int n = 0;

	if (!text)
		text = "ctrl-p,ctrl-q";
	while (*text) {
		size_t len = strcspn(text, ",");
		unsigned char c = (unsigned char)text[len == 6 ? 5 : 0];
		if (len == 6 && strncmp(text, "ctrl-", 5) == 0 && ((c >= 'a' && c <= 'z') || (c >= '@' && c <= '_')))
			c &= 0x1f;
		else if (len != 1)
			return err_http(e, 400, "Invalid detach keys (%s) provided", text);
		if (n == 31)
			return err_http(e, 400, "Invalid detach keys: too many");
		keys[n++] = c;
		text += len + (text[len] == ',');
	}
	return n;
}

int launch_detach_keys_check(const char *keys, struct err *e)
{
	unsigned char parsed[32];
	int n = keys_parse(keys, parsed, e);

	return n < 0 ? n : 0;
}

int shim_attach(struct launch_shim *s, const struct launch_attach *how, bool tty, int stream, const void *early,
		size_t len, struct err *e)
{
	struct wire_head head = {.type = WIRE_ATTACH};
	unsigned char keys[32];

	head.flags = (how->in ? WIRE_IN : 0u) | (how->out ? WIRE_OUT : 0u) | (how->err ? WIRE_ERR : 0u) |
		     (how->logs ? WIRE_LOGS : 0u) | (how->stream ? WIRE_STREAM : 0u) | (how->raw ? WIRE_RAW : 0u);
	int n = tty ? keys_parse(how->detach_keys, keys, e) : 0;
	if (n < 0)
		return n;
	if (len > WIRE_TEXT_MAX - sizeof keys)
		return err_set(e, -EMSGSIZE, "too much was sent before the stream began");
	head.nkeys = (uint32_t)n;
	AUTO_FREE char *text = xcalloc((size_t)n + len, 1);
	memcpy(text, keys, (size_t)n);
	if (len)
		memcpy(text + n, early, len);
	return shim_send(s, &head, text, (size_t)n + len, stream, e);
}

int launch_attach(struct launch_run *run, const struct launch_attach *how, int take_stream, const void *early,
		  size_t len, struct err *e)
{
	AUTO_CLOSE int stream = take_stream;

	return shim_attach(&run->shim, how, doc_true(run->config, "Tty"), stream, early, len, e);
}
