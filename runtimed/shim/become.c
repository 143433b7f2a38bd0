/*
 * become: the process that an exec has made in the container, from all power over it to the command. What it finds here
 * is the container's: no path is believed, no library loaded, and the engine's memory stays untraceable until
 * execve(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* With errno, in the words that launch/trouble.c knows from the runtime. */
static _Noreturn __attribute__((format(printf, 2, 3))) void fail(const struct become *b, const char *format, ...)
{
	char text[ERR_TEXT_MAX];
	const char *reason = strerror(errno);
	va_list list;

	va_start(list, format);
	int n = vsnprintf(text, sizeof text, format, list);
	va_end(list);
	n = n < (int)sizeof text ? n : (int)sizeof text - 1;
	n += snprintf(text + n, sizeof text - (size_t)n, ": %s", reason);
	(void)!write(b->failure, text, strlen(text));
	_exit(1);
}

/* A change of ids or capabilities may make it traceable again, where fs.suid_dumpable says so. */
static void stay_untraceable(const struct become *b)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail(b, "be untraceable");
}

/*
 * "0" is the writer. One thread that moves itself by v1's `tasks` waits for nobody; moving somebody else, or by
 * cgroup.procs, waits for a grace period of the kernel, some milliseconds. Nor does the pids limit stand in the way.
 */
static void join_cgroups(const struct become *b)
{
	for (size_t i = 0; i < b->ncgroups; i++) {
		if (write(b->cgroups[i], "0", 1) < 0)
			fail(b, "join the container's cgroup");
		close(b->cgroups[i]);
	}
}

/* ---- the terminal ---- */

/* A master of a terminal, not what the container has put in its place. */
static int open_master(const struct become *b)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), unlock = 0;
	struct stat st;

	if (fd < 0)
		fail(b, "open /dev/ptmx");
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) != 5 || minor(st.st_rdev) != 2) {
		errno = ENOTTY;
		fail(b, "open /dev/ptmx");
	}
	if (ioctl(fd, TIOCSPTLCK, &unlock) < 0)
		fail(b, "unlock the terminal");
	return fd;
}

static void send_terminal(const struct become *b, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control = {.align = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {(char *)(uintptr_t) "/dev/ptmx", 9};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

	memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
	if (sendmsg(b->console, &m, MSG_NOSIGNAL) < 0)
		fail(b, "hand over the terminal");
	close(b->console);
}

static void take_terminal(const struct become *b)
{
	const struct winsize size = {.ws_row = b->rows, .ws_col = b->columns};
	int master = open_master(b);
	/* By its number the container could have another file there. */
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (slave < 0)
		fail(b, "open the terminal");
	/* The command may ask for it at once. */
	if (b->rows && b->columns && ioctl(slave, TIOCSWINSZ, &size) < 0)
		fail(b, "set the terminal's size");
	send_terminal(b, master);
	close(master);
	for (int i = 0; i < 3; i++)
		dup2(slave, i);
	close(slave);
	if (ioctl(0, TIOCSCTTY, 0) < 0)
		fail(b, "make the terminal the controlling one");
}

/* So that who it becomes may open /dev/stdout anew. */
static void own_streams(const struct become *b)
{
	struct stat st;

	for (int i = 0; i < 3; i++)
		if (fstat(i, &st) == 0 && (S_ISFIFO(st.st_mode) || b->tty))
			(void)!fchown(i, b->process->uid, b->tty ? (gid_t)-1 : b->process->gid);
}

/* ---- who it is ---- */

static void set_capabilities(const struct become *b, uint64_t mask)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{0}};

	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(mask >> 32 * i);
	if (syscall(SYS_capset, &head, data) < 0)
		fail(b, "set the capabilities");
	stay_untraceable(b);
}

static void set_ids(const struct become *b)
{
	const struct process *p = b->process;
	gid_t groups[USER_GROUPS_MAX];

	for (size_t i = 0; i < p->ngroups; i++)
		groups[i] = p->groups[i];
	if (setgroups(p->ngroups, groups) < 0)
		fail(b, "set the groups");
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if ((cap >= 64 || !(p->bounding >> cap & 1)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			fail(b, "bound the capabilities");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 ||
	    setresuid(p->uid, p->uid, p->uid) < 0)
		fail(b, "become user %u, group %u", p->uid, p->gid);
	stay_untraceable(b);
}

/* The container's root, where that is not the host's. */
static void become_root(const struct become *b)
{
	if (b->own_ids && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		fail(b, "become the container's root");
	stay_untraceable(b);
}

static void filter_calls(const struct become *b)
{
	struct sock_fprog program = {.len = (unsigned short)b->ncalls,
				     .filter = (struct sock_filter *)(uintptr_t)b->calls};

	/* The flag is the runtime's for the container, too: the filter alone changes nothing about speculation. */
	if (b->calls && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
		fail(b, "set the filter of system calls");
}

/* Without no-new-privileges a filter needs a capability; then giving that up goes through the filter. */
static void give_up(const struct become *b)
{
	const struct process *p = b->process;

	if (p->no_new_privileges) {
		set_capabilities(b, p->capabilities);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
			fail(b, "set no-new-privileges");
		filter_calls(b);
		return;
	}
	if (b->calls) {
		set_capabilities(b, p->capabilities | 1ull << CAP_SYS_ADMIN);
		filter_calls(b);
	}
	set_capabilities(b, p->capabilities);
}

/* ---- where, and what ---- */

static void check_directory(const struct become *b)
{
	char path[4096];

	/* The system call's own words: "(unreachable)/…" is not of this root, nor, perhaps, one without a name. */
	if (syscall(SYS_getcwd, path, sizeof path) < 0 || path[0] != '/') {
		errno = ENOENT;
		fail(b, "the working directory is outside of the container");
	}
}

static const char *search_path(const struct process *p)
{
	for (size_t i = 0; i < p->nenv; i++)
		if (str_starts(p->env[i], "PATH="))
			return p->env[i] + strlen("PATH=");
	return DEFAULT_PATH;
}

static bool executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The command's file: as given, or of the first directory of PATH that has it. */
static const char *find_command(const struct become *b, char found[4096])
{
	const char *name = b->process->args[0], *at = search_path(b->process);
	struct stat st;

	if (strchr(name, '/')) {
		if (stat(name, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
			fail(b, "executable file `%.256s` not found in $PATH", name);
		return name;
	}
	while (*name) {
		size_t len = strcspn(at, ":");
		if (snprintf(found, 4096, "%.*s/%s", len ? (int)len : 1, len ? at : ".", name) < 4096 &&
		    executable(found))
			return found;
		if (!at[len])
			break;
		at += len + 1;
	}
	errno = ENOENT;
	fail(b, "executable file `%.256s` not found in $PATH", name);
}

void become_run(const struct become *b)
{
	const struct process *p = b->process;
	char found[4096];

	join_cgroups(b);
	setsid();
	become_root(b);
	if (b->tty)
		take_terminal(b);
	own_streams(b);
	/* What its root may enter and the user may not, and the other way round: Docker tries both. */
	bool there = chdir(p->cwd) == 0;
	set_ids(b);
	if (!there && chdir(p->cwd) < 0)
		fail(b, "chdir `%.256s`", p->cwd);
	check_directory(b);
	const char *file = find_command(b, found);
	give_up(b);
	execve(file, (char *const *)(uintptr_t)p->args, (char *const *)(uintptr_t)p->env);
	fail(b, "exec container process `%.256s`", file);
}
