/* The front with a played owner: how requests, bodies, streams and hijacks are carried. covers S-7, S-1 (framing) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/apid/fake.h"

#define CLOSE "Host: x\r\nConnection: close\r\n"
#define REST  " HTTP/1.1\r\n" CLOSE "\r\n"

static void expect(const char *request, const char *status, const char *part)
{
	AUTO_FREE char *answer = client_ask(request);

	if (strncmp(answer + (*answer ? 9 : 0), status, 3) || (part && !strstr(answer, part)))
		fail_msg("asked:\n%s\nexpected %s %s, got:\n%s", request, status, part ? part : "", answer);
}

static void test_reply(void **state)
{
	(void)state;
	expect("GET /containers/json?all=1&limit=7" REST, "200", "[{\"all\":true,\"limit\":7");
	expect("GET /v1.24/containers/json?all=False" REST, "200", "\"all\":false");
	expect("GET /containers/json?limit=x" REST, "400",
	       "query parameter limit: expected a whole number from -2147483648 to 2147483647, got 'x'");
	expect("GET /containers/json?limit=1&limit=2" REST, "400", "query parameter limit is given twice");
	expect("GET /containers/gone/json" REST, "404", "{\"message\":\"No such container: gone\"}");
	expect("GET /containers/busybox:latest/json" REST, "404", "No such container: busybox:latest");
	expect("GET /containers/%2Fone/json" REST, "200", "{\"Id\":\"/one\"}");
	expect("POST /containers/x/start" REST, "204", NULL);
	expect("HEAD /containers/x/json" REST, "200", "Content-Length: 10\r\n\r\n");
	expect("GET /nothing" REST, "404", "{\"message\":\"page not found\"}");
	expect("GET /" REST, "404", "page not found");
	expect("GET /v1.43" REST, "404", "page not found");
	expect("GET /v1.43/" REST, "404", "page not found");
	expect("PUT /containers/json" REST, "405", "Allow: GET");
	expect("PATCH /containers/x" REST, "405", "Allow: DELETE\r\n");
	expect("GET /v1.48/containers/json" REST, "400", "client version 1.48 is too new");
	expect("GET /containers/x/attach/ws" REST, "400", "this route speaks WebSocket");
	expect("GET /containers/x/top" REST, "501", "not implemented: container_top");
	expect("GET /swarm" REST, "503", "This node is not a swarm manager");
}

static void test_body(void **state)
{
	(void)state;
	expect("POST /containers/create?name=n HTTP/1.1\r\n" CLOSE
	       "Content-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"Image\":\"alpine\"}",
	       "400", NULL);
	expect("POST /containers/create?name=n HTTP/1.1\r\n" CLOSE
	       "Content-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"Image\":\"alpine\"}",
	       "201", "\"Image\":\"alpine\"");
	expect("POST /containers/create HTTP/1.1\r\n" CLOSE
	       "Content-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
	       "3\r\n{\"I\r\nf\r\nmage\":\"alpine\"}\r\n0\r\n\r\n",
	       "201", "\"Image\":\"alpine\"");
	expect("POST /containers/create" REST, "400", "invalid JSON");
	expect("POST /containers/create HTTP/1.1\r\n" CLOSE "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
	       "400", "unsupported Content-Type header (text/plain): must be 'application/json'");
	expect("POST /containers/create HTTP/1.1\r\n" CLOSE
	       "Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
	       "413", "the body is larger than");
}

/* Every form on which two readers could differ ends the connection. */
static void test_smuggling(void **state)
{
	static const char *const bad[] = {
		"GET /_ping HTTP/1.1\nHost: x\n\n",
		"GET /_ping HTTP/1.1\r\nHost: x\r\nA: b\rX\r\n\r\n",
		"GET /_ping HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
		"GET /_ping HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
		"GET /_ping HTTP/1.1\r\nHost: x\r\nA: b\001\r\n\r\n",
		"GET /_ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"GET /_ping HTTP/1.1\r\n\r\n",
		"GET /_ping HTTP/1.1\r\nHost: x\r\n\rX",
		"GET /_ping HTTP/1.2\r\nHost: x\r\n\r\n",
		"GET  /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://x/_ping HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /_p\201ng HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /_ping%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /_ping%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
		"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na",
		"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		"x\r\n\r\n0\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
		"chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
		"chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
		"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
		"chunked\r\n\r\nfffffffffffffffff\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect(bad[i], "400", "{\"message\":\"");
}

static void test_head_limits(void **state)
{
	AUTO_FREE char *large = xcalloc(1, 40000);
	size_t n = (size_t)sprintf(large, "GET /_ping HTTP/1.1\r\nHost: x\r\nA: ");

	(void)state;
	memset(large + n, 'a', 33000);
	expect(large, "431", NULL);
	n = (size_t)sprintf(large, "GET /_ping HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 110; i++)
		n += (size_t)sprintf(large + n, "A%d: b\r\n", i);
	strcpy(large + n, "\r\n");
	expect(large, "431", NULL);
}

/* Answers come in the order of the requests, whatever each of them takes. */
static void test_pipelining(void **state)
{
	int fd = client_connect();

	(void)state;
	client_send(fd, "GET /containers/a/json HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
			"POST /containers/create?name=b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
			"Content-Length: 15\r\n\r\n{\"Image\":\"one\"}"
			"GET /containers/c/json" REST);
	AUTO_FREE char *text = client_read(fd, NULL);
	const char *a = strstr(text, "{\"Id\":\"a\"}"), *ping = strstr(text, "\r\n\r\nOK"),
		   *b = strstr(text, "{\"Id\":\"b\""), *c = strstr(text, "{\"Id\":\"c\"}");
	close(fd);
	assert_true(a && ping && b && c && a < ping && ping < b && b < c);
}

static void test_slow_bytes(void **state)
{
	static const char request[] = "\r\nPOST /containers/create HTTP/1.1\r\n" CLOSE
				      "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "0f\r\n{\"Image\":\"one\"}\r\n0\r\n\r\n";
	int fd = client_connect();

	(void)state;
	for (const char *p = request; *p; p++)
		send(fd, p, 1, MSG_NOSIGNAL);
	AUTO_FREE char *text = client_read(fd, NULL);
	close(fd);
	assert_true(strstr(text, "201 Created") && strstr(text, "\"Image\":\"one\""));
}

static size_t count_char(const char *text, char c)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

static void test_stream(void **state)
{
	(void)state;
	AUTO_FREE char *few = client_ask("GET /containers/a/logs?stdout=1&tail=3" REST);
	assert_true(strstr(few, "Transfer-Encoding: chunked\r\n") && strstr(few, "\r\n3e8\r\nxxx") &&
		    strstr(few, "x\r\n0\r\n\r\n"));
	/* More than the credit and the buffers together. */
	AUTO_FREE char *many = client_ask("GET /containers/a/logs?stdout=1&tail=900" REST);
	assert_int_equal(count_char(strstr(many, "\r\n\r\n"), 'x'), 900000);
	AUTO_FREE char *old = client_ask("GET /containers/a/logs?tail=2 HTTP/1.0\r\n\r\n");
	assert_true(!strstr(old, "chunked") && count_char(strstr(old, "\r\n\r\n"), 'x') == 2000);
	AUTO_FREE char *pipe = client_ask("GET /containers/a/export" REST);
	assert_true(strstr(pipe, "application/x-tar") && count_char(strstr(pipe, "\r\n\r\n"), 'y') == 100000);
}

static void test_upload(void **state)
{
	static char piece[65536];
	int fd = client_connect();

	(void)state;
	expect("PUT /containers/a/archive?path=/x" REST, "200", "{\"bytes\":-1}");
	expect("PUT /containers/a/archive?path=/x HTTP/1.1\r\n" CLOSE "Content-Length: 4\r\n\r\nabcd", "200",
	       "{\"bytes\":4}");
	client_send(fd, "PUT /containers/a/archive?path=/x HTTP/1.1\r\n" CLOSE
			"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
	AUTO_FREE char *go = client_read(fd, "\r\n\r\n");
	assert_string_equal(go, "HTTP/1.1 100 Continue\r\n\r\n");
	for (int i = 0; i < 64; i++) {
		client_send(fd, "10000\r\n");
		assert_int_equal(fd_write_all(fd, piece, sizeof piece, NULL), 0);
		client_send(fd, "\r\n");
	}
	client_send(fd, "0\r\n\r\n");
	AUTO_FREE char *text = client_read(fd, NULL);
	assert_true(strstr(text, "{\"bytes\":4194304}"));
	close(fd);
	/* An answer before the body's end, on a connection that stays. */
	fd = client_connect();
	client_send(fd,
		    "PUT /containers/a/archive?path=/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
	AUTO_FREE char *refused = client_read(fd, "refused\"}\n");
	assert_true(strstr(refused, "403 Forbidden"));
	client_send(fd, "56789GET /_ping" REST);
	AUTO_FREE char *ping = client_read(fd, NULL);
	assert_true(strstr(ping, "200 OK"));
	close(fd);
}

static void hijack(int fd, const char *request, const char *head, const char *type, const char *early_answer)
{
	client_send(fd, request);
	AUTO_FREE char *answer = client_read(fd, "\r\n\r\n");
	assert_true(strstr(answer, head) == answer);
	assert_non_null(strstr(answer, type));
	AUTO_FREE char *early = client_read(fd, early_answer);
	assert_true(str_starts(early, "hello ") && str_eq(early + 6, early_answer));
	client_send(fd, "later");
	AUTO_FREE char *later = client_read(fd, "LATER");
	assert_string_equal(later, "LATER");
	/* The client's end is not the end of what the container says. */
	shutdown(fd, SHUT_WR);
	AUTO_FREE char *last = client_read(fd, NULL);
	assert_string_equal(last, " bye");
	close(fd);
}

static void test_hijack(void **state)
{
	(void)state;
	hijack(client_connect(),
	       "POST /containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
	       "tcp\r\n\r\nearly ",
	       "HTTP/1.1 101 UPGRADED\r\n", "Content-Type: application/vnd.docker.multiplexed-stream\r\n", "early ");
	hijack(client_connect(),
	       "POST /v1.41/containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}early ",
	       "HTTP/1.1 200 OK\r\n", "Content-Type: application/vnd.docker.raw-stream\r\n", "early ");
}

/* A client whose socket cannot be passed on: bytes go through the front, many of them too. */
static void test_pump(void **state)
{
	static const char request[] =
		"POST /containers/a/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
	char piece[1000];
	size_t got = 0;

	(void)state;
	hijack(client_connect_tcp(),
	       "POST /containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
	       "tcp\r\n\r\nearly ",
	       "HTTP/1.1 101 UPGRADED\r\n", "Content-Type: application/vnd.docker.multiplexed-stream\r\n", "EARLY ");
	int fd = client_connect_tcp();
	client_send(fd, request);
	AUTO_FREE char *head = client_read(fd, "hello ");
	assert_non_null(strstr(head, "101"));
	memset(piece, 'z', sizeof piece);
	if (fork() == 0) {
		for (int i = 0; i < 3000; i++)
			fd_write_all(fd, piece, sizeof piece, NULL);
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	for (;;) {
		ssize_t n = read(fd, piece, sizeof piece);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			got += piece[i] == 'Z';
	}
	wait(NULL);
	close(fd);
	assert_int_equal(got, 3000000);
}

static void read_exactly(int fd, unsigned char *buf, size_t len)
{
	assert_int_equal(fd_read_full(fd, buf, len, NULL), (ssize_t)len);
}

/* The example of RFC 6455, 1.3, then frames both ways: fragments with a ping between them, and the close. */
static void test_websocket(void **state)
{
	static const unsigned char frames[] = {
		0x02, 0x82, 0x00, 0x00, 0x00, 0x00, 'a',	'b',		/* the first part of a message */
		0x89, 0x81, 0x01, 0x02, 0x03, 0x04, 'p' ^ 0x01,			/* a ping with "p" */
		0x80, 0xfe, 0x00, 0x02, 0x20, 0x20, 0x20,	0x20, 'C', 'D', /* its last part, masked: "cd" */
	};
	static const unsigned char end[] = {0x88, 0x82, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe8};
	unsigned char buf[64];
	int fd = client_connect();

	(void)state;
	client_send(fd,
		    "GET /containers/a/attach/ws?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
		    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	AUTO_FREE char *head = client_read(fd, "\r\n\r\n");
	assert_non_null(strstr(head, "HTTP/1.1 101 "));
	assert_non_null(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	read_exactly(fd, buf, 8);
	assert_memory_equal(buf, "\x82\x06hello ", 8);
	assert_int_equal(fd_write_all(fd, frames, sizeof frames, NULL), 0);
	read_exactly(fd, buf, 3);
	assert_memory_equal(buf, "\x8a\x01p", 3);
	read_exactly(fd, buf, 6);
	assert_memory_equal(buf,
			    "\x82\x04"
			    "ABCD",
			    6);
	assert_int_equal(fd_write_all(fd, end, sizeof end, NULL), 0);
	read_exactly(fd, buf, 4);
	assert_memory_equal(buf, "\x88\x02\x03\xe8", 4);
	/* What the owner still says comes, and the end. */
	read_exactly(fd, buf, 6);
	assert_memory_equal(buf, "\x82\x04 bye", 6);
	assert_int_equal(read(fd, buf, sizeof buf), 0);
	close(fd);
	/* A client that does not mask its frames is told so, and ended. */
	fd = client_connect();
	client_send(fd,
		    "GET /containers/a/attach/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x82\x01x");
	AUTO_FREE char *rest = client_read(fd, "\x88\x02\x03\xea");
	assert_non_null(strstr(rest, "\x88\x02\x03\xea"));
	close(fd);
}

static bool followed(void)
{
	AUTO_FREE char *answer = client_ask("POST /containers/prune" REST);

	return strstr(answer, "\"followed\":true");
}

static void wait_until(bool (*what)(void), bool wanted)
{
	for (int i = 0; i < 6000; i++) {
		if (what() == wanted)
			return;
		usleep(10000);
	}
	fail_msg("the owner did not learn it in time");
}

static void test_client_leaves(void **state)
{
	(void)state;
	int fd = client_connect();
	client_send(fd, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
	AUTO_FREE char *head = client_read(fd, "\r\n\r\n");
	assert_true(strstr(head, "200 OK"));
	wait_until(followed, true);
	/* Half closed: it still reads. */
	shutdown(fd, SHUT_WR);
	usleep(50000);
	assert_true(followed());
	close(fd);
	wait_until(followed, false);
}

static void test_lost_owner(void **state)
{
	(void)state;
	expect("POST /containers/die/start" REST, "503", "runtimed ended before it had answered");
	expect("GET /containers/json" REST, "200", NULL);
}

static void test_times(void **state)
{
	(void)state;
	int head = client_connect(), body = client_connect(), idle = client_connect();
	client_send(head, "GET /_ping HT");
	client_send(body, "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
	AUTO_FREE char *late = client_read(head, NULL);
	assert_non_null(strstr(late, "408 Request Timeout"));
	AUTO_FREE char *stalled = client_read(body, NULL);
	assert_non_null(strstr(stalled, "408 Request Timeout"));
	AUTO_FREE char *nothing = client_read(idle, NULL);
	assert_string_equal(nothing, "");
	close(head);
	close(body);
	close(idle);
	/* The owner answers service_status with 501 and so lives: the change goes on; nothing is cut short. */
}

static int setup(void **state)
{
	(void)state;
	fake_start(NULL, 0);
	return 0;
}

/* For the test of them alone: any other may take longer on a machine that is busy elsewhere. */
static int setup_short_limits(void **state)
{
	static const char *const sets[] = {"limits.head-timeout=300ms", "limits.idle-timeout=1s",
					   "limits.body-timeout=400ms"};

	(void)state;
	fake_start(sets, ARRAY_LEN(sets));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reply),	   cmocka_unit_test(test_body),
		cmocka_unit_test(test_smuggling),  cmocka_unit_test(test_head_limits),
		cmocka_unit_test(test_pipelining), cmocka_unit_test(test_slow_bytes),
		cmocka_unit_test(test_stream),	   cmocka_unit_test(test_upload),
		cmocka_unit_test(test_hijack),	   cmocka_unit_test(test_pump),
		cmocka_unit_test(test_websocket),  cmocka_unit_test(test_client_leaves),
		cmocka_unit_test(test_lost_owner),
	};
	const struct CMUnitTest limited[] = {cmocka_unit_test(test_times)};

	return cmocka_run_group_tests(tests, setup, teardown) +
	       cmocka_run_group_tests(limited, setup_short_limits, teardown);
}
