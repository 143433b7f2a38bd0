/*
 * server: a daemon's listening socket: accepts peers, checks who they are (SO_PEERCRED against
 * the sender column), decodes, re-validates, authorises and audits, and hands each request to
 * its handler. A handler answers once, now or later, from the event loop.
 *
 *   static void on_container_start(struct ipc_request *req, struct container_start *m, struct runtimed *d);
 *   static const ipc_handler handlers[] = { IPC_HANDLER(container_start, struct runtimed), … };
 */
#ifndef POUCH_IPC_SERVER_H
#define POUCH_IPC_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/types.h>

#include "ipc/message.h"

struct ipc_server;
struct ipc_request;

typedef void (*ipc_handler_fn)(struct ipc_request *req, void *msg, void *daemon);

struct ipc_handler {
	uint16_t number;
	ipc_handler_fn fn;
	bool at_once; /* also while the server holds requests */
};

/*
 * A handler row: message `name` goes to on_<name>(). The cast is safe: `msg` points to a struct name,
 * the daemon pointer is the one given to ipc_server_new().
 */
#define IPC_HANDLER_FN(name, daemon_type)                                                                              \
	((ipc_handler_fn)(1 ? on_##name : (void (*)(struct ipc_request *, struct name *, daemon_type *))0))
#define IPC_HANDLER(name, daemon_type)                                                                                 \
	{                                                                                                              \
		.number = IPC_##name, .fn = IPC_HANDLER_FN(name, daemon_type)                                          \
	}
/* The same, of one that needs no more than what the daemon knows from its first moment on. */
#define IPC_HANDLER_AT_ONCE(name, daemon_type)                                                                         \
	{                                                                                                              \
		.number = IPC_##name, .fn = IPC_HANDLER_FN(name, daemon_type), .at_once = true                         \
	}

/*
 * Who decides and who remembers, plugged in by the daemon (lib/guard.h has the engine's own).
 * identify: what has to be asked of another process before allow; goes on when `ready` is called (at once or later),
 * with the error that refuses the request, or NULL. May be NULL. allow: 0, or -EPERM with the text and status for the
 * client. It runs before the handler. before: for CHANGE: record what is about to be done; the handler runs when
 * `ready` is called with 0. after: what was answered.
 */
struct ipc_guard {
	void *arg;
	void (*identify)(void *arg, struct ipc_request *req,
			 void (*ready)(struct ipc_request *req, const struct err *e));
	int (*allow)(void *arg, struct ipc_request *req, struct err *e);
	void (*before)(void *arg, struct ipc_request *req, void (*ready)(struct ipc_request *req, int result));
	void (*after)(void *arg, struct ipc_request *req, int status);
};

struct ipc_server_config {
	enum process_id self; /* whose messages are answered here */
	int listen_fd;	      /* SEQPACKET, listening; borrowed */
	uid_t ids_base;	      /* for process_uid() */
	const struct ipc_handler *handlers;
	size_t nhandlers;
	void *daemon;		       /* handed to handlers */
	const struct ipc_guard *guard; /* NULL: no API operations here */
	int proc_fd;		       /* /proc for ipc/caller.h, -1 without */
	unsigned max_requests;	       /* in flight per peer; 0: 256. Beyond: "busy" (503) */
};

int ipc_server_new(struct event_base *base, const struct ipc_server_config *config, struct ipc_server **out,
		   struct err *e);
/* Drops all peers; requests still with a handler are cancelled, and answered into nothing. */
void ipc_server_free(struct ipc_server *s);
/* Serve one connected peer (a worker's fd 3, a socketpair); takes the descriptor. */
int ipc_server_serve_fd(struct ipc_server *s, int take_fd, struct err *e);
/* Requests are taken, and wait for their handlers until ipc_server_go_on(), but for those at once. */
void ipc_server_hold(struct ipc_server *s);
void ipc_server_go_on(struct ipc_server *s);
/* Called when the last peer has gone; for one-shot workers. */
void ipc_server_on_idle(struct ipc_server *s, void (*fn)(void *arg), void *arg);

/* ---- a request; freed by the answer ---- */

const struct ipc_message *ipc_request_message(const struct ipc_request *req);
/* The decoded struct; lives until the request is answered. */
void *ipc_request_msg(const struct ipc_request *req);
/* For logs: unique in this process. */
uint64_t ipc_request_id(const struct ipc_request *req);
/* The process that sent it, by kernel and table. */
enum process_id ipc_request_sender(const struct ipc_request *req);
pid_t ipc_request_sender_pid(const struct ipc_request *req);
/* The API client behind an OP, from the kernel (ipc/caller.h); NULL for a MSG. */
const struct caller *ipc_request_caller(const struct ipc_request *req);

/* What the audit record shall name beside the message's own ids, e.g. the id of the container just created. */
void ipc_request_object(struct ipc_request *req, const char *kind, const char *id);

/* The guard's own note on the request, e.g. the digest it computed; freed with `free_fn` when the request ends. */
void ipc_request_set_note(struct ipc_request *req, void *take_note, void (*free_fn)(void *));
void *ipc_request_note(const struct ipc_request *req);
/* The objects named by ipc_request_object(): the i-th, or false. */
bool ipc_request_object_at(const struct ipc_request *req, size_t i, const char **kind, const char **id);

/* Answers: exactly one of these ends the request. A request whose peer has gone is answered into nothing. */

/* MSG: the reply declared in its row. `reply` is a struct of that type. */
void ipc_reply(struct ipc_request *req, void *reply);
void ipc_reply_done(struct ipc_request *req);
/* OP: JSON (takes the reference; NULL: no body). */
void ipc_reply_json(struct ipc_request *req, int status, struct json_t *take_body);
/* OP: `len` bytes of ready JSON text. */
void ipc_reply_text(struct ipc_request *req, int status, const char *text, size_t len);
/* OP: with a content type or headers of its own. */
void ipc_reply_api(struct ipc_request *req, struct api_reply *reply);
/* OP or MSG: what went wrong. */
void ipc_reply_error(struct ipc_request *req, const struct err *e);
void ipc_fail(struct ipc_request *req, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Streams (answer STREAM): chunks while there is credit, then ipc_reply_done() or an error. */

/* 0; -EAGAIN without credit (ask again after on_credit); -ECANCELED when the client has gone. */
int ipc_chunk(struct ipc_request *req, const void *data, size_t len);
/*
 * The answer's bytes are read from this pipe by apid (borrowed: duplicated in flight). END still has to follow.
 * `headers`: more lines of the answer's head, NULL for none.
 */
int ipc_chunk_pipe(struct ipc_request *req, int pipe_read, const char *content_type, const char *headers);
/* Bytes that may be sent now. */
size_t ipc_request_credit(const struct ipc_request *req);
void ipc_request_on_credit(struct ipc_request *req, void (*fn)(struct ipc_request *req, void *arg), void *arg);
/* The client has gone, or its deadline has passed. The request still has to be answered (into nothing). */
void ipc_request_on_cancel(struct ipc_request *req, void (*fn)(struct ipc_request *req, void *arg), void *arg);
bool ipc_request_cancelled(const struct ipc_request *req);

/*
 * Hijack (answer HIJACK): everything is checked and ready; tell the client 101 (or 200). When it has been told, `go`
 * gets the bytes that the client sent early. The message's stream descriptor is then the handler's alone to use. After
 * that end the request with ipc_reply_done(); it may be at once, the stream lives on.
 */
void ipc_hijack(struct ipc_request *req, const char *content_type,
		void (*go)(struct ipc_request *req, const void *early, size_t len, void *arg), void *arg);

#endif
