/* Calls over a real socket: answers, errors, busy, loss of the server, liars. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/client.h"
#include "ipc/packet.h"
#include "ipc/server.h"
#include "lib/log.h"
#include "lib/util.h"

struct world {
	struct event_base *base;
	char dir[64], path[96];
	int listen_fd;
	struct ipc_server *server;
	struct ipc_client *client;
	unsigned handled;
	struct ipc_request *held, *all_held[8];
	size_t nheld;
	bool hold;
	/* the last answer */
	bool done;
	bool frees; /* the client, in the callback */
	int code;
	char text[ERR_TEXT_MAX];
	char name[64];
};

static void on_service_status(struct ipc_request *req, struct service_status *msg, struct world *w)
{
	(void)msg;
	w->handled++;
	if (w->hold) {
		w->held = w->all_held[w->nheld++] = req;
		return;
	}
	json_t *state = json_pack("{s:s,s:s}", "Name", "test", "Blob", "");
	char *big = xcalloc(200001, 1);
	memset(big, 'x', 200000);
	json_object_set_new(state, "Blob", json_string(big)); /* beyond a packet: goes by memfd */
	free(big);
	struct service_state reply = {.state = {.json = state}};
	ipc_reply(req, &reply);
	json_decref(state);
}

static struct ipc_handler handlers[] = {IPC_HANDLER(service_status, struct world)};

static void start_server(struct world *w)
{
	struct ipc_server_config config = {.self = PROC_imaged,
					   .listen_fd = w->listen_fd,
					   .handlers = handlers,
					   .nhandlers = ARRAY_LEN(handlers),
					   .daemon = w,
					   .proc_fd = -1,
					   .max_requests = 4};
	struct err e;

	assert_int_equal(ipc_server_new(w->base, &config, &w->server, &e), 0);
}

static int setup(void **state)
{
	struct world *w = XNEW(struct world);
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	log_set_level(LOG_LEVEL_ERROR);
	w->base = event_base_new();
	snprintf(w->dir, sizeof w->dir, "/tmp/pouch-ipc-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof w->path, "%s/s", w->dir);
	snprintf(sun.sun_path, sizeof sun.sun_path, "%s", w->path);
	w->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->listen_fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(w->listen_fd, 16), 0);
	start_server(w);
	struct ipc_client_config config = {.self = PROC_pouchd, .peer = PROC_imaged, .path = w->path};
	w->client = ipc_client_new(w->base, &config);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	ipc_client_free(w->client);
	ipc_server_free(w->server);
	close(w->listen_fd);
	unlink(w->path);
	rmdir(w->dir);
	event_base_free(w->base);
	free(w);
	return 0;
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct world *w = arg;

	w->done = true;
	w->code = e ? e->code : 0;
	if (e)
		snprintf(w->text, sizeof w->text, "%s", e->text);
	if (reply) {
		json_t *state = ((struct service_state *)reply)->state.json;
		snprintf(w->name, sizeof w->name, "%s", json_string_value(json_object_get(state, "Name")));
		assert_int_equal(json_string_length(json_object_get(state, "Blob")), 200000);
	}
	if (w->frees)
		ipc_client_free(STEAL(w->client));
	event_base_loopbreak(w->base);
}

static const struct ipc_call_events events = {.done = on_done};

static void run_until_done(struct world *w)
{
	w->done = false;
	event_base_dispatch(w->base);
	assert_true(w->done);
}

static struct ipc_call *call(struct world *w, bool repeatable, uint32_t deadline)
{
	struct service_status msg = {};
	struct ipc_call_options options = {.repeatable = repeatable, .deadline_ms = deadline};
	struct err e = {0};
	struct ipc_call *c = ipc_call(w->client, IPC_service_status, &msg, &options, &events, w, &e);

	if (!c)
		print_error("%s\n", e.text);
	return c;
}

static void test_answer(void **state)
{
	struct world *w = *state;

	assert_non_null(call(w, false, 0));
	run_until_done(w);
	assert_int_equal(w->code, 0);
	assert_string_equal(w->name, "test");
}

static void test_deadline(void **state)
{
	struct world *w = *state;

	w->hold = true;
	assert_non_null(call(w, false, 30));
	run_until_done(w);
	assert_int_equal(w->code, -ETIMEDOUT);
	/* The request may come behind the end of its time. */
	while (!w->held || !ipc_request_cancelled(w->held))
		event_base_loop(w->base, EVLOOP_ONCE);
	ipc_reply_done(w->held);
}

static void test_held(void **state)
{
	struct world *w = *state;

	w->hold = false;
	ipc_server_hold(w->server);
	assert_non_null(call(w, false, 30));
	run_until_done(w);
	assert_int_equal(w->code, -ETIMEDOUT);
	assert_int_equal(w->handled, 0);
	handlers[0].at_once = true;
	assert_non_null(call(w, false, 0));
	run_until_done(w);
	assert_int_equal(w->code, 0);
	assert_int_equal(w->handled, 1);
	handlers[0].at_once = false;
	/* It came first, and its handler finds that nobody waits any more. */
	ipc_server_go_on(w->server);
	assert_int_equal(w->handled, 2);
	assert_non_null(call(w, false, 0));
	run_until_done(w);
	assert_int_equal(w->code, 0);
	/* The server goes while one is held. */
	ipc_server_hold(w->server);
	assert_non_null(call(w, false, 30));
	run_until_done(w);
	ipc_server_free(w->server);
	start_server(w);
	assert_non_null(call(w, true, 0));
	run_until_done(w);
	assert_int_equal(w->code, 0);
}

static void test_error(void **state)
{
	struct world *w = *state;

	w->hold = true;
	assert_non_null(call(w, false, 0));
	while (!w->held)
		event_base_loop(w->base, EVLOOP_ONCE);
	ipc_fail(w->held, 409, "no: %s", "conflict");
	run_until_done(w);
	assert_int_equal(w->code, -EEXIST);
	assert_string_equal(w->text, "no: conflict");
}

static void test_busy(void **state)
{
	struct world *w = *state;
	struct ipc_call *calls[4];

	w->hold = true;
	for (int i = 0; i < 4; i++)
		calls[i] = call(w, false, 0);
	call(w, false, 0);
	run_until_done(w);
	assert_int_equal(w->code, -EBUSY);
	for (int i = 0; i < 4; i++)
		ipc_call_cancel(calls[i]);
	for (size_t i = 0; i < w->nheld; i++)
		ipc_reply_done(w->all_held[i]);
}

/* covers D-16, D-17: the server goes with a request unanswered; what may be repeated is, the rest is told. */
static void test_server_lost(void **state)
{
	struct world *w = *state;

	w->hold = true;
	assert_non_null(call(w, true, 0));
	while (!w->held)
		event_base_loop(w->base, EVLOOP_ONCE);
	struct ipc_request *orphan = w->held;
	ipc_server_free(w->server);
	ipc_reply_done(orphan);
	w->hold = false;
	start_server(w);
	run_until_done(w);
	assert_int_equal(w->code, 0);
	assert_int_equal(w->handled, 2);

	w->hold = true;
	w->held = NULL;
	assert_non_null(call(w, false, 0));
	while (!w->held)
		event_base_loop(w->base, EVLOOP_ONCE);
	ipc_server_free(w->server);
	ipc_reply_done(w->held);
	w->hold = false;
	start_server(w);
	run_until_done(w);
	assert_int_equal(w->code, -ECONNRESET);
}

/* Who has its answer, or learns that there will be none, may have no use for the client any more. */
static void test_freed_in_callback(void **state)
{
	struct world *w = *state;

	w->frees = true;
	assert_non_null(call(w, false, 0));
	run_until_done(w);
	assert_int_equal(w->code, 0);
	assert_null(w->client);
}

static void test_freed_when_lost(void **state)
{
	struct world *w = *state;

	w->frees = w->hold = true;
	assert_non_null(call(w, false, 0));
	assert_non_null(call(w, false, 0)); /* ends within the first one's callback */
	while (w->nheld < 2)
		event_base_loop(w->base, EVLOOP_ONCE);
	ipc_server_free(w->server);
	ipc_reply_done(w->all_held[0]);
	ipc_reply_done(w->all_held[1]);
	w->server = NULL;
	run_until_done(w);
	assert_int_equal(w->code, -ECANCELED); /* the second one's */
	assert_null(w->client);
}

static void test_freed_by_connection(void *arg, bool connected)
{
	struct world *w = arg;

	if (connected == w->done)
		ipc_client_free(STEAL(w->client));
}

/* The same from where a connection, and its loss, are told; calls that wait end. */
static void test_freed_when_told(void **state)
{
	struct world *w = *state;

	ipc_client_on_state(w->client, test_freed_by_connection, w);
	w->done = true; /* at its beginning */
	ipc_client_connect(w->client);
	assert_non_null(call(w, false, 0));
	while (w->client)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->code, -ECANCELED);
}

static void liar_message(void *arg, const struct ipc_head *head, void *msg)
{
	struct ipc_head reply = {.message = ipc_message(IPC_hello), .kind = K_HELLO};
	struct hello hello = {.schema = ipc_schema_hash() ^ 1, .process = PROC_imaged};
	struct channel **c = arg;

	channel_send(*c, &reply, &hello, NULL);
	channel_msg_free(head->message, msg);
}

static void liar_closed(void *arg, const struct err *why)
{
	struct channel **c = arg;

	(void)why;
	channel_free(STEAL(*c));
}

/* Waiting makes no other version of it: who asks is told. */
static void test_another_version(void **state)
{
	static const struct channel_events liar = {.message = liar_message, .closed = liar_closed};
	struct world *w = *state;
	struct channel *c;

	ipc_server_free(STEAL(w->server));
	assert_non_null(call(w, true, 0));
	int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	c = channel_new(w->base, fd, &liar, &c);
	run_until_done(w);
	assert_non_null(strstr(w->text, "is of another version"));
	assert_int_equal(w->handled, 0);
	if (c)
		channel_free(c);
}

static void test_sync(void **state)
{
	struct world *w = *state;
	struct err e = {0};
	void *reply = NULL;
	struct service_status msg = {};

	pid_t server = fork();
	if (server == 0) {
		event_reinit(w->base);
		event_base_dispatch(w->base);
		_exit(0);
	}
	assert_int_equal(ipc_call_sync(PROC_pouchd, w->path, IPC_service_status, &msg, 5000, &reply, &e), 0);
	json_t *doc = ((struct service_state *)reply)->state.json;
	assert_string_equal(json_string_value(json_object_get(doc, "Name")), "test");
	channel_msg_free(ipc_message(IPC_service_state), reply);
	/* imaged may not ask for this: its connection is dropped */
	assert_true(ipc_call_sync(PROC_runtimed, w->path, IPC_service_status, &msg, 5000, &reply, &e) < 0);
	/* uid 0 is not apid's uid */
	assert_true(ipc_call_sync(PROC_apid, w->path, IPC_service_status, &msg, 5000, &reply, &e) < 0);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}

/* covers S-84: noise costs the peer its connection, the server lives. */
static void test_noise(void **state)
{
	struct world *w = *state;
	static const char noise[] = "GET / HTTP/1.1\r\n\r\n";
	struct err e;

	int fd = packet_connect(w->path, 0, &e);
	assert_true(fd >= 0);
	assert_int_equal(packet_send(fd, noise, sizeof noise, NULL, 0, 0), 0);
	for (int i = 0; i < 3; i++)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	char byte;
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
	test_answer(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_in_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_when_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_when_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
