/*
 * connection: one client's connection: bytes in, bytes out, time limits, and one exchange after the other.
 * What an exchange (apid/exchange.h) asks of it is below; it never frees under a caller: a closed connection stays
 * until the loop's next turn.
 */
#ifndef POUCH_APID_CONNECTION_H
#define POUCH_APID_CONNECTION_H

#include <event2/buffer.h>
#include <event2/event_struct.h>

#include "apid/apid.h"
#include "apid/guard.h"
#include "apid/transport.h"
#include "ipc/caller.h"
#include "lib/guard.h"

/* Bytes that may wait before more is read: of a client whose request is being answered, and of an answer. */
#define CONN_INPUT_MAX	(48u << 10)
#define CONN_OUTPUT_MAX (256u << 10)

enum conn_state {
	CONN_HEAD,    /* between requests, or in a head */
	CONN_BODY,    /* the exchange reads its body */
	CONN_WAIT,    /* the exchange has its request and works on its answer */
	CONN_HANDOFF, /* writes the head of a hijack, then its stream is another's */
	CONN_PUMP,    /* carries bytes between client and owner (apid/pump.h) */
	CONN_LINGER,  /* has said its last; reads away what the client still sends */
	CONN_CLOSED,
};

struct connection {
	TAILQ_ENTRY(connection) next;
	struct garbage garbage;
	struct apid *apid;
	const struct listener *listener;
	uint64_t counted;	  /* key of its client_count */
	struct caller *caller;	  /* who the client is; NULL before its first request */
	struct guard_known known; /* what it may do */
	char *attested;		  /* who the client is by certificate; NULL for a local client */
	struct transport transport;
	enum conn_state state;
	struct head_guard guard;
	struct event readable, writable, timer;
	struct evbuffer *in, *out;
	struct exchange *exchange;
	size_t lingered;
	bool local; /* a UNIX socket: may be passed on */
	bool eof;   /* the client sends no more */
	bool processing;
	bool close_when_written;
	bool busy_timer; /* the timer runs for a head that has begun */
};

/* Takes the descriptor and `attested`. */
struct connection *connection_new(struct apid *a, const struct listener *l, int take_fd, uint64_t counted);
void connection_close(struct connection *c);
/* No request is in flight and none has begun: may be closed without anyone noticing. */
bool connection_idle(const struct connection *c);

/* ---- for exchanges ---- */

struct evbuffer *connection_out(struct connection *c);
/* Behind what is in connection_out(); sent at once as far as the client takes it. */
void connection_send(struct connection *c, const void *data, size_t len);
/* Send what is in connection_out(). */
void connection_flush(struct connection *c);
/* The answer is written completely and the request read completely: on to the next. `keep`: the connection stays. */
void connection_next(struct connection *c, bool keep);
/* The request is read completely. */
void connection_body_done(struct connection *c);
/* Go on reading the body: the exchange can take bytes again. */
void connection_resume(struct connection *c);
/* The head of a hijack is in connection_out(): when it has gone out, exchange_handoff() is called. */
void connection_hand_off(struct connection *c);
/* Forget the stream: it is another's now. */
void connection_release(struct connection *c);

#endif
