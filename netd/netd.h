/* netd: the one struct of the daemon. */
#ifndef POUCH_NETD_NETD_H
#define POUCH_NETD_NETD_H

#include "ipc/client.h"
#include "ipc/server.h"
#include "lib/daemon.h"
#include "lib/guard.h"
#include "lib/store.h"
#include "netd/firewall.h"
#include "netd/link.h"
#include "netd/network.h"

struct hostfile;
struct jobs;
struct names;
struct waiting;
struct watch;

struct netd {
	struct daemon daemon;
	struct guard *guard;
	struct store *store;
	struct networks *networks;
	struct links *links;
	struct firewall *firewall;
	struct watch *watch;
	struct jobs *jobs;	       /* devices.c's thread */
	TAILQ_HEAD(, waiting) waiting; /* waiting.c */
	struct names *names;
	struct hostfile *hostfile;
	struct ipc_server *server;
	struct ipc_client *runtimed; /* for events */
};

/* ---- api.c: the routes ---- */
void on_network_list(struct ipc_request *req, struct network_list *m, struct netd *d);
void on_network_inspect(struct ipc_request *req, struct network_inspect *m, struct netd *d);
void on_network_create(struct ipc_request *req, struct network_create *m, struct netd *d);
void on_network_remove(struct ipc_request *req, struct network_remove *m, struct netd *d);
void on_network_prune(struct ipc_request *req, struct network_prune *m, struct netd *d);

/* ---- container.c: what runtimed asks for its containers ---- */
void on_network_check(struct ipc_request *req, struct network_check *m, struct netd *d);
void on_network_attach(struct ipc_request *req, struct network_attach *m, struct netd *d);
void on_network_detach(struct ipc_request *req, struct network_detach *m, struct netd *d);
void on_network_rename(struct ipc_request *req, struct network_rename *m, struct netd *d);
void on_network_reconcile(struct ipc_request *req, struct network_reconcile *m, struct netd *d);
void on_network_resolve(struct ipc_request *req, struct network_resolve *m, struct netd *d);

void on_network_describe(struct ipc_request *req, struct network_describe *m, struct netd *d);
void on_network_unlink(struct ipc_request *req, struct network_unlink *m, struct netd *d);
/*
 * Do what a network_attach asks, and answer it. false: not answered, since an address of it is still in use by devices
 * of ended containers (`why`).
 */
bool container_attach(struct netd *d, struct ipc_request *req, struct err *why);
/* The settings and files of `a` as a network_state; `networks` may be NULL. */
void reply_state(struct netd *d, struct ipc_request *req, const struct attachment *a, json_t *take_settings,
		 json_t *networks);
/* Can an endpoint with these settings be on the network? 400. Whether its address is free, shows when it is made. */
int network_check_settings(const struct network *n, const json_t *settings, struct err *e);

/* ---- join.c: running containers onto further networks, and off them ---- */
void on_network_join(struct ipc_request *req, struct network_join *m, struct netd *d);
void on_network_leave(struct ipc_request *req, struct network_leave *m, struct netd *d);

/* Tell the stream of events: action "create", "connect", …; `container` may be NULL. */
void network_event(struct netd *d, const struct network *n, const char *action, const char *container);

#endif
