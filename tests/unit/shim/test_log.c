/* The container's log file: what the shim writes, byte for byte, read back as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define TIME 1714557600123456789ll /* 2024-05-01T10:00:00.123456789Z */

struct room {
	char path[32];
	int dir;
};

static int make_room(void **state)
{
	struct room *r = XNEW(struct room);

	snprintf(r->path, sizeof r->path, "/tmp/pouch-log-XXXXXX");
	assert_non_null(mkdtemp(r->path));
	r->dir = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = r;
	return 0;
}

static int remove_room(void **state)
{
	struct room *r = *state;

	AUTO_CLOSE int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	close(r->dir);
	assert_int_equal(tree_remove(tmp, r->path + strlen("/tmp/"), NULL, NULL), 0);
	free(r);
	return 0;
}

static void open_log(struct logfile *l, const struct room *r, uint64_t size, unsigned files)
{
	const struct shim_args a = {
		.log_dir = r->dir, .log_name = "log", .log_size = size, .log_files = files, .log_attributes = ""};

	logfile_open(l, &a);
	assert_true(l->fd >= 0);
}

static char *content(const struct room *r, const char *name, size_t *len)
{
	AUTO_CLOSE int fd = openat(r->dir, name, O_RDONLY | O_CLOEXEC);
	char *text = NULL;

	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(fd, 64u << 20, &text, len, NULL), 0);
	return text;
}

/* One line of these bytes is logged; `want` is its JSON object, parsed by someone else's parser. */
static json_t *logged(struct room *r, enum stream stream, const char *bytes, size_t n)
{
	struct logfile l;
	size_t len;

	unlinkat(r->dir, "log", 0);
	open_log(&l, r, 0, 1);
	logfile_line(&l, stream, bytes, n, TIME);
	logfile_flush(&l);
	close(l.fd);
	AUTO_FREE char *text = content(r, "log", &len);
	assert_true(len > 0 && text[len - 1] == '\n');
	json_t *o = json_loadb(text, len - 1, JSON_ALLOW_NUL, NULL);
	assert_non_null(o);
	return o;
}

static void is_docker_s(void **state)
{
	struct room *r = *state;
	struct logfile l;
	size_t len;

	open_log(&l, r, 0, 1);
	logfile_line(&l, STREAM_OUT, "hello\n", 6, TIME);
	logfile_line(&l, STREAM_ERR, "a \"b\" \\ \t\x01", 10, TIME + 1);
	logfile_flush(&l);
	close(l.fd);
	AUTO_FREE char *text = content(r, "log", &len);
	assert_string_equal(text,
			    "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-01T10:00:00.123456789Z\"}\n"
			    "{\"log\":\"a \\\"b\\\" \\\\ "
			    "\\t\\u0001\",\"stream\":\"stderr\",\"time\":\"2024-05-01T10:00:00.123456790Z\"}\n");
}

/* Each byte at each place of a word of eight, alone and before another character: the fast path and the slow one. */
static void every_byte_survives(void **state)
{
	struct room *r = *state;

	for (unsigned c = 0; c < 256; c++)
		for (size_t at = 0; at < 9; at++) {
			char bytes[18];
			memset(bytes, 'x', sizeof bytes);
			bytes[at] = (char)c;
			json_t *o = logged(r, STREAM_OUT, bytes, sizeof bytes), *log = json_object_get(o, "log");
			if (c < 0x80) {
				assert_int_equal(json_string_length(log), sizeof bytes);
				assert_memory_equal(json_string_value(log), bytes, sizeof bytes);
			} else {
				assert_int_equal(json_string_length(log), sizeof bytes + 2);
				assert_memory_equal(json_string_value(log) + at, "\xef\xbf\xbd", 3);
			}
			assert_string_equal(json_string_value(json_object_get(o, "stream")), "stdout");
			json_decref(o);
		}
}

static void utf8_stays(void **state)
{
	static const char text[] = "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x8b \x7f";

	json_t *o = logged(*state, STREAM_ERR, text, sizeof text - 1);
	assert_string_equal(json_string_value(json_object_get(o, "log")), text);
	assert_string_equal(json_string_value(json_object_get(o, "stream")), "stderr");
	json_decref(o);
}

/* Longer than the buffer, and every byte six in the file. */
static void long_lines(void **state)
{
	size_t n = 200000;
	AUTO_FREE char *bytes = xcalloc(n, 1);

	for (int c = 0; c < 2; c++) {
		memset(bytes, c ? 'y' : 1, n);
		json_t *o = logged(*state, STREAM_OUT, bytes, n), *log = json_object_get(o, "log");
		assert_int_equal(json_string_length(log), n);
		assert_memory_equal(json_string_value(log), bytes, n);
		json_decref(o);
	}
}

static void rotates(void **state)
{
	struct room *r = *state;
	struct logfile l;
	size_t len;

	open_log(&l, r, 100, 3);
	for (int i = 0; i < 5; i++) {
		logfile_line(&l, STREAM_OUT, (const char[]){(char)('0' + i), '\n'}, 2, TIME);
		logfile_flush(&l);
		logfile_line(&l, STREAM_OUT, "\n", 1, TIME);
		logfile_flush(&l);
	}
	close(l.fd);
	AUTO_FREE char *newer = content(r, "log.1", &len);
	AUTO_FREE char *older = content(r, "log.2", &len);
	assert_non_null(strstr(newer, "\"4\\n"));
	assert_non_null(strstr(older, "\"3\\n"));
	assert_int_equal(faccessat(r->dir, "log.3", F_OK, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_docker_s, make_room, remove_room),
		cmocka_unit_test_setup_teardown(every_byte_survives, make_room, remove_room),
		cmocka_unit_test_setup_teardown(utf8_stays, make_room, remove_room),
		cmocka_unit_test_setup_teardown(long_lines, make_room, remove_room),
		cmocka_unit_test_setup_teardown(rotates, make_room, remove_room),
	};

	return cmocka_run_group_tests_name("shim's log", tests, NULL, NULL);
}
