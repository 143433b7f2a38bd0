/*
 * image-fetch: the side of imaged with the network and without files: one registry, for as long as imaged is connected.
 * It alone links libcurl, and it alone holds credentials. What it fetches goes into pipes and replies, and is believed
 * by nobody: digests are checked behind it.
 */
#include "imaged/fetch/worker.h"
#include "lib/log.h"

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(fetch_login, struct worker),      IPC_HANDLER(fetch_manifest, struct worker),
	IPC_HANDLER(fetch_small_blob, struct worker), IPC_HANDLER(fetch_blob, struct worker),
	IPC_HANDLER(fetch_url, struct worker),	      IPC_HANDLER(fetch_tags, struct worker),
	IPC_HANDLER(fetch_search, struct worker),     IPC_HANDLER(fetch_auth, struct worker),
	IPC_HANDLER(push_blob, struct worker),	      IPC_HANDLER(push_manifest, struct worker),
};

static void on_idle(void *arg)
{
	daemon_stop(&((struct worker *)arg)->daemon);
}

static void die(const struct err *e)
{
	log_error("%s", e->text);
	exit(1);
}

static void serve(struct worker *w, struct err *e)
{
	const struct ipc_server_config config = {
		.self = PROC_image_fetch,
		.listen_fd = -1,
		.ids_base = w->daemon.config->ids_base,
		.handlers = handlers,
		.nhandlers = ARRAY_LEN(handlers),
		.daemon = w,
		.proc_fd = -1,
	};

	if (multi_new(w->daemon.base, &w->multi, e) < 0 || ipc_server_new(w->daemon.base, &config, &w->server, e) < 0 ||
	    ipc_server_serve_fd(w->server, STEAL_FD(w->daemon.listen_fd), e) < 0)
		die(e);
	ipc_server_on_idle(w->server, on_idle, w);
}

int main(int argc, char **argv)
{
	struct worker w = {0};
	struct err e = {0};

	daemon_init(&w.daemon, PROC_image_fetch, argc, argv);
	/* Keys are readable for root only, which this process is no more behind its sandbox. */
	w.settings = settings_new(w.daemon.config);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		die(&(struct err){.text = "cannot prepare libcurl"});
	daemon_confine(&w.daemon);
	serve(&w, &e);
	int status = daemon_run(&w.daemon);
	ipc_server_free(w.server);
	sites_free(w.sites);
	login_free(w.login);
	multi_free(w.multi);
	settings_free(w.settings);
	return status;
}
