/*
 * names: what the name servers of containers know. The worker dns answers; here it is told what, and given its sockets,
 * which are kept as well: a worker that has to be started again finds them as they were, with what was asked meanwhile.
 * Containers on networks that users made have a name server, those on the default network alone have the host's.
 */
#ifndef POUCH_NETD_NAMES_H
#define POUCH_NETD_NAMES_H

#include "netd/netd.h"

/* After networks and runtimed's client: the worker is told of every container, and asked for its sockets. */
struct names *names_new(struct netd *d);
void names_free(struct names *n);

/* Does the container have a name server? */
bool names_wanted(const struct attachment *a);
/* The names by which others on the network find a container; `hostname` may be NULL. A fresh reference. */
json_t *names_of(const json_t *asked, const char *name, const char *container, const char *hostname);

/* It has got networks: sockets in its namespace, when it wants and lacks them, and its names told. */
int names_attach(struct netd *d, const struct attachment *a, int netns, struct err *e);
/* Its names or networks have changed. `netns`: where it may have to be taken down; -1: not at hand. */
void names_changed(struct netd *d, const struct attachment *a, int netns);
/* It has ended. */
void names_detach(struct netd *d, const struct attachment *a);
/* Call `done` when all that has been told so far is being answered; at once without a worker. */
void names_settle(struct netd *d, void (*done)(void *arg), void *arg);
/* The host's name servers, or those of the config, may have changed. */
void names_upstream(struct netd *d);

#endif
