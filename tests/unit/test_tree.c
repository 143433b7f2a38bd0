/* lib/tree and lib/jobs: whole trees removed and measured, in the thread, never through a link. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/jobs.h"
#include "lib/tree.h"
#include "lib/util.h"

static int setup(void **state)
{
	char path[] = "/tmp/pouch-test-tree-XXXXXX";
	int *dir = XNEW(int);

	assert_non_null(mkdtemp(path));
	*dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	*state = dir;
	return 0;
}

static void path_of(int fd, char *path, size_t size)
{
	char link[64];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, size - 1);
	assert_true(n > 0);
	path[n] = '\0';
}

static int teardown(void **state)
{
	int *dir = *state;
	char path[256];
	struct err e;

	path_of(*dir, path, sizeof path);
	AUTO_CLOSE int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_int_equal(tree_remove(tmp, path + strlen("/tmp/"), NULL, &e), 0);
	close(*dir);
	free(dir);
	return 0;
}

static void put(int dir, const char *name, size_t size)
{
	AUTO_CLOSE int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	AUTO_FREE char *data = xcalloc(1, size + 1);

	assert_return_code(fd, 0);
	assert_int_equal(write(fd, data, size), size);
}

static void test_remove_keeps_what_links_point_to(void **state)
{
	int dir = *(int *)*state;
	struct err e;

	put(dir, "canary", 1);
	mkdirat(dir, "tree", 0700);
	mkdirat(dir, "tree/empty", 0);
	put(dir, "tree/file", 10);
	assert_return_code(symlinkat("../canary", dir, "tree/link"), 0);
	assert_return_code(symlinkat("..", dir, "tree/up"), 0);
	assert_int_equal(tree_remove(dir, "tree", NULL, &e), 0);
	assert_int_equal(faccessat(dir, "tree", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(faccessat(dir, "canary", F_OK, 0), 0);
	assert_int_equal(tree_remove(dir, "tree", NULL, &e), 0);
}

static void test_remove_deep(void **state)
{
	int dir = *(int *)*state, level = dup(dir);
	struct err e;

	for (int i = 0; i < 1500; i++) {
		mkdirat(level, "a", 0700);
		put(level, "f", 1);
		int next = openat(level, "a", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		assert_return_code(next, 0);
		close(level);
		level = next;
	}
	close(level);
	assert_int_equal(tree_remove(dir, "a", NULL, &e), 0);
	assert_int_equal(faccessat(dir, "a", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void test_remove_stays_out_of_mounts(void **state)
{
	int dir = *(int *)*state, status;
	pid_t child = fork();

	if (child == 0) {
		struct err e;
		char path[300];

		mkdirat(dir, "tree", 0700);
		mkdirat(dir, "tree/mounted", 0700);
		path_of(dir, path, sizeof path);
		if (unshare(CLONE_NEWNS))
			_exit(77);
		dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC); /* as the new namespace has it */
		strcat(path, "/tree/mounted");
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("tmpfs", path, "tmpfs", 0, NULL))
			_exit(77);
		AUTO_CLOSE int mounted = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		put(mounted, "canary", 1);
		bool ok = tree_remove(dir, "tree", NULL, &e) == -EBUSY && faccessat(mounted, "canary", F_OK, 0) == 0;
		umount2(path, MNT_DETACH);
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_size_counts_links_once(void **state)
{
	int dir = *(int *)*state;
	uint64_t one, two;
	struct err e;

	mkdirat(dir, "tree", 0700);
	put(dir, "tree/file", 100000);
	assert_int_equal(tree_size(dir, "tree", NULL, &one, &e), 0);
	assert_true(one >= 100000 && one < 200000);
	assert_return_code(linkat(dir, "tree/file", dir, "tree/again", 0), 0);
	assert_int_equal(tree_size(dir, "tree", NULL, &two, &e), 0);
	assert_int_equal(one, two);
}

struct work {
	struct event_base *base;
	int *order, n;
	bool dropped;
};

static void run(void *arg, const atomic_bool *stop)
{
	struct work *w = arg;

	(void)stop;
	w->n = (*w->order)++;
}

static void wait_for_stop(void *arg, const atomic_bool *stop)
{
	(void)arg;
	while (!*stop)
		usleep(1000);
}

static void done(void *arg)
{
	struct work *w = arg;

	if (w->n == 1)
		event_base_loopbreak(w->base);
}

static void drop(void *arg)
{
	((struct work *)arg)->dropped = true;
}

static void test_jobs_run_in_order(void **state)
{
	static const struct job_kind kind = {.run = run, .done = done, .drop = drop};
	static const struct job_kind endless = {.run = wait_for_stop, .done = done, .drop = drop};
	struct event_base *base = event_base_new();
	int order = 0;
	struct work w[2] = {{.base = base, .order = &order, .n = -1}, {.base = base, .order = &order, .n = -1}};
	struct work never = {.base = base};
	struct jobs *j;
	struct err e;

	(void)state;
	assert_int_equal(jobs_new(base, &j, &e), 0);
	jobs_add(j, &kind, &w[0]);
	jobs_add(j, &kind, &w[1]);
	event_base_dispatch(base);
	assert_int_equal(w[0].n, 0);
	assert_int_equal(w[1].n, 1);
	jobs_add(j, &endless, &never);
	jobs_free(j);
	assert_true(never.dropped);
	event_base_free(base);
}

/* No more threads in this process. */
static void refuse_threads(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAGAIN), SCMP_SYS(clone), 0) < 0 ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAGAIN), SCMP_SYS(clone3), 0) < 0 || seccomp_load(filter) < 0)
		abort();
	seccomp_release(filter);
}

static int jobs_without_thread(void)
{
	static const struct job_kind kind = {.run = run, .done = done, .drop = drop};
	struct event_base *base = event_base_new();
	int order = 0;
	struct work w[2] = {{.base = base, .order = &order, .n = -1}, {.base = base, .order = &order, .n = -1}};
	struct jobs *j;
	struct err e;

	refuse_threads();
	if (jobs_new(base, &j, &e) < 0)
		return 2;
	jobs_add(j, &kind, &w[0]);
	jobs_add(j, &kind, &w[1]);
	event_base_dispatch(base);
	jobs_free(j);
	event_base_free(base);
	return w[0].n == 0 && w[1].n == 1 && !w[0].dropped && !w[1].dropped ? 0 : 3;
}

static void test_jobs_run_without_a_thread(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(jobs_without_thread());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_remove_keeps_what_links_point_to, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove_stays_out_of_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size_counts_links_once, setup, teardown),
		cmocka_unit_test(test_jobs_run_in_order),
		cmocka_unit_test(test_jobs_run_without_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
