/* request: the inside of struct ipc_request; for ipc/server.c, ipc/peer.c and ipc/reply.c only. */
#ifndef POUCH_IPC_REQUEST_H
#define POUCH_IPC_REQUEST_H

#include <sys/queue.h>

#include "ipc/caller.h"
#include "ipc/channel.h"
#include "ipc/server.h"

#define REQUEST_OBJECTS_MAX 8

struct request_object {
	char *kind, *id;
};

struct ipc_peer {
	TAILQ_ENTRY(ipc_peer) next;
	struct ipc_server *server;
	struct channel *channel;
	uid_t uid;
	pid_t pid;
	enum process_id process; /* PROC_NONE before its HELLO */
	TAILQ_HEAD(, ipc_request) requests;
	unsigned nrequests;
};

TAILQ_HEAD(ipc_peers, ipc_peer);

struct ipc_server {
	struct event_base *base;
	struct ipc_server_config config;
	struct event *acceptable;
	struct event *accept_again; /* after EMFILE */
	struct ipc_peers peers;
	bool hold;
	TAILQ_HEAD(, ipc_request) held;
	size_t unanswered; /* requests alive, with or without their peer */
	bool freed;	   /* ipc_server_free() came; the memory goes with the last request */
	void (*idle)(void *arg);
	void *idle_arg;
};

struct ipc_request {
	TAILQ_ENTRY(ipc_request) next, held;
	struct ipc_server *server;
	struct ipc_peer *peer; /* NULL when it has gone */
	enum process_id sender;
	pid_t sender_pid;
	const struct ipc_message *message;
	void *msg;
	uint64_t wire_id; /* the peer's */
	uint64_t id;	  /* ours, for logs */
	const struct ipc_handler *handler;
	struct caller caller;
	bool has_caller;
	bool cancelled;
	bool awaiting_go;
	int64_t credit;
	struct event *deadline;
	struct request_object objects[REQUEST_OBJECTS_MAX];
	size_t nobjects;
	void *note;
	void (*note_free)(void *);
	void (*on_credit)(struct ipc_request *, void *);
	void *credit_arg;
	void (*on_cancel)(struct ipc_request *, void *);
	void *cancel_arg;
	void (*on_go)(struct ipc_request *, const void *, size_t, void *);
	void *go_arg;
};

/* A request has arrived: check, authorise, audit, hand to its handler. Takes `msg`. */
void request_start(struct ipc_peer *peer, const struct ipc_head *head, void *take_msg);
/* Nothing is held any more: its handler. */
void request_run(struct ipc_request *req);
/* CREDIT, CANCEL, GO for a request of this peer; one that is not there any more is no error. */
void request_credit(struct ipc_request *req, uint32_t bytes);
void request_cancel(struct ipc_request *req);
void request_go(struct ipc_request *req, const struct go *go);
struct ipc_request *request_find(struct ipc_peer *peer, uint64_t wire_id);
/* The peer has gone: nothing can be answered any more. */
void request_orphan(struct ipc_request *req);

#endif
