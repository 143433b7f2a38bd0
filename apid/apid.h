/* apid: the HTTP front's one state: its clients of other processes, its connections, its limits and counts. */
#ifndef POUCH_APID_APID_H
#define POUCH_APID_APID_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "ipc/client.h"
#include "lib/config.h"

#define APID_BUFFER (64u << 10)

struct connection;
struct exchange;
struct listener;
struct guard;
struct json_t;
struct stats;

/* Memory that callbacks further up the stack may still look at; freed at the loop's next turn. */
struct garbage {
	SLIST_ENTRY(garbage) next;
	void *p; /* what this is a part of */
};

/* Connections of one user, or of one address. */
struct client_count {
	uint64_t key;
	unsigned n;
};

TAILQ_HEAD(connections, connection);

struct apid {
	struct event_base *base;
	const struct config *config;		/* limits; replaced on reload */
	struct ipc_client *clients[PROC_LIMIT]; /* NULL: no such process here */
	struct listener *listeners;
	size_t nlisteners;
	struct connections connections;
	size_t nconnections, nexchanges;
	size_t max_connections; /* what the limit of open files allows */
	struct client_count *counts;
	size_t ncounts;
	SLIST_HEAD(, garbage) garbage;
	struct event *collect;
	struct stats *stats;
	struct guard *guard; /* NULL: nothing is decided early (tests) */
	struct json_t *host; /* the host's share of /info, read before the sandbox; NULL without */
	uint32_t boot;	     /* random: tells this run's requests from another's */
	uint64_t next_request;
	uint64_t reads; /* of clients' bytes */
	bool stopping;
	unsigned stop_turns;
	void (*on_stopped)(void *arg);
	void *stopped_arg;
	char *common_headers;	  /* of every answer */
	char buffer[APID_BUFFER]; /* what is being read or copied this very moment */
};

struct apid *apid_new(struct event_base *base, const struct config *config);
void apid_free(struct apid *a);
/* Other settings from here on; the listeners are the same. */
void apid_configure(struct apid *a, const struct config *config);
/* Calls to `peer` go to the socket at `path`. */
void apid_add_peer(struct apid *a, enum process_id peer, const char *path);
/* Accept no more, let the requests in flight end (a few seconds), then call `done`. */
void apid_stop(struct apid *a, void (*done)(void *arg), void *arg);
/* For daemon_run(): events until the end of the loop. 0, or -1 when it fails. */
int apid_loop(struct event_base *base, void *arg);
/* free(p), later; `g` is a part of it. */
void apid_discard(struct apid *a, struct garbage *g, void *p);

#endif
