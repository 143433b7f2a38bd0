/*
 * logger: a container's log worker: pouchd spawns it when its socket is connected to, it gets one end of a socket and
 * what the driver is to do, the shim the other end. From then on the two need nobody: neither a restart of runtimed nor
 * of pouchd ends them. When a worker dies the shim says so, and gets another.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/client.h"
#include "ipc/codec.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define OPEN_MS	     30000 /* for the first connection to a collector */
#define AGAIN_MS     50	   /* before a worker that died has a successor; doubled each time */
#define AGAIN_MS_MAX 10000

struct logger {
	struct launch_run *run;
	json_t *setup;
	struct ipc_client *client;
	struct ipc_call *call;
	struct event *again;
	unsigned delay;
	bool starting;
};

static void let_go(struct logger *g)
{
	if (g->client)
		ipc_client_free(STEAL(g->client));
	g->call = NULL;
}

void logger_free(struct logger *g)
{
	if (!g)
		return;
	let_go(g);
	if (g->again)
		event_free(g->again);
	json_decref(g->setup);
	free(g);
}

static void plan(struct logger *g, unsigned ms)
{
	const struct timeval t = timeval_ms(ms);

	event_add(g->again, &t);
}

static void on_carried(void *arg, void *reply, const struct err *e)
{
	struct logger *g = arg;
	struct launch_run *run = g->run;
	struct err why;

	g->call = NULL;
	if (reply) {
		g->delay = AGAIN_MS;
		let_go(g); /* the worker needs nobody; a connection that ends would be made again */
	}
	if (!g->starting) {
		if (!reply)
			log_warn("container %.12s: its log worker: %s", launch_id(run), e->text);
		return;
	}
	g->starting = false;
	if (!reply) {
		why = *e;
		err_prefix(&why, "failed to initialize logging driver");
		why.status = why.status ? why.status : 500;
	}
	run_go_on(run, reply ? NULL : &why);
}

/* Ask for a worker; `again`: the container runs already. Returns the shim's end of the lines' socket. */
static int ask(struct logger *g, bool again, struct err *e)
{
	static const struct ipc_call_events events = {.done = on_carried};
	static const struct ipc_call_options options = {.deadline_ms = OPEN_MS};
	const struct ipc_client_config config = {.self = PROC_runtimed,
						 .peer = PROC_log,
						 .path = g->run->launch->c.log_socket,
						 .ids_base = g->run->launch->c.ids_base};
	int pair[2];

	let_go(g);
	AUTO_FREE char *text = json_dumps(g->setup, JSON_COMPACT);
	AUTO_CLOSE int setup = fd_memfd("log", text, strlen(text), e);
	if (setup < 0)
		return setup;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "socketpair");
	AUTO_CLOSE int theirs = pair[0];
	AUTO_CLOSE int shims = pair[1];
	int r = fd_set_nonblock(shims, e);
	if (r < 0)
		return r;
	struct log_carry m = {.lines = theirs, .setup = setup, .again = again};
	g->client = ipc_client_new(g->run->launch->c.base, &config);
	g->call = ipc_call(g->client, IPC_log_carry, &m, &options, &events, g, e);
	if (!g->call)
		return e->code ? e->code : -EIO;
	return STEAL_FD(shims);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct logger *g = arg;
	struct wire_head head = {.type = WIRE_LOGGER};
	struct err e;

	(void)fd;
	(void)what;
	g->delay = g->delay * 2 > AGAIN_MS_MAX ? AGAIN_MS_MAX : g->delay * 2;
	AUTO_CLOSE int lines = ask(g, true, &e);
	if (lines >= 0 && shim_send(&g->run->shim, &head, NULL, 0, lines, &e) == 0)
		return;
	log_warn("container %.12s: a log worker: %s", launch_id(g->run), e.text);
	plan(g, g->delay);
}

void logger_remember(struct launch_run *run, json_t *setup)
{
	struct logger *g = XNEW(struct logger);

	g->run = run;
	g->setup = json_incref(setup);
	g->delay = AGAIN_MS;
	g->again = evtimer_new(run->launch->c.base, on_again, g);
	run->logger = g;
}

int logger_start(struct launch_run *run, json_t *setup, int *lines, struct err *e)
{
	logger_remember(run, setup);
	int fd = ask(run->logger, false, e);
	if (fd < 0)
		return err_prefix(e, "failed to initialize logging driver"), fd;
	run->logger->starting = true;
	*lines = fd;
	return 0;
}

void logger_lost(struct launch_run *run)
{
	struct logger *g = run->logger;

	if (!g || g->starting || event_pending(g->again, EV_TIMEOUT, NULL))
		return;
	plan(g, g->delay);
}

bool logger_starting(const struct launch_run *run)
{
	return run->logger && run->logger->starting;
}
