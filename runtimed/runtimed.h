/* runtimed: the daemon that owns containers, execs, id ranges and events: its one struct, and what its files share. */
#ifndef POUCH_RUNTIMED_RUNTIMED_H
#define POUCH_RUNTIMED_RUNTIMED_H

#include "ipc/client.h"
#include "ipc/server.h"
#include "lib/config.h"
#include "lib/daemon.h"
#include "lib/guard.h"
#include "lib/jobs.h"
#include "lib/store.h"
#include "lib/util.h"
#include "runtimed/container.h"
#include "runtimed/create.h"
#include "runtimed/launch/launch.h"

struct events;
struct idranges;
struct runtimed_paths;

struct runtimed {
	struct daemon d;
	struct guard *guard;
	struct ipc_server *server;
	struct store *store;
	struct reserve *reserve; /* of the disk of `store`, for removals */
	struct launch *launch;
	struct events *events;
	struct idranges *ranges;
	struct ipc_client *imaged, *netd, *volumed;
	struct containers containers;
	/* names of containers that are being created or renamed: name → its text on the heap */
	struct table reserved;
	struct table execs;
	struct event *flush; /* writes changed states when the loop comes round */
	struct changed_list changed;
	struct creating_list creating;
	struct runtimed_paths *paths; /* what launch_config points to */
	bool first_start;	      /* the first runtimed since the host (or the run directory) came up */
	bool found;		      /* every shim has said how things are, or is slow to */
	size_t waiting_attaches;
};

/* ---- handlers, by file ---- */

#define HANDLER(name) void on_##name(struct ipc_request *req, struct name *m, struct runtimed *rt)

HANDLER(container_create);
HANDLER(container_list);
HANDLER(container_inspect);
HANDLER(container_top);
HANDLER(container_logs);
HANDLER(container_changes);
HANDLER(container_export);
HANDLER(container_stats);
HANDLER(container_resize);
HANDLER(container_start);
HANDLER(container_stop);
HANDLER(container_restart);
HANDLER(container_kill);
HANDLER(container_update);
HANDLER(container_rename);
HANDLER(container_pause);
HANDLER(container_unpause);
HANDLER(container_attach);
HANDLER(container_attach_ws);
HANDLER(container_wait);
HANDLER(container_remove);
HANDLER(container_unlink);
HANDLER(container_archive_head);
HANDLER(container_archive_get);
HANDLER(container_archive_put);
HANDLER(container_prune);
HANDLER(container_commit);
HANDLER(container_usage);
HANDLER(exec_create);
HANDLER(exec_start);
HANDLER(exec_resize);
HANDLER(exec_inspect);
HANDLER(network_connect);
HANDLER(network_disconnect);
HANDLER(system_events);
HANDLER(event_publish);
HANDLER(container_counts);
HANDLER(containers_running);
HANDLER(socket_holder);
HANDLER(service_status);

/*
 * The container that a request means, as far as its caller may know of it. NULL: the request has been answered with 404
 * or 400, and its message is gone. The audit record then names it.
 */
struct container *request_container(struct runtimed *rt, struct ipc_request *req, const char *ref);

/* Who owns the container of that name, for struct policy_facts; `arg` is the daemon. */
const char *request_container_owner(void *arg, const char *ref);
/* Answer 204. */
void reply_no_content(struct ipc_request *req);

/* Random id of ID_LEN hexadecimal digits. */
void random_id(char out[ID_LEN + 1]);

#endif
