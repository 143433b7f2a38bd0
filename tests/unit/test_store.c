/* store: schema versions, transactions, what is on the disk after a kill, damaged files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/store.h"
#include "lib/tree.h"
#include "lib/util.h"

static const char *const schema[] = {
	"CREATE TABLE thing (name TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;",
	"ALTER TABLE thing ADD COLUMN note BLOB;",
	NULL,
};
static const char *const older[] = {"CREATE TABLE thing (name TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;", NULL};

struct fixture {
	char dir[64], path[96];
	struct store *s;
};

static int setup(void **state)
{
	struct fixture *f = XNEW(struct fixture);
	struct err e = {0};

	snprintf(f->dir, sizeof f->dir, "/tmp/pouch-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/x.db", f->dir);
	assert_int_equal(store_open(f->path, "things", schema, &f->s, &e), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	AUTO_CLOSE int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	store_free(f->s);
	assert_int_equal(tree_remove(tmp, f->dir + strlen("/tmp/"), NULL, NULL), 0);
	free(f);
	return 0;
}

static int64_t count(struct store *s)
{
	int64_t n = -1;

	assert_int_equal(store_number(s, -1, &n, NULL, "SELECT count(*) FROM thing", ""), 0);
	return n;
}

static int check_row(void *arg, struct store_row *r)
{
	size_t len;

	(*(int *)arg)++;
	assert_string_equal(store_text(r, 0), "a");
	assert_true(store_int(r, 1) == (int64_t)1 << 40);
	assert_memory_equal(store_blob(r, 2, &len), "x\0y", 3);
	assert_int_equal(len, 3);
	return 0;
}

static void test_values(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};
	int rows = 0;

	assert_int_equal(store_exec(f->s, &e, "INSERT INTO thing VALUES(?,?,?)", "tib", "a", (int64_t)1 << 40, "x\0y",
				    (size_t)3),
			 0);
	assert_int_equal(store_changes(f->s), 1);
	assert_int_equal(store_exec(f->s, &e, "INSERT INTO thing VALUES(?,?,NULL)", "ti", "a", (int64_t)1), -EEXIST);
	assert_int_equal(store_query(f->s, check_row, &rows, &e, "SELECT name, size, note FROM thing", ""), 0);
	assert_int_equal(rows, 1);
}

static void test_rollback(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};

	assert_int_equal(store_begin(f->s, &e), 0);
	assert_int_equal(store_exec(f->s, &e, "INSERT INTO thing(name,size) VALUES('a',1)", ""), 0);
	store_rollback(f->s);
	assert_int_equal(count(f->s), 0);
	store_rollback(f->s);
	assert_int_equal(store_begin(f->s, &e), 0);
	assert_int_equal(store_exec(f->s, &e, "INSERT INTO thing(name,size) VALUES('a',1)", ""), 0);
	assert_int_equal(store_commit(f->s, &e), 0);
	assert_int_equal(count(f->s), 1);
}

/* A process that is killed right after its commit has lost nothing, and its half change is gone. */
static void test_kill(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};
	int status;

	store_free(f->s);
	pid_t pid = fork();
	if (pid == 0) {
		struct store *s;
		if (store_open(f->path, "things", schema, &s, &e) < 0 || store_begin(s, &e) < 0)
			_exit(1);
		store_exec(s, &e, "INSERT INTO thing(name,size) VALUES('kept',1)", "");
		store_commit(s, &e);
		store_begin(s, &e);
		store_exec(s, &e, "INSERT INTO thing(name,size) VALUES('lost',1)", "");
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(store_open(f->path, "things", schema, &f->s, &e), 0);
	assert_int_equal(count(f->s), 1);
}

static void test_versions(void **state)
{
	struct fixture *f = *state;
	struct store *other = NULL;
	struct err e = {0};

	store_free(STEAL(f->s));
	assert_int_equal(store_open(f->path, "things", older, &other, &e), -EPROTO);
	assert_int_equal(store_open(f->path, "things", schema, &f->s, &e), 0);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct store *other = NULL;
	struct err e = {0};
	char path[128];

	snprintf(path, sizeof path, "%s/damaged", f->dir);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 4096; i++)
		fputc('x', file);
	fclose(file);
	assert_int_equal(store_open(path, "things", schema, &other, &e), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rollback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
