/*
 * remote: one image from a registry, from its reference to its records: manifest, config, layers side by side, all of
 * it or nothing.
 */
#ifndef POUCH_IMAGED_REMOTE_H
#define POUCH_IMAGED_REMOTE_H

#include "imaged/board.h"
#include "imaged/manifest.h"
#include "imaged/worker.h"

struct remote;

struct remote_request {
	struct reference reference; /* with a tag or a digest */
	struct platform platform;
	bool platform_given; /* the client's wish, not this machine */
};

struct remote_result {
	char id[DIGEST_TEXT_SIZE];
	char digest[DIGEST_TEXT_SIZE]; /* of what the reference names: the index, or the manifest */
	bool newer;		       /* the tag had another image before, or none */
};

/*
 * Begin; `fetch` is a session with image-fetch that has said fetch_login, and outlives this. `done` is called once,
 * from the event loop, with the result or why there is none.
 */
struct remote *remote_new(struct imaged *d, struct worker_session *fetch, const struct remote_request *request,
			  struct board *board,
			  void (*done)(void *arg, const struct remote_result *r, const struct err *e), void *arg);
/* Break it off, without the event; nothing of it stays. Takes NULL. */
void remote_free(struct remote *x);

/* A session with image-fetch for this registry; the credentials' text is cleared. NULL with the reason. */
struct worker_session *remote_login(struct imaged *d, const char *registry, const char *auth, struct err *e);

#endif
