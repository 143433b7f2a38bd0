/* networks: what runtimed asks of netd for a container, and what it does where there is no netd. */
#ifndef POUCH_RUNTIMED_NETWORKS_H
#define POUCH_RUNTIMED_NETWORKS_H

#include "runtimed/container.h"

struct container_netns;
struct ipc_request;

typedef void (*networks_done)(struct container *c, int rc, const struct err *e, void *arg);

/* Does this container have networks of netd's (not host, container:X)? */
bool networks_wanted(const struct container *c);
/* Has it something to ask netd for at its start: networks, or files that say more than those of every container? */
bool networks_asks(const struct container *c);
/* Somebody else's network namespace: "host", "container"; NULL when netd is in charge. */
const char *networks_plain_mode(const struct container *c);

/*
 * At creation: are the networks there for this caller, and the settings good? c->endpoints becomes {canonical name:
 * settings}, and is from then on the truth about what the container is connected to. done() comes later or at once.
 */
void networks_check(struct container *c, struct ipc_request *req, networks_done done, void *arg);
/* Between prepared() and launch_go(): done() has *files filled in. */
void networks_attach(struct container *c, int netns, networks_done done, void *arg);
/* Contents of /etc/hosts and /etc/resolv.conf as of the last attach; NULL when netd said nothing. */
const char *networks_hosts(const struct container *c);
const char *networks_resolv_conf(const struct container *c);
/* What netd has said of this run is true no more. */
void networks_forget(struct container *c);
/* The container has ended: netd takes back what it has. */
void networks_detach(struct container *c);
/* c->endpoints has got or lost `network`: netd makes that real, and with a running container its files follow. */
void networks_join(struct container *c, const char *network, networks_done done, void *arg);
void networks_leave(struct container *c, const char *network, bool force, networks_done done, void *arg);
/* It has lost a link: its hosts file and its name server follow. */
void networks_unlinked(struct container *c, const char *alias, networks_done done, void *arg);
/* It is called something else now. done() comes when others find it by that name. */
void networks_renamed(struct container *c, void (*done)(void *arg), void *arg);
/* netd has lost sight of a running container's namespace. */
void on_container_netns(struct ipc_request *req, struct container_netns *m, struct runtimed *rt);
/* After a connect to netd: who runs. */
void networks_reconcile(struct runtimed *rt);

/* NetworkSettings for inspect, and the Ports list and NetworkSettings of a list item; new references. */
json_t *networks_shown(const struct container *c);
json_t *networks_listed(const struct container *c);
json_t *networks_ports_listed(const struct container *c);

#endif
