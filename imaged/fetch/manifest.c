/* manifest: manifests, indexes and configs. What they say is for imaged to judge. */
#include "imaged/fetch/answer.h"

#define ACCEPT                                                                                                         \
	"Accept: application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

void on_fetch_manifest(struct ipc_request *req, struct fetch_manifest *m, struct worker *w)
{
	AUTO_FREE char *path = xasprintf("v2/%s/manifests/%s", m->repository, m->reference);
	AUTO_FREE char *scope = scope_of(m->repository, m->push ? "pull,push" : "pull");

	if (worker_ready(req, w, m->registry))
		answer_fetched(req, w,
			       &(struct ask_request){.method = m->head ? "HEAD" : "GET",
						     .path = path,
						     .scope = scope,
						     .headers = {ACCEPT},
						     .file = -1,
						     .max_body = m->max_bytes,
						     .mirrors = !m->push});
}

void on_fetch_small_blob(struct ipc_request *req, struct fetch_small_blob *m, struct worker *w)
{
	AUTO_FREE char *path = xasprintf("v2/%s/blobs/%s", m->repository, m->digest);
	AUTO_FREE char *scope = scope_of(m->repository, "pull");

	if (worker_ready(req, w, m->registry))
		answer_fetched(req, w,
			       &(struct ask_request){.method = "GET",
						     .path = path,
						     .scope = scope,
						     .file = -1,
						     .max_body = m->max_bytes,
						     .mirrors = true});
}
