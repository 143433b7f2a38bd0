/* reference: the grammar of names, full and familiar forms. covers S-10 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/reference.h"
#include "lib/util.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_full(void **state)
{
	static const struct {
		const char *text, *full;
	} rows[] = {
		{"busybox", "docker.io/library/busybox:latest"},
		{"a/b:1", "docker.io/a/b:1"},
		{"index.docker.io/a/b", "docker.io/a/b:latest"},
		{"localhost/x", "localhost/x:latest"},
		{"localhost:5000/x__y/z-1:T_.-", "localhost:5000/x__y/z-1:T_.-"},
		{"r.example/x@sha256:" HEX64, "r.example/x@sha256:" HEX64},
		{"[::1]:5000/x", "[::1]:5000/x:latest"},
	};
	char buf[REFERENCE_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reference r;
		struct err e = {0};
		assert_int_equal(reference_parse(rows[i].text, "docker.io", &r, &e), 0);
		assert_string_equal(reference_full(&r, buf), rows[i].full);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {"",
					   "A",
					   "a//b",
					   "a/",
					   "/a",
					   "a:",
					   "a:b:c",
					   "a..b",
					   "a___b",
					   "-a",
					   "a-",
					   "a@b",
					   "a@sha256:12",
					   "a@sha512:" HEX64,
					   HEX64,
					   "x/../y",
					   "a b",
					   "a:-b",
					   "-.x/a",
					   "localhost:123456/a",
					   "a\nb"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reference r;
		struct err e = {0};
		if (reference_parse(rows[i], "docker.io", &r, &e) != -22)
			fail_msg("taken: %s", rows[i]);
	}
}

static void test_familiar(void **state)
{
	char buf[REFERENCE_TEXT];

	(void)state;
	assert_string_equal(reference_familiar("docker.io/library/x:1", "docker.io", buf), "x:1");
	assert_string_equal(reference_familiar("docker.io/a/x:1", "docker.io", buf), "a/x:1");
	assert_string_equal(reference_familiar("quay.io/x:1", "docker.io", buf), "quay.io/x:1");
	assert_true(reference_matches("a/x:1", "a/*"));
	assert_true(reference_matches("a/x:1", "a/x"));
	assert_false(reference_matches("a/x:1", "*"));
}

static void test_digests(void **state)
{
	(void)state;
	assert_true(digest_valid("sha256:" HEX64));
	assert_false(digest_valid("sha256:" HEX64 "0"));
	assert_false(digest_valid("sha256:../../../../../../../../../../../../../../../../../../../../xx"));
	assert_false(digest_valid("sha256:E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_familiar),
		cmocka_unit_test(test_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
