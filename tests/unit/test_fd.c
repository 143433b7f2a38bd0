/* lib/fd: what it takes to open beneath a directory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"

struct renames {
	int dir;
	atomic_bool end;
	atomic_ulong done;
};

/* What anybody on the host may do at any moment. */
static void *rename_things(void *arg)
{
	struct renames *r = arg;

	while (!r->end) {
		renameat(r->dir, "here", r->dir, "there");
		renameat(r->dir, "there", r->dir, "here");
		r->done++;
	}
	return NULL;
}

static void what_others_rename_is_no_failure(void **state)
{
	char path[] = "/tmp/pouch-test-fd-XXXXXX";
	struct renames r = {0};
	pthread_t thread;

	(void)state;
	assert_non_null(mkdtemp(path));
	r.dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_true(mkdirat(r.dir, "here", 0700) == 0 && mkdirat(r.dir, "a", 0700) == 0);
	assert_int_equal(pthread_create(&thread, NULL, rename_things, &r), 0);
	for (int i = 0; i < 1000000 && (i < 20000 || r.done < 20000); i++) {
		int fd = fd_open_within(r.dir, "a/../a/../a/../a/../a/../a", O_PATH, RESOLVE_IN_ROOT);

		assert_true(fd >= 0);
		close(fd);
	}
	r.end = true;
	pthread_join(thread, NULL);
	assert_true(unlinkat(r.dir, "here", AT_REMOVEDIR) == 0 && unlinkat(r.dir, "a", AT_REMOVEDIR) == 0);
	close(r.dir);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_others_rename_is_no_failure)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
