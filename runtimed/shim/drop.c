/* drop: from root to nobody in particular, proven. */
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define FILTER_MAX 1024

void close_others(const int *keep, size_t nkeep)
{
	unsigned from = 0;

	for (;;) {
		unsigned next = ~0u;
		for (size_t i = 0; i < nkeep; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next > from)
			syscall(SYS_close_range, from, next == ~0u ? ~0u : next - 1, 0);
		if (next == ~0u)
			return;
		from = next + 1;
	}
}

/* The program is runtimed's: libseccomp, which makes it, is not linked here. */
static struct sock_fprog read_filter(int fd, struct sock_filter program[FILTER_MAX])
{
	ssize_t n = pread(fd, program, FILTER_MAX * sizeof *program, 0);

	/* One that fills the room may be longer. */
	if (n <= 0 || n % (ssize_t)sizeof *program || n == FILTER_MAX * sizeof *program)
		_exit(70);
	return (struct sock_fprog){.len = (unsigned short)((size_t)n / sizeof *program), .filter = program};
}

void privileges_drop(uid_t uid, int filter, const int *keep, size_t nkeep)
{
	struct sock_filter program[FILTER_MAX];
	const struct sock_fprog calls = read_filter(filter, program);
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2] = {{0}};

	close_others(keep, nkeep);
	/* A directory without a way out or in: what is open is all that is needed. */
	if (chroot("/proc/self/fdinfo") < 0 || chdir("/") < 0)
		_exit(70);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		_exit(70);
	/* A core would be what the container wrote. */
	if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
		_exit(70);
	if (syscall(SYS_capset, &head, caps) < 0 || syscall(SYS_capget, &head, caps) < 0 || caps[0].permitted ||
	    caps[1].permitted || setuid(0) == 0 || setgid(0) == 0 || getuid() != uid || geteuid() != uid)
		_exit(70);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &calls, 0, 0) < 0)
		_exit(70);
}
