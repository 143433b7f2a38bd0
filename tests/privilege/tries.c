/* What a taken-over process would try: files, processes, sockets, power. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/util.h"
#include "tests/privilege/probe.h"

static int outcome(long r)
{
	return r < 0 ? -errno : 0;
}

static int opens(const char *path, int flags)
{
	return outcome(openat(AT_FDCWD, path, flags | O_CLOEXEC, 0600));
}

/* ---- files ---- */

static int open_shadow(const struct outside *o)
{
	(void)o;
	return opens("/etc/shadow", O_RDONLY);
}

static int open_program(const struct outside *o)
{
	(void)o;
	return opens("/bin/sh", O_RDONLY);
}

static int open_engine_root(const struct outside *o)
{
	char path[200];

	snprintf(path, sizeof path, "%s/pouchd.pid", o->root);
	return opens(path, O_RDONLY);
}

/* Another's slice: the state of a process that is not this one. */
static int open_other_state(const struct outside *o)
{
	int r = -ENOENT;

	for (enum process_id id = 1; id < PROC_LIMIT; id++) {
		char path[200];

		if (id == o->self || !process_name(id))
			continue;
		snprintf(path, sizeof path, "%s/%s", o->root, process_name(id));
		if ((r = opens(path, O_RDONLY | O_DIRECTORY)) == 0)
			return 0;
	}
	return r;
}

static int make_file_in_root(const struct outside *o)
{
	(void)o;
	return opens("/probe", O_CREAT | O_WRONLY);
}

static int make_file_in_tmp(const struct outside *o)
{
	(void)o;
	return opens("/tmp/pouch-probe", O_CREAT | O_WRONLY);
}

/* A directory that is still open from before, and ".." of it. */
static int climb_out(const struct outside *o)
{
	(void)o;
	for (int fd = 0; fd < 1024; fd++)
		if (openat(fd, "../../../../../../../../bin/sh", O_RDONLY | O_CLOEXEC) >= 0)
			return 0;
	return -errno;
}

static int read_victims_environment(const struct outside *o)
{
	char path[64];

	snprintf(path, sizeof path, "%d/environ", (int)o->victim);
	for (int fd = 3; fd < 1024; fd++)
		if (openat(fd, path, O_RDONLY | O_CLOEXEC) >= 0)
			return 0;
	return -errno;
}

static int enter_victims_root(const struct outside *o)
{
	char path[64];

	snprintf(path, sizeof path, "%d/root/etc", (int)o->victim);
	for (int fd = 3; fd < 1024; fd++)
		if (openat(fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0)
			return 0;
	return -errno;
}

static int make_device(const struct outside *o)
{
	(void)o;
	if (mknodat(AT_FDCWD, "/tmp/pouch-probe-device", S_IFBLK | 0600, makedev(254, 0)) < 0)
		return -errno;
	return 0;
}

static int open_disk(const struct outside *o)
{
	(void)o;
	return opens("/dev/vda", O_RDONLY);
}

/* ---- processes ---- */

static int make_process(const struct outside *o)
{
	(void)o;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static int make_process_by_vfork(const struct outside *o)
{
	(void)o;
	long pid = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static int run_program(const struct outside *o)
{
	(void)o;
	return outcome(execl("/bin/true", "true", NULL));
}

static int run_memory(const struct outside *o)
{
	char *const argv[] = {(char[]){"x"}, NULL};
	int fd = memfd_create("x", 0);

	(void)o;
	return outcome(syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH));
}

static int trace(const struct outside *o)
{
	return outcome(ptrace(PTRACE_ATTACH, o->victim, NULL, NULL));
}

static int read_memory(const struct outside *o)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {o->victim_memory, 1};

	return outcome(process_vm_readv(o->victim, &here, 1, &there, 1, 0));
}

static int signal_victim(const struct outside *o)
{
	return outcome(kill(o->victim, 0));
}

static int take_victims_descriptor(const struct outside *o)
{
	int pidfd = (int)syscall(SYS_pidfd_open, o->victim, 0);

	return pidfd < 0 ? -errno : outcome(syscall(SYS_pidfd_getfd, pidfd, 0, 0));
}

static int make_code(const struct outside *o)
{
	(void)o;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -errno : 0;
}

static int turn_data_into_code(const struct outside *o)
{
	(void)o;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return outcome(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

/* ---- sockets ---- */

static int connect_tcp(const struct outside *o)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(o->tcp_port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : outcome(connect(fd, (const struct sockaddr *)&in, sizeof in));
}

static int send_udp(const struct outside *o)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)o;
	return fd < 0 ? -errno : outcome(sendto(fd, "x", 1, 0, (const struct sockaddr *)&in, sizeof in));
}

static int raw_socket(const struct outside *o)
{
	(void)o;
	return outcome(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

static int packet_socket(const struct outside *o)
{
	(void)o;
	return outcome(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int kernel_crypto(const struct outside *o)
{
	(void)o;
	return outcome(socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

static int connect_abstract(const struct outside *o)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = strlen(o->abstract);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(sun.sun_path + 1, o->abstract, n);
	return outcome(connect(fd, (const struct sockaddr *)&sun,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)));
}

static int connect_stream(const struct outside *o)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", o->stream);
	return outcome(connect(fd, (const struct sockaddr *)&sun, sizeof sun));
}

static int listen_tcp(const struct outside *o)
{
	(void)o;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : outcome(listen(fd, 1));
}

/* ---- power ---- */

static int become_root(const struct outside *o)
{
	(void)o;
	return outcome(syscall(SYS_setresuid, 0, 0, 0));
}

static int join_root_group(const struct outside *o)
{
	(void)o;
	return outcome(syscall(SYS_setgroups, 1, &(gid_t){0}));
}

static int user_namespace(const struct outside *o)
{
	(void)o;
	return outcome(unshare(CLONE_NEWUSER));
}

static int mount_tmpfs(const struct outside *o)
{
	(void)o;
	return outcome(mount("x", "/", "tmpfs", 0, NULL));
}

static int change_root(const struct outside *o)
{
	(void)o;
	return outcome(chroot("/"));
}

static int raise_limit(const struct outside *o)
{
	struct rlimit files = {RLIM_INFINITY, RLIM_INFINITY};

	(void)o;
	return outcome(setrlimit(RLIMIT_NPROC, &files));
}

static int limit_victim(const struct outside *o)
{
	struct rlimit files = {0, 0};

	return outcome(prlimit(o->victim, RLIMIT_CORE, &files, NULL));
}

#ifdef __x86_64__
/* execve by the other architecture's door: its number is another's there. */
static int other_architecture(const struct outside *o)
{
	long r;

	(void)o;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L /* getpid */) : "memory");
	return r < 0 ? (int)r : 0;
}

static int x32(const struct outside *o)
{
	(void)o;
	return outcome(syscall(0x40000000L | SYS_getpid));
}
#endif

const struct try tries[] = {
	{"open_shadow", open_shadow},
	{"open_program", open_program},
	{"open_engine_root", open_engine_root},
	{"open_other_state", open_other_state},
	{"make_file_in_root", make_file_in_root},
	{"make_file_in_tmp", make_file_in_tmp},
	{"climb_out", climb_out},
	{"read_victims_environment", read_victims_environment},
	{"enter_victims_root", enter_victims_root},
	{"make_device", make_device},
	{"open_disk", open_disk},
	{"make_process", make_process},
	{"make_process_by_vfork", make_process_by_vfork},
	{"run_program", run_program},
	{"run_memory", run_memory},
	{"trace", trace},
	{"read_memory", read_memory},
	{"signal_victim", signal_victim},
	{"take_victims_descriptor", take_victims_descriptor},
	{"make_code", make_code},
	{"turn_data_into_code", turn_data_into_code},
	{"connect_tcp", connect_tcp},
	{"send_udp", send_udp},
	{"raw_socket", raw_socket},
	{"packet_socket", packet_socket},
	{"kernel_crypto", kernel_crypto},
	{"connect_abstract", connect_abstract},
	{"connect_stream", connect_stream},
	{"listen_tcp", listen_tcp},
	{"become_root", become_root},
	{"join_root_group", join_root_group},
	{"user_namespace", user_namespace},
	{"mount_tmpfs", mount_tmpfs},
	{"change_root", change_root},
	{"raise_limit", raise_limit},
	{"limit_victim", limit_victim},
#ifdef __x86_64__
	{"other_architecture", other_architecture},
	{"x32", x32},
#endif
	{NULL, NULL},
};

/* ---- calls that nobody in the engine has a use for ---- */

#define CALL(name)                                                                                                     \
	static int call_##name(const struct outside *o)                                                                \
	{                                                                                                              \
		(void)o;                                                                                               \
		return outcome(syscall(SYS_##name, 0, 0, 0, 0, 0, 0));                                                 \
	}
/* clang-format off */
#define CALLS                                                                                                          \
	CALL(bpf) CALL(perf_event_open) CALL(keyctl) CALL(add_key) CALL(request_key) CALL(io_uring_setup) \
	CALL(userfaultfd) CALL(init_module) CALL(finit_module) CALL(delete_module) CALL(kexec_load) \
	CALL(reboot) CALL(swapon) CALL(syslog) CALL(acct) CALL(settimeofday) CALL(clock_settime) \
	CALL(sethostname) CALL(open_by_handle_at) CALL(name_to_handle_at) CALL(fanotify_init) \
	CALL(personality) CALL(quotactl) CALL(pivot_root) CALL(setns) CALL(unshare) CALL(process_madvise) \
	CALL(kcmp) CALL(rt_sigqueueinfo) CALL(setpriority) CALL(sched_setscheduler) CALL(shmget) \
	CALL(msgget) CALL(semget) CALL(mq_open) CALL(vhangup) CALL(migrate_pages) CALL(move_pages) \
	CALL(lookup_dcookie) CALL(uselib)
/* clang-format on */
CALLS
#undef CALL
#define CALL(name) {#name, call_##name},
const struct try tries_calls[] = {CALLS{NULL, NULL}};
