/* dns: the one struct of the name server, and the containers that it serves. */
#ifndef POUCH_NETD_DNS_DNS_H
#define POUCH_NETD_DNS_DNS_H

#include <event2/event.h>
#include <sys/queue.h>

#include "ipc/server.h"
#include "lib/daemon.h"
#include "netd/dns/names.h"
#include "netd/dns/packet.h"

struct forward;
struct connection;

TAILQ_HEAD(served_list, served);
TAILQ_HEAD(forward_list, forward);
TAILQ_HEAD(connection_list, connection);

struct dns {
	struct daemon daemon;
	struct ipc_server *server;
	struct names *names;
	struct name_servers upstream; /* the host's */
	struct served_list served;
	unsigned nforwards, nconnections;
};

/* A container: what it may know, and the sockets in its namespace on which it asks. */
struct served {
	TAILQ_ENTRY(served) next;
	struct dns *dns;
	char container[65];
	struct name_view view;
	int udp, tcp; /* -1: none yet */
	struct event *on_udp, *on_tcp;
	struct forward_list forwards;
	struct connection_list connections;
	unsigned nforwards, nconnections;
};

/* ---- serve.c ---- */

struct served *serve_find(struct dns *d, const char *container);
/* Its names from a checked document; sockets of -1 leave those that it has. Takes the descriptors. */
struct served *serve_set(struct dns *d, const char *container, const json_t *doc, int take_udp, int take_tcp);
void serve_forget(struct served *s);

/* ---- udp.c, tcp.c: the container's questions ---- */

void udp_start(struct served *s);
void tcp_start(struct served *s);
/* Its connections end. */
void tcp_stop(struct served *s);

/* ---- forward.c: questions for others ---- */

/* `answer` has the asker's id, and is the function's only for the moment; NULL: given up, nobody waits any more. */
typedef void (*forward_done)(void *arg, const uint8_t *answer, size_t len);

/*
 * Ask the container's name servers, by TCP or UDP as it asked. Every accepted question is answered, with a server
 * failure when nobody knows. false: too many questions wait already.
 */
bool forward_start(struct served *s, const struct packet_query *q, bool tcp, forward_done done, void *arg);
/* Give up the questions with this argument; NULL: all of the container's. */
void forward_cancel(struct served *s, const void *arg);

#endif
