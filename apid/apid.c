#include "apid/apid.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/random.h>

#include "apid/connection.h"
#include "apid/listener.h"
#include "apid/route.h"
#include "apid/stats.h"
#include "lib/util.h"
#include "lib/version.h"

#define STOP_MS 3000

static void collect(struct apid *a)
{
	struct garbage *g;

	while ((g = SLIST_FIRST(&a->garbage))) {
		SLIST_REMOVE_HEAD(&a->garbage, next);
		free(g->p);
	}
}

static void on_collect(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	collect(arg);
}

void apid_discard(struct apid *a, struct garbage *g, void *p)
{
	g->p = p;
	if (SLIST_EMPTY(&a->garbage))
		event_active(a->collect, EV_TIMEOUT, 0);
	SLIST_INSERT_HEAD(&a->garbage, g, next);
}

struct apid *apid_new(struct event_base *base, const struct config *config)
{
	struct apid *a = XNEW(struct apid);

	routes_init();
	a->base = base;
	a->config = config;
	TAILQ_INIT(&a->connections);
	SLIST_INIT(&a->garbage);
	a->collect = evtimer_new(base, on_collect, a);
	a->stats = stats_new();
	if (getrandom(&a->boot, sizeof a->boot, 0) != sizeof a->boot)
		abort();
	a->common_headers = xasprintf("Api-Version: 1.%d\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
				      "Server: Pouch/%s (linux)\r\n",
				      API_VERSION_LAST, pouch_version);
	return a;
}

void apid_free(struct apid *a)
{
	struct connection *c;

	if (!a)
		return;
	listener_stop_all(a);
	while ((c = TAILQ_FIRST(&a->connections)))
		connection_close(c);
	for (size_t i = 0; i < PROC_LIMIT; i++)
		ipc_client_free(a->clients[i]);
	collect(a);
	listener_free_all(a);
	event_free(a->collect);
	stats_free(a->stats);
	json_decref(a->host);
	free(a->counts);
	free(a->common_headers);
	free(a);
}

void apid_configure(struct apid *a, const struct config *config)
{
	a->config = config;
	for (size_t i = 0; i < PROC_LIMIT; i++)
		if (a->clients[i])
			ipc_client_set_max_calls(a->clients[i], config->limits_requests);
}

void apid_add_peer(struct apid *a, enum process_id peer, const char *path)
{
	const struct ipc_client_config config = {
		.self = PROC_apid,
		.peer = peer,
		.path = path,
		.ids_base = a->config->ids_base,
		.max_calls = a->config->limits_requests,
	};

	a->clients[peer] = ipc_client_new(a->base, &config);
}

static void look_whether_stopped(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval soon = {.tv_usec = 20000};
	struct apid *a = arg;
	struct connection *c, *next;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&a->connections); c; c = next) {
		next = TAILQ_NEXT(c, next);
		if (connection_idle(c))
			connection_close(c);
	}
	if (a->nexchanges && a->stop_turns++ < STOP_MS / 20)
		event_base_once(a->base, -1, EV_TIMEOUT, look_whether_stopped, a, &soon);
	else
		a->on_stopped(a->stopped_arg);
}

void apid_stop(struct apid *a, void (*done)(void *arg), void *arg)
{
	if (a->stopping)
		return;
	a->stopping = true;
	a->on_stopped = done;
	a->stopped_arg = arg;
	listener_stop_all(a);
	look_whether_stopped(-1, 0, a);
}
