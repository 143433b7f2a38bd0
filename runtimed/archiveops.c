/* archiveops: the operations on a container's files, and its statistics: archive, export, stats. */
#include <stdio.h>

#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

/* A request that a rootfs worker serves. */
struct transfer {
	struct ipc_request *req;
	struct container *container;
	struct launch_files *files;
	int status;  /* of a success */
	bool stream; /* its answer is bytes */
};

static void transfer_free(struct transfer *t)
{
	container_unref(t->container);
	free(t);
}

static char *base64(const char *text)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *)text;
	size_t n = strlen(text);
	char *out = xcalloc(n / 3 * 4 + 8, 1), *p = out;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
		*p++ = set[v >> 18];
		*p++ = set[v >> 12 & 63];
		*p++ = i + 1 < n ? set[v >> 6 & 63] : '=';
		*p++ = i + 2 < n ? set[v & 63] : '=';
	}
	return out;
}

static void on_stream(void *arg, json_t *info, int *pipe)
{
	struct transfer *t = arg;

	(void)info;
	ipc_chunk_pipe(t->req, *pipe, "application/x-tar");
	fd_close(pipe);
}

static void on_done(void *arg, json_t *result, const struct err *e)
{
	struct transfer *t = arg;

	if (e) {
		ipc_reply_error(t->req, e);
	} else if (t->stream) {
		ipc_reply_done(t->req);
	} else if (result) {
		AUTO_FREE char *text = json_dumps(result, JSON_COMPACT);
		AUTO_FREE char *encoded = base64(text);
		AUTO_FREE char *headers = xasprintf("X-Docker-Container-Path-Stat: %s\r\n", encoded);
		struct api_reply reply = {.status = 200, .headers = headers};
		ipc_reply_api(t->req, &reply);
	} else {
		ipc_reply_json(t->req, t->status, NULL);
	}
	transfer_free(t);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct transfer *t = arg;

	launch_files_cancel(t->files);
	ipc_fail(req, 499, "the client has gone");
	transfer_free(t);
}

static const struct launch_files_events transfer_events = {.stream = on_stream, .done = on_done};

static struct transfer *transfer_new(struct ipc_request *req, struct container *c, bool stream)
{
	struct transfer *t = XNEW(struct transfer);

	t->req = req;
	t->container = container_ref(c);
	t->status = 200;
	t->stream = stream;
	return t;
}

static void transfer_begun(struct transfer *t, int result, const struct err *e)
{
	if (result < 0) {
		ipc_reply_error(t->req, e);
		transfer_free(t);
		return;
	}
	ipc_request_on_cancel(t->req, on_cancel, t);
}

void on_container_archive_head(struct ipc_request *req, struct container_archive_head *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e = {0};
	struct spec spec;

	if (!c)
		return;
	if (!m->path || !*m->path) {
		ipc_fail(req, 400, "the parameter path is missing");
		return;
	}
	spec_basic(c, &spec);
	struct launch_root root = {rt->launch, &spec.launch, c->run};
	struct transfer *t = transfer_new(req, c, false);
	int r = launch_archive_head(&root, m->path, &transfer_events, t, &t->files, &e);
	spec_clean(&spec);
	transfer_begun(t, r, &e);
}

void on_container_archive_put(struct ipc_request *req, struct container_archive_put *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e = {0};
	struct spec spec;

	if (!c)
		return;
	if (!m->path || !*m->path || m->tar < 0) {
		ipc_fail(req, 400, "the parameter path or the archive is missing");
		return;
	}
	spec_basic(c, &spec);
	struct launch_root root = {rt->launch, &spec.launch, c->run};
	struct transfer *t = transfer_new(req, c, false);
	int r = launch_archive_put(&root, m->path, m->tar, m->no_overwrite_dir_non_dir, m->copy_uid_gid, &transfer_events, t,
				   &t->files, &e);
	spec_clean(&spec);
	fd_close(&m->tar);
	transfer_begun(t, r, &e);
}

void on_container_export(struct ipc_request *req, struct container_export *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e = {0};
	struct spec spec;

	if (!c)
		return;
	spec_basic(c, &spec);
	struct launch_root root = {rt->launch, &spec.launch, c->run};
	struct transfer *t = transfer_new(req, c, true);
	int r = launch_export(&root, &transfer_events, t, &t->files, &e);
	spec_clean(&spec);
	transfer_begun(t, r, &e);
}
