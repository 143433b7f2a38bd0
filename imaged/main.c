/*
 * imaged: the owner of images, layers and blobs. It has no capability and no network: what comes from a registry is
 * fetched by image-fetch, what becomes files is written by image-unpack, and imaged keeps the records.
 */
#include "imaged/collect.h"
#include "imaged/handlers.h"
#include "imaged/records.h"
#include "imaged/stage.h"
#include "lib/log.h"

static void on_service_status(struct ipc_request *req, struct service_status *m, struct imaged *d)
{
	json_t *state = daemon_state_json(&d->daemon);
	struct service_state reply = {.state = {.json = state}};
	struct err e;
	int64_t images = records_count(d, &e);

	(void)m;
	if (images >= 0)
		json_object_set_new(state, "Counters", json_pack("{s:I}", "Images", (json_int_t)images));
	else
		log_error("%s", e.text);
	ipc_reply(req, &reply);
	json_decref(state);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(image_create, struct imaged),      IPC_HANDLER(image_list, struct imaged),
	IPC_HANDLER(image_usage, struct imaged),       IPC_HANDLER(image_inspect, struct imaged),
	IPC_HANDLER(image_history, struct imaged),     IPC_HANDLER(image_tag, struct imaged),
	IPC_HANDLER(image_remove, struct imaged),      IPC_HANDLER(image_load, struct imaged),
	IPC_HANDLER(image_save, struct imaged),	       IPC_HANDLER(image_save_one, struct imaged),
	IPC_HANDLER(image_commit, struct imaged),      IPC_HANDLER(image_prune, struct imaged),
	IPC_HANDLER(build_prune, struct imaged),       IPC_HANDLER(rootfs_lease, struct imaged),
	IPC_HANDLER(rootfs_release, struct imaged),    IPC_HANDLER(rootfs_reconcile, struct imaged),
	IPC_HANDLER(image_resolve, struct imaged),     IPC_HANDLER(image_check, struct imaged),
	IPC_HANDLER(image_descendants, struct imaged), IPC_HANDLER(image_push, struct imaged),
	IPC_HANDLER(registry_auth, struct imaged),     IPC_HANDLER(image_distribution, struct imaged),
	IPC_HANDLER(image_search, struct imaged),      IPC_HANDLER(service_status, struct imaged),
};

static void die(const struct err *e)
{
	log_error("%s", e->text);
	exit(1);
}

static void on_reload(struct daemon *daemon, void *arg)
{
	struct imaged *d = arg;

	(void)daemon;
	guard_reload(d->guard);
}

static void serve(struct imaged *d, struct err *e)
{
	d->runtimed = daemon_client(&d->daemon, PROC_runtimed, 0);
	if (guard_serve(d->guard, handlers, ARRAY_LEN(handlers), d, &d->server, e) < 0)
		die(e);
}

int main(int argc, char **argv)
{
	struct imaged d = {.blobs = -1, .layers = -1, .staging = -1, .held = json_object()};
	struct err e = {0};

	daemon_init(&d.daemon, PROC_imaged, argc, argv);
	if (guard_new(&d.daemon, NULL, &d.guard, &e) < 0)
		die(&e);
	daemon_confine(&d.daemon);
	if (stage_open(&d, &e) < 0 || records_open(&d, &e) < 0 || collect_all(&d, &e) < 0)
		die(&e);
	d.daemon.reload = on_reload;
	d.daemon.arg = &d;
	serve(&d, &e);
	int status = daemon_run(&d.daemon);
	ipc_server_free(d.server);
	ipc_client_free(d.runtimed);
	store_free(d.store);
	guard_free(d.guard);
	json_decref(d.held);
	return status;
}
