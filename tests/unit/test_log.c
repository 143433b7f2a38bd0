/* lib/log: one event is one line of one form, whatever a peer has put into it; lib/secret. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log.h"
#include "lib/secret.h"
#include "lib/util.h"

/* What `say` writes to stderr. */
static void captured(void (*say)(void), char *buf, size_t size)
{
	int ends[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	say();
	dup2(saved, STDERR_FILENO);
	ssize_t n = read(ends[0], buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

static void say_plain(void)
{
	log_req(LOG_LEVEL_WARN, 7, "a %s", "word");
}

static void say_hostile(void)
{
	log_info("%s", "x\"\nlevel=error \\ \x1b[0m\x7f");
}

static void say_long(void)
{
	char text[20000];

	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '\0';
	log_info("%s", text);
}

static void say_debug(void)
{
	log_debug("not at this level");
}

static void test_a_line(void **state)
{
	char line[8192];

	(void)state;
	captured(say_plain, line, sizeof line);
	assert_int_equal(strncmp(line, "time=20", 7), 0);
	assert_string_equal(strstr(line, " level="), " level=warn daemon=unit req=7 msg=\"a word\"\n");
}

static void test_hostile_text_stays_one_field(void **state)
{
	char line[8192];

	(void)state;
	captured(say_hostile, line, sizeof line);
	assert_string_equal(strstr(line, "msg="), "msg=\"x\\\"\\x0alevel=error \\\\ \\x1b[0m\\x7f\"\n");
}

static void test_a_long_text_is_cut(void **state)
{
	char line[32768];

	(void)state;
	captured(say_long, line, sizeof line);
	assert_true(strlen(line) < 4096);
	assert_string_equal(line + strlen(line) - 3, "a\"\n");
}

static void test_levels(void **state)
{
	char line[8192];

	(void)state;
	captured(say_debug, line, sizeof line);
	assert_string_equal(line, "");
	log_set_level(LOG_LEVEL_DEBUG);
	captured(say_debug, line, sizeof line);
	assert_non_null(strstr(line, "level=debug"));
	log_set_level(LOG_LEVEL_INFO);
}

static void test_secret(void **state)
{
	char text[] = "hunter2";
	size_t len;

	(void)state;
	struct secret *s = secret_take(text, 7);
	assert_int_equal(text[0], 0);
	assert_string_equal(secret_reveal(s, &len), "hunter2");
	assert_int_equal(len, 7);
	secret_free(s);
	secret_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line),
		cmocka_unit_test(test_hostile_text_stays_one_field),
		cmocka_unit_test(test_a_long_text_is_cut),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_secret),
	};

	log_open("unit", LOG_LEVEL_INFO, LOG_SINK_STDERR, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
