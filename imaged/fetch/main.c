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

static void die(const struct err *e)
{
	log_error("%s", e->text);
	exit(1);
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
	if (multi_new(w.daemon.base, &w.multi, &e) < 0)
		die(&e);
	const int status = daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), NULL, &w);
	sites_free(w.sites);
	login_free(w.login);
	multi_free(w.multi);
	settings_free(w.settings);
	return status;
}
