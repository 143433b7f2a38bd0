/* Who a client is: the kernel's word about real connections, and the sockets that are nobody's. covers D-3, S-82 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/caller.h"
#include "lib/util.h"

#define IDS_BASE 900000u

struct world {
	char dir[64];
	struct sockaddr_un at;
	int listen_fd, proc_fd;
};

static int setup(void **state)
{
	struct world *w = XNEW(struct world);

	snprintf(w->dir, sizeof w->dir, "/tmp/pouch-caller-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	chmod(w->dir, 0755);
	w->at.sun_family = AF_UNIX;
	snprintf(w->at.sun_path, sizeof w->at.sun_path, "%s/s", w->dir);
	w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->listen_fd, (struct sockaddr *)&w->at, sizeof w->at), 0);
	assert_int_equal(listen(w->listen_fd, 8), 0);
	chmod(w->at.sun_path, 0666);
	w->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close(w->listen_fd);
	close(w->proc_fd);
	unlink(w->at.sun_path);
	rmdir(w->dir);
	free(w);
	return 0;
}

/* A child with these ids connects and stays until told; returns our accepted end. */
static int connect_as(struct world *w, uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups, pid_t *pid)
{
	*pid = fork();
	if (*pid == 0) {
		char byte;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (setgroups(ngroups, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ||
		    connect(fd, (struct sockaddr *)&w->at, sizeof w->at) < 0)
			_exit(1);
		_exit(read(fd, &byte, 1) < 0);
	}
	return accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void end(int fd, pid_t pid)
{
	int status;

	close(fd);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static int read_caller(struct world *w, int fd, struct caller *c, struct err *e)
{
	struct ipc_asker asker = {.caller = fd, .listener = 3};

	return caller_read(&asker, w->proc_fd, IDS_BASE, c, e);
}

static void test_ids(void **state)
{
	struct world *w = *state;
	gid_t groups[] = {5, 77};
	struct caller c;
	struct err e = {0};
	pid_t pid;

	if (geteuid() != 0)
		skip();
	int fd = connect_as(w, 1234, 4321, groups, 2, &pid);
	if (read_caller(w, fd, &c, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(c.local);
	assert_int_equal(c.uid, 1234);
	assert_int_equal(c.gid, 4321);
	assert_int_equal(c.pid, pid);
	assert_int_equal(c.listener, 3);
	assert_string_equal(c.socket, w->at.sun_path);
	assert_int_equal(c.ngroups, 2);
	assert_true(caller_in_group(&c, 4321));
	assert_true(caller_in_group(&c, 77));
	assert_false(caller_in_group(&c, 0));
	if (c.pidfd >= 0)
		assert_true(c.cgroup[0] == '/');
	caller_clean(&c);
	end(fd, pid);
}

static void test_many_groups(void **state)
{
	struct world *w = *state;
	gid_t groups[1000];
	struct caller c;
	struct err e = {0};
	pid_t pid;

	if (geteuid() != 0)
		skip();
	for (unsigned i = 0; i < ARRAY_LEN(groups); i++)
		groups[i] = 10000 + i;
	int fd = connect_as(w, 1234, 4321, groups, ARRAY_LEN(groups), &pid);
	assert_int_equal(read_caller(w, fd, &c, &e), 0);
	assert_int_equal(c.ngroups, ARRAY_LEN(groups));
	assert_true(caller_in_group(&c, 10999));
	caller_clean(&c);
	end(fd, pid);
}

/* Every process of the engine, apid first of all, is refused. */
static void test_engine_itself(void **state)
{
	struct world *w = *state;
	struct caller c;
	struct err e = {0};
	pid_t pid;

	if (geteuid() != 0)
		skip();
	for (uid_t uid = IDS_BASE - 1; uid <= IDS_BASE + 16; uid++) {
		bool engine = uid >= IDS_BASE && uid < IDS_BASE + 16;
		int fd = connect_as(w, uid, 1, NULL, 0, &pid);
		int r = read_caller(w, fd, &c, &e);
		assert_int_equal(r, engine ? -EPERM : 0);
		if (r == 0)
			caller_clean(&c);
		else
			assert_int_equal(e.status, 403);
		end(fd, pid);
	}
}

/* What a process can make without a client: its own end of a connection to somebody, a pair, a datagram socket. */
static void test_sockets_of_nobody(void **state)
{
	struct world *w = *state;
	struct caller c;
	struct err e = {0};
	int pair[2];

	AUTO_CLOSE int own_end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(own_end, (struct sockaddr *)&w->at, sizeof w->at), 0);
	AUTO_CLOSE int accepted = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(read_caller(w, own_end, &c, &e), -EPERM);
	assert_non_null(strstr(e.text, "accepted by no listener"));
	assert_int_equal(read_caller(w, accepted, &c, &e), 0);
	caller_clean(&c);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(read_caller(w, pair[0], &c, &e), -EPERM);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(read_caller(w, pair[0], &c, &e), -EPERM);
	close(pair[0]);
	close(pair[1]);
}

/* A socket bound to an abstract name has a name too, but none that a listener of ours can have. covers S-2 */
static void test_abstract_listener(void **state)
{
	struct world *w = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa_family_t) + 1 + 10;
	struct caller c;
	struct err e = {0};

	snprintf(at.sun_path + 1, 20, "pc%08d", (int)getpid());
	AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	AUTO_CLOSE int own_end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(own_end, (struct sockaddr *)&at, len), 0);
	AUTO_CLOSE int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(read_caller(w, accepted, &c, &e), -EPERM);
}

/* The client has gone: its ids are still the kernel's word, its pid proves nothing any more. */
static void test_client_gone(void **state)
{
	struct world *w = *state;
	struct caller c;
	struct err e = {0};
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	int fd = connect_as(w, 1234, 4321, NULL, 0, &pid);
	shutdown(fd, SHUT_WR);
	waitpid(pid, &status, 0);
	assert_int_equal(read_caller(w, fd, &c, &e), 0);
	assert_int_equal(c.uid, 1234);
	assert_string_equal(c.cgroup, "");
	assert_int_equal(c.loginuid, CALLER_NO_LOGINUID);
	caller_clean(&c);
	close(fd);
}

static void test_attested(void **state)
{
	struct world *w = *state;
	struct ipc_asker cert = {.caller = -1, .attested = "CN=x,SAN=y", .listener = 1};
	struct ipc_asker tcp = {.caller = -1, .attested = ""}, nobody = {.caller = -1};
	struct ipc_asker both = {.caller = w->listen_fd, .attested = "CN=x"};
	struct caller c;
	struct err e = {0};

	assert_int_equal(caller_read(&cert, -1, IDS_BASE, &c, &e), 0);
	assert_false(c.local);
	assert_int_equal(c.uid, (uid_t)-1);
	assert_string_equal(c.attested, "CN=x,SAN=y");
	assert_false(caller_in_group(&c, (gid_t)-1));
	assert_int_equal(caller_read(&tcp, -1, IDS_BASE, &c, &e), 0);
	assert_int_equal(caller_read(&nobody, -1, IDS_BASE, &c, &e), -EPERM);
	assert_int_equal(caller_read(&both, -1, IDS_BASE, &c, &e), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_engine_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sockets_of_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abstract_listener, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attested, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
