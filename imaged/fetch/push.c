/*
 * push: a blob into a registry (distribution's specification, "Pushing Blobs"): nothing when it is there, mounted from
 * another repository when the registry does that, else uploaded in one request; and a manifest.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "imaged/fetch/answer.h"

#define PROGRESS_STEP (512u << 10)
#define ANSWER_MAX    (64u << 10)

struct upload {
	struct ipc_request *req;
	struct worker *w;
	const struct push_blob *m; /* lives as long as the request */
	struct ask *ask;
	char *scope;
	unsigned attempts;
	uint64_t told;
};

static void look(struct upload *x);

static void upload_free(struct upload *x)
{
	ask_free(x->ask);
	free(x->scope);
	free(x);
}

static void finish(struct upload *x, struct pushed *reply, const struct err *e)
{
	struct ipc_request *req = x->req;

	ipc_request_on_cancel(req, NULL, NULL);
	if (e)
		ipc_reply_error(req, e);
	else
		ipc_reply(req, reply);
	upload_free(x);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	finish(arg, NULL, &(struct err){.code = -ECANCELED, .status = 499, .text = "cancelled"});
}

/* ---- the bytes ---- */

static void on_sent(void *arg, uint64_t bytes)
{
	struct upload *x = arg;
	char text[24];

	if (bytes - x->told < PROGRESS_STEP && bytes != x->m->size)
		return;
	x->told = bytes;
	ipc_chunk(x->req, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, bytes));
}

static void on_uploaded(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct upload *x = arg;
	struct pushed reply = {0};

	(void)r;
	(void)url;
	x->ask = NULL;
	/* What broke off on its way is begun anew: the registry may have it by now. */
	if (e && (e->code == -ECONNRESET || e->code == -ETIME || e->status == 500) &&
	    x->attempts++ < x->w->daemon.config->images_retries) {
		x->told = 0;
		look(x);
		return;
	}
	finish(x, &reply, e);
}

static const struct ask_events upload_events = {.sent = on_sent, .done = on_uploaded};

static void send_bytes(struct upload *x, const char *location, const struct url *base)
{
	AUTO_FREE char *text = xasprintf("%s%cdigest=%s", location, strchr(location, '?') ? '&' : '?', x->m->digest);
	AUTO_URL struct url url = {0};
	struct err e = {0};

	if (url_parse(text, base->text, &url, &e) < 0) {
		err_prefix(&e, "where the registry wants the upload");
		e.status = 500;
		finish(x, NULL, &e);
		return;
	}
	x->ask = ask_new(x->w,
			 &(struct ask_request){.method = "PUT",
					       .url = &url,
					       .scope = x->scope,
					       .headers = {"Content-Type: application/octet-stream"},
					       .file = x->m->file,
					       .file_size = x->m->size,
					       .max_body = ANSWER_MAX,
					       .once = true},
			 &upload_events, x);
}

/* ---- before the bytes ---- */

static void on_begun(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct upload *x = arg;
	struct err why = {0};

	x->ask = NULL;
	if (e) {
		finish(x, NULL, e);
	} else if (r->status == 201) {
		finish(x, &(struct pushed){.mounted_from = x->m->mount_from}, NULL);
	} else if (!r->location) {
		err_http(&why, 500, "the registry does not say where it wants the upload");
		finish(x, NULL, &why);
	} else {
		send_bytes(x, r->location, url);
	}
}

static const struct ask_events begin_events = {.done = on_begun};

static void begin(struct upload *x)
{
	AUTO_FREE char *path = x->m->mount_from ? xasprintf("v2/%s/blobs/uploads/?mount=%s&from=%s", x->m->repository,
							    x->m->digest, x->m->mount_from)
						: xasprintf("v2/%s/blobs/uploads/", x->m->repository);

	x->ask = ask_new(x->w,
			 &(struct ask_request){.method = "POST",
					       .path = path,
					       .scope = x->scope,
					       .file = -1,
					       .max_body = ANSWER_MAX,
					       .once = true},
			 &begin_events, x);
}

static void on_looked(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct upload *x = arg;

	(void)r;
	(void)url;
	x->ask = NULL;
	if (!e)
		finish(x, &(struct pushed){.existed = true}, NULL);
	else if (e->status == 404)
		begin(x);
	else
		finish(x, NULL, e);
}

static const struct ask_events look_events = {.done = on_looked};

static void look(struct upload *x)
{
	AUTO_FREE char *path = xasprintf("v2/%s/blobs/%s", x->m->repository, x->m->digest);

	x->ask = ask_new(x->w,
			 &(struct ask_request){
				 .method = "HEAD", .path = path, .scope = x->scope, .file = -1, .max_body = ANSWER_MAX},
			 &look_events, x);
}

void on_push_blob(struct ipc_request *req, struct push_blob *m, struct worker *w)
{
	if (!worker_ready(req, w, m->registry))
		return;
	struct upload *x = XNEW(struct upload);
	*x = (struct upload){.req = req, .w = w, .m = m, .scope = scope_of(m->repository, "pull,push")};
	if (m->mount_from) {
		AUTO_FREE char *own = x->scope, *other = scope_of(m->mount_from, "pull");
		x->scope = xasprintf("%s %s", own, other);
	}
	look(x);
	ipc_request_on_cancel(req, on_cancel, x);
}

/* ---- manifests ---- */

struct manifest_push {
	struct ipc_request *req;
	struct ask *ask;
};

static void on_manifest_cancel(struct ipc_request *req, void *arg)
{
	struct manifest_push *x = arg;

	ask_free(x->ask);
	free(x);
	ipc_fail(req, 499, "cancelled");
}

static void on_manifest(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct ipc_request *req = ((struct manifest_push *)arg)->req;

	(void)url;
	free(arg);
	ipc_request_on_cancel(req, NULL, NULL);
	if (e) {
		ipc_reply_error(req, e);
		return;
	}
	bool digest = *r->digest && grammar_check(G_DIGEST, r->digest, strlen(r->digest));
	ipc_reply(req, &(struct pushed){.digest = digest ? r->digest : NULL});
}

static const struct ask_events manifest_events = {.done = on_manifest};

void on_push_manifest(struct ipc_request *req, struct push_manifest *m, struct worker *w)
{
	AUTO_FREE char *path = xasprintf("v2/%s/manifests/%s", m->repository, m->reference);
	AUTO_FREE char *scope = scope_of(m->repository, "pull,push");
	AUTO_FREE char *type = xasprintf("Content-Type: %s", m->type);

	if (!worker_ready(req, w, m->registry))
		return;
	struct manifest_push *x = XNEW(struct manifest_push);
	x->req = req;
	/* The same bytes at the same place: to do it twice is to do it once. */
	x->ask = ask_new(w,
			 &(struct ask_request){.method = "PUT",
					       .path = path,
					       .scope = scope,
					       .headers = {type},
					       .body = m->body.data,
					       .body_len = m->body.len,
					       .file = -1,
					       .max_body = ANSWER_MAX},
			 &manifest_events, x);
	ipc_request_on_cancel(req, on_manifest_cancel, x);
}
