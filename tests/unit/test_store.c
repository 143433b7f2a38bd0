/* lib/store: what is committed is there after kill -9, what was not is gone; damage and newer files are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/store.h"
#include "lib/util.h"

static const char *const first[] = {"CREATE TABLE t(name TEXT PRIMARY KEY, n INTEGER NOT NULL, doc TEXT) STRICT;", NULL};
static const char *const second[] = {"CREATE TABLE t(name TEXT PRIMARY KEY, n INTEGER NOT NULL, doc TEXT) STRICT;",
				     "ALTER TABLE t ADD COLUMN more TEXT NOT NULL DEFAULT 'x';", NULL};

static char path[64];

static int setup(void **state)
{
	char dir[] = "/tmp/pouch-test-store-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/db", dir);
	return 0;
}

static int teardown(void **state)
{
	char wal[80];

	(void)state;
	unlink(path);
	snprintf(wal, sizeof wal, "%s-wal", path);
	unlink(wal);
	*strrchr(path, '/') = '\0';
	return rmdir(path);
}

static struct store *open_with(const char *const *schema)
{
	struct store *s = NULL;
	struct err e = {0};

	if (store_open(path, schema, &s, &e) < 0)
		print_error("%s\n", e.text);
	assert_non_null(s);
	return s;
}

static int64_t count(struct store *s)
{
	int64_t n;
	struct err e;

	assert_int_equal(store_number(s, -1, &n, &e, "SELECT count(*) FROM t", ""), 0);
	return n;
}

static int add(struct store *s, const char *name, int64_t n)
{
	struct err e;

	return store_exec(s, &e, "INSERT INTO t(name, n, doc) VALUES(?,?,?)", "tij", name, n, NULL);
}

static void test_transactions(void **state)
{
	struct store *s = open_with(first);
	struct err e;

	(void)state;
	assert_int_equal(add(s, "a", 1), 0);
	assert_int_equal(add(s, "a", 2), -EEXIST);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(add(s, "b", 2), 0);
	store_rollback(s);
	assert_int_equal(count(s), 1);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(add(s, "b", 2), 0);
	assert_int_equal(store_commit(s, &e), 0);
	store_free(s);
	s = open_with(first);
	assert_int_equal(count(s), 2);
	store_free(s);
}

static int read_row(void *arg, struct store_row *r)
{
	struct err e;
	json_t *doc;

	assert_int_equal(store_json(r, 1, &doc, &e), 0);
	assert_string_equal(json_string_value(json_object_get(doc, "key")), "välue");
	json_decref(doc);
	*(int64_t *)arg = store_int(r, 0);
	return 0;
}

static void test_documents(void **state)
{
	struct store *s = open_with(first);
	json_t *doc = json_pack("{s:s}", "key", "välue");
	struct err e;
	int64_t n = 0;

	(void)state;
	assert_int_equal(store_exec(s, &e, "INSERT INTO t VALUES(?,?,?)", "tij", "a", INT64_MAX, doc), 0);
	json_decref(doc);
	assert_int_equal(store_query(s, read_row, &n, &e, "SELECT n, doc FROM t WHERE name=?", "t", "a"), 0);
	assert_true(n == INT64_MAX);
	store_free(s);
}

static void test_schema_versions(void **state)
{
	struct store *s = open_with(first);
	struct err e = {0};

	(void)state;
	add(s, "a", 1);
	store_free(s);
	s = open_with(second);
	assert_int_equal(count(s), 1);
	store_free(s);
	assert_int_equal(store_open(path, first, &s, &e), -EPROTO);
}

/* covers D-21: killed in the middle of a transaction: what was committed is there, the rest is not. */
static void test_killed(void **state)
{
	int ready[2];
	char byte;

	(void)state;
	assert_return_code(pipe2(ready, O_CLOEXEC), 0);
	pid_t child = fork();
	if (child == 0) {
		struct store *s = open_with(first);
		struct err e;

		add(s, "kept", 1);
		store_begin(s, &e);
		add(s, "lost", 2);
		byte = (char)write(ready[1], "x", 1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	struct store *s = open_with(first);
	assert_int_equal(count(s), 1);
	store_free(s);
}

static void test_damage_is_refused(void **state)
{
	struct store *s = open_with(first);
	struct err e = {0};
	static const char noise[300] = "noise";

	(void)state;
	for (int i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof name, "%d", i);
		add(s, name, i);
	}
	store_free(s);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, noise, sizeof noise, 4096), sizeof noise);
	assert_int_equal(store_open(path, first, &s, &e), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_schema_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
