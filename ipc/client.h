/*
 * client: calls to one helper. Connects when first needed, says HELLO, reconnects with back-off;
 * calls made meanwhile wait (until their deadline); a HELLO of another version ends them with 503. After a connection
 * is lost, calls that are repeatable (effect SAFE or REVEAL, or `repeatable`) are sent again, others end with
 * -ECONNRESET.
 */
#ifndef POUCH_IPC_CLIENT_H
#define POUCH_IPC_CLIENT_H

#include <event2/event.h>

#include "ipc/message.h"
#include "lib/histogram.h"

struct ipc_client;
struct ipc_call;

struct ipc_client_config {
	enum process_id self;
	enum process_id peer;
	const char *path; /* of the peer's socket, as seen by this process */
	uid_t ids_base;
	unsigned max_calls; /* in flight or waiting; beyond: -EBUSY. 0: 1024 */
};

struct ipc_client *ipc_client_new(struct event_base *base, const struct ipc_client_config *config);
/* Ends all calls with -ECANCELED. May be called from any callback of its own, also from those that it makes itself. */
void ipc_client_free(struct ipc_client *c);
/* Do not wait for the first call: who is told of the connection has something to say. */
void ipc_client_connect(struct ipc_client *c);
bool ipc_client_connected(const struct ipc_client *c);
/* Another max_calls from here on; those in flight stay. */
void ipc_client_set_max_calls(struct ipc_client *c, unsigned max_calls);
/* For /metrics: connected (1 or 0); calls in flight or waiting; calls that ended without the peer's answer. */
double ipc_client_is_up(const struct ipc_client *c);
double ipc_client_calls(const struct ipc_client *c);
double ipc_client_failures(const struct ipc_client *c);
/* From each call to the first of its answer. */
const struct histogram *ipc_client_took(const struct ipc_client *c);
/* Told of each connect (true) and loss (false); may be NULL. */
void ipc_client_on_state(struct ipc_client *c, void (*fn)(void *arg, bool connected), void *arg);

struct ipc_call_events {
	/* A piece of a streamed answer. `chunk->pipe` may be taken (STEAL_FD). May be NULL for plain calls. */
	void (*chunk)(void *arg, struct chunk *chunk);
	/* The helper is ready for the hijack: tell the client, then call ipc_call_go(). */
	void (*hijack)(void *arg, const char *content_type);
	/*
	 * The end, exactly once unless cancelled. `reply` is the struct of the row's reply type, valid during the
	 * call; NULL on failure, then `e` says why (-ETIMEDOUT, -ECONNRESET, -EBUSY or the helper's own error).
	 */
	void (*done)(void *arg, void *reply, const struct err *e);
};

struct ipc_call_options {
	uint32_t deadline_ms; /* 0: none */
	bool repeatable;      /* a MSG may be sent twice; an OP knows by its effect */
};

/*
 * Send message `number`. `msg` is encoded now; descriptors in it are duplicated, and stay the caller's.
 * `events` must be static. Returns NULL with the reason when the message cannot be sent at all.
 */
struct ipc_call *ipc_call(struct ipc_client *c, uint16_t number, void *msg, const struct ipc_call_options *options,
			  const struct ipc_call_events *events, void *arg, struct err *e);
/* The answer is not wanted any more: no further event, CANCEL goes to the helper. */
void ipc_call_cancel(struct ipc_call *call);
/* Leave to send `bytes` more of chunks; a call starts with IPC_CREDIT. Give back what has been passed on. */
void ipc_call_credit(struct ipc_call *call, uint32_t bytes);
/* After 101 has been written: the bytes that the client sent early. */
void ipc_call_go(struct ipc_call *call, const void *early, size_t len);

/*
 * The same without an event loop, for command lines, workers and shims: connect to `path`, HELLO, one request, its
 * reply. *reply is a fresh struct of the reply type: free with channel_msg_free().
 */
int ipc_call_sync(enum process_id self, const char *path, uint16_t number, void *msg, uint32_t deadline_ms,
		  void **reply, struct err *e);

#endif
