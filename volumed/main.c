/* volumed: owns volumes. Its files are its own store and nothing else; mounts are made by the volume-mount worker. */
#include <stdlib.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"
#include "volumed/volumed.h"

static const char *const schema[] = {
	"CREATE TABLE volume(name TEXT PRIMARY KEY, driver TEXT NOT NULL, options TEXT NOT NULL, labels TEXT NOT NULL,"
	" created INTEGER NOT NULL, anonymous INTEGER NOT NULL, owner TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE hold(volume TEXT NOT NULL REFERENCES volume(name), container TEXT NOT NULL,"
	" PRIMARY KEY(volume, container)) STRICT, WITHOUT ROWID;",
	NULL,
};

static void on_service_status(struct ipc_request *req, struct service_status *m, struct volumed *d)
{
	json_t *state = daemon_state_json(&d->daemon);
	struct service_state reply = {.state = {.json = state}};

	(void)m;
	ipc_reply(req, &reply);
	json_decref(state);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(volume_list, struct volumed),    IPC_HANDLER(volume_create, struct volumed),
	IPC_HANDLER(volume_inspect, struct volumed), IPC_HANDLER(volume_remove, struct volumed),
	IPC_HANDLER(volume_prune, struct volumed),   IPC_HANDLER(volume_acquire, struct volumed),
	IPC_HANDLER(volume_use, struct volumed),     IPC_HANDLER(volume_unuse, struct volumed),
	IPC_HANDLER(volume_release, struct volumed), IPC_HANDLER(volume_reconcile, struct volumed),
	IPC_HANDLER(volume_usage, struct volumed),   IPC_HANDLER(service_status, struct volumed),
};

static bool has_record(void *arg, const char *name)
{
	return volume_find(((struct volumed *)arg)->volumes, name) != NULL;
}

static void restore(void *arg, struct volume *v)
{
	struct volumed *d = arg;
	struct err e = {0};

	if (str_eq(v->driver, VOLUME_LOCAL) && local_restore(d->local, v->name, &e) < 0)
		log_error("%s", e.text);
}

static int open_records(struct volumed *d, struct err *e)
{
	AUTO_FREE char *state = xasprintf("%s/volumed", d->daemon.root);
	AUTO_FREE char *db = xasprintf("%s/volumed.db", state);
	int rc;

	if ((rc = store_open(db, "volumes", schema, &d->store, e)) < 0 ||
	    (rc = volumes_new(d->store, &d->volumes, e)) < 0 || (rc = jobs_new(d->daemon.base, &d->jobs, e)) < 0 ||
	    (rc = local_new(d->daemon.root_fd, state, d->jobs, &d->local, e)) < 0)
		return rc;
	volumes_each(d->volumes, restore, d);
	return local_sweep(d->local, has_record, d, e);
}

static int serve(struct volumed *d, struct err *e)
{
	d->turns = turns_new();
	d->silent = json_object();
	d->runtimed = daemon_client(&d->daemon, PROC_runtimed, 0);
	return guard_serve(d->guard, handlers, ARRAY_LEN(handlers), d, &d->server, e);
}

static void on_reload(struct daemon *daemon, void *arg)
{
	struct volumed *d = arg;

	(void)daemon;
	guard_reload(d->guard);
}

static void clean(struct volumed *d)
{
	ipc_server_free(d->server);
	ipc_client_free(d->runtimed);
	jobs_free(d->jobs);
	turns_free(d->turns);
	json_decref(d->silent);
	volumes_free(d->volumes);
	local_free(d->local);
	store_free(d->store);
	guard_free(d->guard);
}

int main(int argc, char **argv)
{
	struct volumed d = {0};
	struct err e = {0};

	daemon_init(&d.daemon, PROC_volumed, argc, argv);
	d.daemon.arg = &d;
	d.daemon.reload = on_reload;
	if (guard_new(&d.daemon, NULL, &d.guard, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	daemon_confine(&d.daemon);
	if (open_records(&d, &e) < 0 || serve(&d, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	const int code = daemon_run(&d.daemon);
	clean(&d);
	return code;
}
