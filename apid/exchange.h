/*
 * exchange: one request and its answer: parse, route, read the body, ask the owner, write what it says.
 * Lives from the end of the head to the end of the answer (a hijacked one until the owner has said END).
 */
#ifndef POUCH_APID_EXCHANGE_H
#define POUCH_APID_EXCHANGE_H

#include "apid/body.h"
#include "apid/connection.h"
#include "apid/fill.h"
#include "apid/head.h"
#include "apid/route.h"
#include "apid/target.h"
#include "apid/websocket.h"

enum exchange_sink { SINK_DISCARD, SINK_JSON, SINK_UPLOAD };

struct exchange {
	struct garbage garbage;
	struct apid *apid;
	struct connection *conn; /* NULL once the stream is the owner's */
	struct http_head head;
	struct target target;
	const struct route *route;
	void *msg; /* struct of the route's message */
	struct fill fill;
	char audit_id[32];
	struct timespec began;

	struct http_body body;
	enum exchange_sink sink;
	bool body_done;
	bool keep; /* the connection stays behind the answer */
	struct evbuffer *json;
	struct upload {
		int fd; /* writing end of the pipe, -1: none, or closed */
		struct event *writable;
		struct evbuffer *held; /* read from the client and not yet in the pipe */
		bool broken;	       /* the owner reads no more */
	} upload;

	struct ipc_call *call;
	struct ipc_call *alive; /* the question whether the owner still lives */
	struct event *deadline;
	bool unconnected; /* when the deadline was set, the owner was not there */

	struct gather *gather; /* what it waits for, when apid answers itself */

	int status; /* of the answer's head, 0 before it */
	bool chunked;
	bool answered; /* completely */
	uint32_t owed; /* bytes of chunks that are not yet credited */
	struct source {
		int fd; /* reading end of the pipe that carries the answer, -1: none */
		struct event *readable;
		bool ended; /* the owner has said END */
	} source;
	struct websocket *ws; /* the hijacked stream goes through WebSocket frames; NULL: it does not */
	char ws_accept[WEBSOCKET_ACCEPT];
	struct pump {
		int fd; /* our end of the socket pair that a remote client's stream goes through, -1: none */
		struct event *readable, *writable;
	} pump;
};

/* ---- for the connection ---- */

/* A whole head has come. Afterwards the connection is in the state that the exchange put it in. */
void exchange_new(struct connection *c, const char *head, size_t len);
/* An answer to a request that is none (status and text in `e`); the connection is closed behind it. */
void exchange_refuse(struct connection *c, const struct err *e);
/* Bytes for the body; returns how many of them were taken (fewer: call again after connection_resume()). */
size_t exchange_body(struct exchange *x, const char *data, size_t len);
/* All of the answer so far has been taken by the client's side. */
void exchange_drained(struct exchange *x);
/* The head of the hijack has gone out. */
void exchange_handoff(struct exchange *x);
/* No byte of the body has come for too long. */
void exchange_stalled(struct exchange *x);
/* The client has gone: cancel. */
void exchange_abandon(struct exchange *x);

/* ---- among the exchange's own files ---- */

/* answer.c: whole answers. */
void answer_error(struct exchange *x, const struct err *e);
void answer_text(struct exchange *x, int status, const char *content_type, const char *headers, const char *text,
		 size_t len);
void answer_not_allowed(struct exchange *x, const char *allow, const struct err *e);
void answer_json(struct exchange *x, int status, struct json_t *take_json);
/* answer.c: the head of a streamed or hijacked answer. */
void answer_begin_stream(struct exchange *x, const char *content_type, const char *headers);
void answer_begin_hijack(struct exchange *x, const char *content_type);
void answer_continue(struct exchange *x);

/* stream.c: pieces of the answer. */
void stream_chunk(struct exchange *x, struct chunk *chunk);
void stream_drained(struct exchange *x);
void stream_end(struct exchange *x);
void stream_clean(struct exchange *x);

/* upload.c */
int upload_open(struct exchange *x, int *reader, struct err *e);
void upload_piece(struct exchange *x, const char *data, size_t len);
bool upload_ready(const struct exchange *x);
void upload_end(struct exchange *x);
void upload_clean(struct exchange *x);

/* forward.c: to the owner. */
void forward(struct exchange *x);
void forward_cancel(struct exchange *x);

/* exchange.c */
/* The answer is written completely. */
void exchange_answered(struct exchange *x);
/* Will the connection take another request behind this one? A long rest of a body is not read away. */
bool exchange_keeps(const struct exchange *x);
/* The connection cannot be used further: the answer broke off. */
void exchange_cut(struct exchange *x);

/* system.c: the operations that apid answers itself. */
void system_answer(struct exchange *x);

#endif
