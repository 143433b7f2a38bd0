/* worker: what the parts of image-fetch share. One registry a process; many requests at a time, on one event loop. */
#ifndef POUCH_IMAGE_FETCH_WORKER_H
#define POUCH_IMAGE_FETCH_WORKER_H

#include "imaged/fetch/login.h"
#include "imaged/fetch/multi.h"
#include "imaged/fetch/settings.h"
#include "imaged/fetch/site.h"
#include "lib/config.h"
#include "lib/worker.h"

struct worker {
	struct daemon daemon;
	struct multi *multi;
	struct settings *settings; /* how hosts are reached; read before the sandbox */
	struct login *login;	   /* NULL before fetch_login */
	struct sites *sites;	   /* of the login's registry */
};

/* login.c */
void on_fetch_login(struct ipc_request *req, struct fetch_login *m, struct worker *w);
/* manifest.c */
void on_fetch_manifest(struct ipc_request *req, struct fetch_manifest *m, struct worker *w);
void on_fetch_small_blob(struct ipc_request *req, struct fetch_small_blob *m, struct worker *w);
/* listing.c */
void on_fetch_tags(struct ipc_request *req, struct fetch_tags *m, struct worker *w);
void on_fetch_search(struct ipc_request *req, struct fetch_search *m, struct worker *w);
/* signin.c */
void on_fetch_auth(struct ipc_request *req, struct fetch_auth *m, struct worker *w);
/* push.c */
void on_push_blob(struct ipc_request *req, struct push_blob *m, struct worker *w);
void on_push_manifest(struct ipc_request *req, struct push_manifest *m, struct worker *w);
/* blob.c */
void on_fetch_blob(struct ipc_request *req, struct fetch_blob *m, struct worker *w);
void on_fetch_url(struct ipc_request *req, struct fetch_url *m, struct worker *w);

/* Has fetch_login named this registry? Else the request is answered, and this is false. */
bool worker_ready(struct ipc_request *req, const struct worker *w, const char *registry);

#endif
