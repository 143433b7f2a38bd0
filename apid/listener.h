/* listener: a listening socket of the API: accepts, counts clients, makes connections. */
#ifndef POUCH_APID_LISTENER_H
#define POUCH_APID_LISTENER_H

#include "apid/apid.h"

struct listener {
	struct apid *apid;
	int fd;			/* borrowed */
	uint32_t index;		/* in the config's listeners */
	bool local;		/* a UNIX socket */
	struct ssl_ctx_st *tls; /* NULL: plain */
	struct event *acceptable, *again;
};

/*
 * The listening socket `fd` (borrowed) is the config's listener `index`; keys of a TLS listener are read. All are
 * added before any is started.
 */
int listener_add(struct apid *a, int fd, uint32_t index, struct err *e);
/* Accept clients. */
void listener_start_all(struct apid *a);
/* Accept no more. */
void listener_stop_all(struct apid *a);
void listener_free_all(struct apid *a);

/* A connection of this client has gone. */
void listener_uncount(struct apid *a, uint64_t key);

#endif
