/* volumed: the one struct of the daemon. */
#ifndef POUCH_VOLUMED_VOLUMED_H
#define POUCH_VOLUMED_VOLUMED_H

#include "ipc/client.h"
#include "ipc/server.h"
#include "lib/daemon.h"
#include "lib/guard.h"
#include "lib/jobs.h"
#include "lib/store.h"
#include "volumed/local.h"
#include "volumed/turns.h"
#include "volumed/volume.h"

struct volumed {
	struct daemon daemon;
	struct guard *guard;
	struct store *store;
	struct jobs *jobs;
	struct local *local;
	struct volumes *volumes;
	struct turns *turns;
	json_t *silent; /* plugins.c */
	struct ipc_server *server;
	struct ipc_client *runtimed; /* for events */
};

/* ---- api.c: the routes ---- */
void on_volume_create(struct ipc_request *req, struct volume_create *m, struct volumed *d);
void on_volume_remove(struct ipc_request *req, struct volume_remove *m, struct volumed *d);
void on_volume_prune(struct ipc_request *req, struct volume_prune *m, struct volumed *d);

/* ---- list.c ---- */
void on_volume_list(struct ipc_request *req, struct volume_list *m, struct volumed *d);

/* ---- inspect.c ---- */
void on_volume_inspect(struct ipc_request *req, struct volume_inspect *m, struct volumed *d);

/* ---- hold.c: what runtimed asks for its containers ---- */
void on_volume_acquire(struct ipc_request *req, struct volume_acquire *m, struct volumed *d);
void on_volume_use(struct ipc_request *req, struct volume_use *m, struct volumed *d);
void on_volume_unuse(struct ipc_request *req, struct volume_unuse *m, struct volumed *d);
void on_volume_release(struct ipc_request *req, struct volume_release *m, struct volumed *d);
void on_volume_reconcile(struct ipc_request *req, struct volume_reconcile *m, struct volumed *d);

/* ---- usage.c: sizes ---- */
void on_volume_usage(struct ipc_request *req, struct volume_usage *m, struct volumed *d);

/* Tell the stream of events, with the driver's name and more attributes (takes the reference; may be NULL). */
void volume_event(struct volumed *d, const struct volume *v, const char *action, json_t *take_more);

/* The volume as Docker's object; a fresh reference. */
json_t *volume_json(const struct volumed *d, const struct volume *v);
/* Its text, which stays the volume's (volume.h: shown). */
const char *volume_text(const struct volumed *d, struct volume *v);
/* The same object of a volume that only a plugin knows (plugins_describe() writes the rest). */
json_t *volume_foreign_json(const char *name, const char *driver);

#endif
