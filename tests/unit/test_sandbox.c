/* Each process's sandbox, entered by a child; what may not work is tried there. As root; others skip. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ipc/process.h"
#include "lib/config.h"
#include "lib/sandbox/calls.h"
#include "lib/sandbox/profile.h"
#include "lib/sandbox/sandbox.h"
#include "lib/tree.h"
#include "lib/util.h"

#define IDS_BASE 2147480000u

static char dir[] = "/tmp/pouch-sandbox-XXXXXX";
static char run[64];

static struct config config = {.ids_base = IDS_BASE, .volumes_plugin_dir = "/proc/plugins"};

/* Descriptors that a process in_sandbox() has, from 3 on. */
static unsigned passed;

/* A child that enters the sandbox of `id` and then runs `fn`; returns how it ended (waitpid's status). */
static int in_sandbox(enum process_id id, int (*fn)(enum process_id id, const struct sandbox_report *report))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct sandbox_report report;
		struct sandbox_args args = {.config = &config, .root = dir, .run = run, .root_fd = -1};
		struct err e = {0};
		char path[128];

		if (sandbox_begin(passed, &e) < 0)
			_exit(101);
		args.proc_fd = sandbox_proc_open(id, &e);
		if (sandbox_profile(id)->state) {
			snprintf(path, sizeof path, "%s/%s", dir, process_name(id));
			mkdir(path, 0700);
			if (chown(path, process_uid(id, IDS_BASE), process_uid(id, IDS_BASE)) < 0)
				_exit(102);
			args.root_fd = open(path, O_DIRECTORY | O_CLOEXEC);
		}
		if (sandbox_enter(id, &args, &report, &e) < 0) {
			dprintf(2, "%s: %s\n", process_name(id), e.text);
			_exit(100);
		}
		_exit(fn(id, &report));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void expect_exit(int status, int code)
{
	if (WIFSIGNALED(status))
		print_message("ended by signal %d\n", WTERMSIG(status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static bool confined(enum process_id id)
{
	return process_name(id) && !sandbox_profile(id)->keeps;
}

/* ---- every profile can be entered, and the kernel agrees with the report ---- */

static int check_report(enum process_id id, const struct sandbox_report *r)
{
	const struct sandbox_profile *p = sandbox_profile(id);
	uid_t want = p->ids == IDS_OWN ? process_uid(id, IDS_BASE) : 0;

	if (r->uid != want || geteuid() != want || getegid() != want)
		return 1;
	if (r->capabilities != p->first.capabilities || !r->no_new_privs || !r->seccomp)
		return 2;
	if (r->new_root != !!(p->namespaces & CLONE_NEWNS) || r->new_net != !!(p->namespaces & CLONE_NEWNET))
		return 3;
	dprintf(2, "still writes\n");
	free(xcalloc(1, 1 << 20));
	return 0;
}

static void every_profile_is_entered(void **state)
{
	(void)state;
	for (enum process_id id = 1; id < PROC_LIMIT; id++)
		if (confined(id)) {
			print_message("%s\n", process_name(id));
			expect_exit(in_sandbox(id, check_report), 0);
		}
}

static int check_kept(enum process_id id, const struct sandbox_report *r)
{
	(void)id;
	return r->keeps && geteuid() == 0 && r->capabilities == 0 ? 0 : 1;
}

static void who_keeps_root_says_why(void **state)
{
	(void)state;
	expect_exit(in_sandbox(PROC_pouchd, check_kept), 0);
	expect_exit(in_sandbox(PROC_runtimed, check_kept), 0);
}

/* ---- calls outside the list end the process ---- */

static int do_fork(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return fork() == 0 ? 5 : 6;
}

static int do_exec(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return execl("/bin/true", "true", NULL) ? 7 : 0;
}

static int do_ptrace(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 ? 7 : 8;
}

static int do_code(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static int do_kill(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return kill(getppid(), 0) == 0;
}

static int do_setuid(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return (int)syscall(SYS_setuid, 0) == 0;
}

static int do_bpf(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static void calls_outside_the_list_kill(void **state)
{
	static int (*const tries[])(enum process_id, const struct sandbox_report *) = {do_exec, do_ptrace, do_code,
										       do_kill, do_setuid, do_bpf};

	(void)state;
	for (enum process_id id = 1; id < PROC_LIMIT; id++) {
		if (!confined(id))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
			int status = in_sandbox(id, tries[i]);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
				fail_msg("%s: try %zu did not end by SIGSYS: %#x", process_name(id), i, status);
		}
		int status = in_sandbox(id, do_fork);
#ifdef POUCH_SANITIZED /* there clone() fails, so that a report is written to its end */
		if (WIFEXITED(status) && WEXITSTATUS(status) == 6)
			continue;
#endif
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

/* Which links no library and has no loop of ours: most of what other processes have is not for it. */
static void a_shim_has_its_list_alone(void **state)
{
	struct err e = {0};
	int status;

	(void)state;
#ifdef POUCH_SANITIZED
	skip();
#endif
	pid_t pid = fork();
	if (pid == 0) {
		if (calls_enter(sandbox_profile(PROC_shim)->second.calls, &e) < 0)
			_exit(100);
		_exit(memfd_create("x", MFD_CLOEXEC) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* ---- files ---- */

static int see_no_host(enum process_id id, const struct sandbox_report *r)
{
	static const char *const paths[] = {"/bin/sh",	       "/root",	   "/../etc/shadow",
					    "/proc/1/environ", "/dev/mem", "/tmp"};

	(void)r;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (openat(AT_FDCWD, paths[i], O_RDONLY) >= 0)
			return (int)i + 1;
	for (enum process_id other = 1; other < PROC_LIMIT; other++) {
		char path[128];

		if (other == id || !process_name(other))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, process_name(other));
		if (openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY) >= 0)
			return 20 + (int)other;
	}
	for (int fd = 3; fd < 256; fd++)
		if (openat(fd, "../../../../usr/bin/env", O_RDONLY) >= 0)
			return 50;
	return 0;
}

static void nobody_sees_the_host(void **state)
{
	(void)state;
	for (enum process_id id = 1; id < PROC_LIMIT; id++)
		if (confined(id) && sandbox_profile(id)->namespaces & CLONE_NEWNS)
			expect_exit(in_sandbox(id, see_no_host), 0);
}

static int use_state(enum process_id id, const struct sandbox_report *r)
{
	char path[160], other[192];
	int fd;

	(void)r;
	snprintf(path, sizeof path, "%s/%s/file", dir, process_name(id));
	snprintf(other, sizeof other, "%s.new", path);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) < 0 || pwrite(fd, "y", 1, 0) != 1)
		return 1;
	if (rename(path, other) < 0 || unlink(other) < 0)
		return 2;
	snprintf(path, sizeof path, "%s/%s/directory", dir, process_name(id));
	if (mkdir(path, 0700) < 0 || rmdir(path) < 0)
		return 3;
	snprintf(path, sizeof path, "%s/%s/../other", dir, process_name(id));
	return open(path, O_CREAT | O_RDWR, 0600) >= 0 ? 4 : 0;
}

static void state_is_writable(void **state)
{
	(void)state;
	for (enum process_id id = 1; id < PROC_LIMIT; id++)
		if (confined(id) && sandbox_profile(id)->state)
			expect_exit(in_sandbox(id, use_state), 0);
}

static int read_proc(enum process_id id, const struct sandbox_report *r)
{
	(void)r;
	if (!sandbox_profile(id)->proc)
		return 0;
	for (int fd = 3; fd < 64; fd++)
		if (openat(fd, "self/cgroup", O_RDONLY) >= 0)
			return openat(fd, "1/environ", O_RDONLY) >= 0 || openat(fd, "self/oom_score_adj", O_RDWR) >= 0;
	return 2;
}

static void proc_is_for_reading(void **state)
{
	(void)state;
	for (enum process_id id = 1; id < PROC_LIMIT; id++)
		if (confined(id))
			expect_exit(in_sandbox(id, read_proc), 0);
}

/* ---- sockets ---- */

static int make_socket(enum process_id peer)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "%s/ipc/%s.sock", run, process_name(peer));
	assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(chmod(sun.sun_path, 0666), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int reach_peers(enum process_id id, const struct sandbox_report *r)
{
	(void)r;
	for (enum process_id peer = 1; peer < PROC_LIMIT; peer++) {
		struct sockaddr_un sun = {.sun_family = AF_UNIX};

		if (!process_name(peer))
			continue;
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		snprintf(sun.sun_path, sizeof sun.sun_path, "%s/ipc/%s.sock", run, process_name(peer));
		bool reached = connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0;
		if (reached != (sandbox_profile(id)->peers >> peer & 1))
			return (int)peer;
		close(fd);
	}
	return 0;
}

static void peers_and_nobody_else_are_reached(void **state)
{
	(void)state;
	for (enum process_id id = 1; id < PROC_LIMIT; id++)
		if (confined(id) && sandbox_profile(id)->peers)
			expect_exit(in_sandbox(id, reach_peers), 0);
}

static int tcp_socket(enum process_id id, const struct sandbox_report *r)
{
	(void)id, (void)r;
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static void who_is_alone_makes_no_tcp_socket(void **state)
{
	static const enum process_id alone[] = {PROC_apid,   PROC_imaged,	PROC_volumed,
						PROC_auditd, PROC_image_unpack, PROC_rootfs};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
		int status = in_sandbox(alone[i], tcp_socket);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

/* ---- the second stage ---- */

/* Two directories of whoever sends a request, each with a directory "below". */
enum { GIVEN = 3, OTHER };

static int narrowed(enum process_id id, const struct sandbox_report *r)
{
	struct sandbox_report report = *r;
	struct sandbox_narrow to = {.dirs = {GIVEN}, .ndirs = 1, .fsuid = (uid_t)-1, .fsgid = (gid_t)-1};
	struct err e;

	if (sandbox_narrow(id, &to, &report, &e) < 0) {
		dprintf(2, "%s\n", e.text);
		return 1;
	}
	if (report.capabilities != sandbox_profile(id)->second.capabilities)
		return 2;
	/* Links between directories of what it was given are its work; of anything else not even the names are. */
	if (close(openat(GIVEN, "f", O_CREAT | O_WRONLY, 0600)) < 0 || linkat(GIVEN, "f", GIVEN, "below/f", 0) < 0)
		return 3;
	if (openat(OTHER, "below", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES ||
	    linkat(GIVEN, "f", OTHER, "f", 0) == 0)
		return 4;
	return (int)syscall(SYS_setfsuid, 0); /* ends it */
}

static void make_directory(int as, char path[32])
{
	snprintf(path, 32, "/tmp/pouch-narrow-XXXXXX");
	assert_non_null(mkdtemp(path));
	int fd = open(path, O_DIRECTORY | O_PATH);
	assert_int_equal(mkdirat(fd, "below", 0755), 0);
	assert_int_equal(dup2(fd, as), as);
	if (fd != as)
		close(fd);
}

static void remove_directory(int fd, const char *path)
{
	unlinkat(fd, "below/f", 0);
	unlinkat(fd, "f", 0);
	unlinkat(fd, "below", AT_REMOVEDIR);
	close(fd);
	rmdir(path);
}

static void workers_narrow(void **state)
{
	static const enum process_id workers[] = {PROC_image_unpack, PROC_rootfs};
	char given[32], other[32];

	(void)state;
	passed = 2;
	for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
		make_directory(GIVEN, given);
		make_directory(OTHER, other);
		int status = in_sandbox(workers[i], narrowed);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
		remove_directory(GIVEN, given);
		remove_directory(OTHER, other);
	}
	passed = 0;
}

/* ---- the tables ---- */

static void every_call_says_why(void **state)
{
	const char *name, *why;

	(void)state;
	for (enum call_set set = CALLS_core; set <= CALLS_sanitizer; set++)
		for (size_t i = 0; (name = calls_name(set, i, &why)); i++)
			assert_true(why && *why);
}

static int setup(void **state)
{
	(void)state;
	if (geteuid() != 0 || !mkdtemp(dir))
		return -1;
	snprintf(run, sizeof run, "%s/run", dir);
	char ipc[80];
	snprintf(ipc, sizeof ipc, "%s/ipc", run);
	if (mkdir(run, 0700) < 0 || mkdir(ipc, 0700) < 0)
		return -1;
	for (enum process_id peer = 1; peer < PROC_LIMIT; peer++)
		if (process_name(peer))
			make_socket(peer);
	return 0;
}

static int teardown(void **state)
{
	AUTO_CLOSE int tmp = open("/tmp", O_DIRECTORY | O_CLOEXEC);
	struct err e;

	(void)state;
	return tree_remove(tmp, strrchr(dir, '/') + 1, NULL, &e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_profile_is_entered),
		cmocka_unit_test(who_keeps_root_says_why),
		cmocka_unit_test(calls_outside_the_list_kill),
		cmocka_unit_test(a_shim_has_its_list_alone),
		cmocka_unit_test(nobody_sees_the_host),
		cmocka_unit_test(state_is_writable),
		cmocka_unit_test(proc_is_for_reading),
		cmocka_unit_test(peers_and_nobody_else_are_reached),
		cmocka_unit_test(who_is_alone_makes_no_tcp_socket),
		cmocka_unit_test(workers_narrow),
		cmocka_unit_test(every_call_says_why),
	};

	if (geteuid() != 0) {
		printf("skipped: only root can enter a sandbox\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
