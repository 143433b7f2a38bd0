/* The audit chain: appended, rotated, torn, tampered with. covers D-10 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "auditd/chain.h"
#include "lib/fd.h"
#include "lib/util.h"

#define BIG (1u << 30)

struct world {
	char dir[64];
	int dir_fd;
	struct chain *chain;
};

static void open_chain(struct world *w, uint64_t rotate_size, unsigned count)
{
	struct err e = {0};

	if (chain_open(w->dir_fd, rotate_size, count, &w->chain, &e) < 0)
		fail_msg("%s", e.text);
}

static void close_chain(struct world *w)
{
	chain_free(STEAL(w->chain));
}

static int setup(void **state)
{
	struct world *w = XNEW(struct world);

	snprintf(w->dir, sizeof w->dir, "/tmp/pouch-chain-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->dir_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	open_chain(w, BIG, 16);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	struct audit_files files;
	char name[AUDIT_NAME_MAX];
	struct err e;

	close_chain(w);
	assert_int_equal(audit_files(w->dir_fd, &files, &e), 0);
	for (size_t i = 0; i < files.n; i++) {
		audit_file_name(files.first[i], name);
		unlinkat(w->dir_fd, name, 0);
	}
	audit_files_clean(&files);
	close(w->dir_fd);
	rmdir(w->dir);
	free(w);
	return 0;
}

static int append(struct world *w, const char *what)
{
	json_auto_t *record = json_pack("{s:s}", "what", what);
	struct err e;

	return chain_append(w->chain, record, NULL, &e);
}

static void append_many(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(append(w, "x"), 0);
}

static void expect_good(struct world *w, uint64_t sequence)
{
	struct audit_head head;
	struct err e = {0};

	if (audit_read(w->dir_fd, NULL, NULL, &head, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(head.sequence, sequence);
	if (w->chain)
		assert_string_equal(head.hash, chain_head(w->chain).hash);
}

static void expect_broken(struct world *w, const char *why)
{
	struct audit_head head;
	struct err e = {0};

	assert_int_equal(audit_read(w->dir_fd, NULL, NULL, &head, &e), -EBADMSG);
	if (!strstr(e.text, why))
		fail_msg("%s", e.text);
}

static char *contents(struct world *w, uint64_t first, size_t *len)
{
	char name[AUDIT_NAME_MAX];
	struct err e;
	char *text;

	audit_file_name(first, name);
	AUTO_CLOSE int fd = openat(w->dir_fd, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(fd, BIG, &text, len, &e), 0);
	return text;
}

static void replace(struct world *w, uint64_t first, const char *text, size_t len)
{
	char name[AUDIT_NAME_MAX];
	struct err e;

	audit_file_name(first, name);
	AUTO_CLOSE int fd = openat(w->dir_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, len, &e), 0);
}

/* ---- */

static void test_append_and_reopen(void **state)
{
	struct world *w = *state;

	append_many(w, 3);
	expect_good(w, 3);
	close_chain(w);
	open_chain(w, BIG, 16);
	append_many(w, 2);
	expect_good(w, 5);
}

static int count(void *arg, const json_t *record)
{
	unsigned *n = arg;

	assert_int_equal(json_integer_value(json_object_get(record, "seq")), ++*n);
	return 0;
}

static void test_rotation_keeps_the_chain(void **state)
{
	struct world *w = *state;
	struct audit_files files;
	struct audit_head head;
	unsigned n = 0;
	struct err e;

	chain_set_limits(w->chain, 1000, 1000);
	append_many(w, 60);
	assert_int_equal(audit_read(w->dir_fd, count, &n, &head, &e), 0);
	assert_int_equal(audit_files(w->dir_fd, &files, &e), 0);
	assert_true(files.n > 4);
	assert_int_equal(n, 60 + files.n - 1); /* each new file begins with a record of its own */
	expect_good(w, n);
	audit_files_clean(&files);
}

static void test_retired_files_are_accounted_for(void **state)
{
	struct world *w = *state;
	struct audit_files files;
	char name[AUDIT_NAME_MAX];
	struct err e;

	chain_set_limits(w->chain, 1000, 3);
	append_many(w, 60);
	assert_int_equal(audit_files(w->dir_fd, &files, &e), 0);
	assert_int_equal(files.n, 3);
	assert_true(files.first[0] > 1);
	expect_good(w, chain_head(w->chain).sequence);
	audit_file_name(files.first[0], name);
	unlinkat(w->dir_fd, name, 0);
	expect_broken(w, "no record says that they were retired");
	audit_files_clean(&files);
}

static void test_tampering(void **state)
{
	struct world *w = *state;
	size_t len;

	append_many(w, 4);
	close_chain(w);
	AUTO_FREE char *text = contents(w, 1, &len);
	char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1, *fourth = strchr(third, '\n') + 1;
	size_t two = (size_t)(third - second), three = (size_t)(fourth - third);

	/* changed */
	AUTO_FREE char *changed = xmemdup(text, len);
	*strstr(changed + (second - text), "\"x\"") = ' ';
	replace(w, 1, changed, len);
	expect_broken(w, ":3: bytes before this record");
	memcpy(changed, text, len);
	strstr(changed + (second - text), "\"x\"")[1] = 'y';
	replace(w, 1, changed, len);
	expect_broken(w, ":3: the record before this one was changed");
	/* missing */
	memcpy(changed, text, len);
	memmove(changed + (second - text), third, len - (size_t)(third - text));
	replace(w, 1, changed, len - two);
	expect_broken(w, ":2: a record is missing");
	/* reordered */
	memcpy(changed, text, len);
	memcpy(changed + (second - text), third, three);
	memcpy(changed + (second - text) + three, second, two);
	replace(w, 1, changed, len);
	expect_broken(w, ":2: a record is missing before this one, or this one is not in its place");
	/* the first */
	replace(w, 1, second, len - (size_t)(second - text));
	expect_broken(w, "records up to 1 are missing");
	/* cut at the end: the files alone are in order, and their end is not auditd's */
	replace(w, 1, text, (size_t)(fourth - text));
	expect_good(w, 3);
	replace(w, 1, text, len);
	expect_good(w, 4);
}

static void test_missing_file_in_the_middle(void **state)
{
	struct world *w = *state;
	struct audit_files files;
	char name[AUDIT_NAME_MAX];
	struct err e;

	chain_set_limits(w->chain, 1000, 1000);
	append_many(w, 30);
	assert_int_equal(audit_files(w->dir_fd, &files, &e), 0);
	audit_file_name(files.first[1], name);
	unlinkat(w->dir_fd, name, 0);
	expect_broken(w, "the file before this one is missing");
	audit_files_clean(&files);
}

/* A last line cut at each of its bytes: the chain goes on, and every byte is accounted for. */
static void test_torn_last_line(void **state)
{
	struct world *w = *state;
	size_t len;

	append_many(w, 2);
	close_chain(w);
	AUTO_FREE char *text = contents(w, 1, &len);
	size_t second = (size_t)(strchr(text, '\n') + 1 - text);
	for (size_t cut = second + 1; cut < len; cut++) {
		replace(w, 1, text, cut);
		open_chain(w, BIG, 16);
		assert_int_equal(append(w, "after"), 0);
		/* Whole but for its newline, the line is a record; else "recovered" stands in its place. */
		expect_good(w, 3);
		close_chain(w);
		size_t now;
		AUTO_FREE char *after = contents(w, 1, &now);
		assert_memory_equal(after, text, cut);
	}
	open_chain(w, BIG, 16);
	/* what was torn cannot be changed either */
	close_chain(w);
	replace(w, 1, text, len - 5);
	open_chain(w, BIG, 16);
	append_many(w, 1);
	close_chain(w);
	AUTO_FREE char *torn = contents(w, 1, &len);
	torn[second + 2] ^= 1;
	replace(w, 1, torn, len);
	expect_broken(w, "bytes before this record");
}

static void test_garbage_end_is_refused(void **state)
{
	struct world *w = *state;
	static char garbage[AUDIT_LINE_MAX + 2];
	struct err e;

	append_many(w, 1);
	close_chain(w);
	memset(garbage, 'x', sizeof garbage);
	replace(w, 1, garbage, sizeof garbage);
	assert_int_equal(chain_open(w->dir_fd, BIG, 16, &w->chain, &e), -EBADMSG);
}

/* No room: the record is refused, and once there is room again the chain is whole. covers D-21 */
static void test_no_room(void **state)
{
	struct world *w = *state;
	struct rlimit old, small;
	size_t len;

	append_many(w, 2);
	free(contents(w, 1, &len));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = len + 20;
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 3; i++)
		assert_int_equal(append(w, "no room"), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(append(w, "room"), 0);
	expect_good(w, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_append_and_reopen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation_keeps_the_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_retired_files_are_accounted_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tampering, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_file_in_the_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_last_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_end_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
