/* commit: POST /commit: what a container has changed becomes a layer of a new image, in imaged. */
#include <errno.h>
#include <stdio.h>

#include "lib/reference.h"
#include "runtimed/events.h"
#include "runtimed/merge.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

struct commit {
	struct ipc_request *req;
	struct container *container;
	struct launch_hold *hold;
	bool frozen; /* by it */
	struct launch_files *files;
	struct ipc_call *call;
	json_t *config;
};

/* What an image says of containers (OCI image specification, config); the rest belongs to this one. */
static const char *const kept[] = {
	"User",	  "ExposedPorts", "Env",	 "Entrypoint",	"Cmd",	   "Volumes", "WorkingDir",
	"Labels", "StopSignal",	  "ArgsEscaped", "Healthcheck", "OnBuild", "Shell",
};

static void release(struct commit *x)
{
	if (!x->hold)
		return;
	launch_hold_end(STEAL(x->hold), false);
	if (x->frozen)
		event_container(x->container, "unpause", NULL);
}

static void commit_free(struct commit *x)
{
	release(x);
	launch_files_cancel(x->files);
	ipc_call_cancel(x->call);
	json_decref(x->config);
	container_unref(x->container);
	free(x);
}

static void commit_fail(struct commit *x, const struct err *e)
{
	ipc_reply_error(x->req, e);
	commit_free(x);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	ipc_fail(req, 499, "the client has gone");
	commit_free(arg);
}

/* ---- imaged's side ---- */

static void on_committed(void *arg, void *reply, const struct err *e)
{
	struct commit *x = arg;
	const struct container_commit *m = ipc_request_msg(x->req);
	const struct image_committed *done = reply;

	x->call = NULL;
	if (!done) {
		commit_fail(x, e);
		return;
	}
	const char *const extra[] = {"comment",	 m->comment ? m->comment : "", "imageID", done->image,
				     "imageRef", m->repo ? m->repo : "",       NULL};
	event_container(x->container, "commit", extra);
	ipc_request_object(x->req, "image", done->image);
	ipc_reply_json(x->req, 201, json_pack("{s:s}", "Id", done->image));
	commit_free(x);
}

/* The worker writes, imaged reads. */
static void on_stream(void *arg, json_t *info, int *pipe)
{
	static const struct ipc_call_events events = {.done = on_committed};
	struct commit *x = arg;
	struct container *c = x->container;
	const struct container_commit *m = ipc_request_msg(x->req);
	struct image_commit ask = {
		.tar = *pipe,
		.parent = c->image,
		.repo = m->repo,
		.tag = m->tag,
		.comment = m->comment,
		.author = m->author,
		.changes = m->changes,
		.config = {.json = x->config},
		.container_config = {.json = c->config},
		.container = c->id,
	};
	struct err e;

	(void)info;
	x->call = ipc_call(c->rt->imaged, IPC_image_commit, &ask, NULL, &events, x, &e);
	fd_close(pipe);
	/* Without a reader the worker fails; the error is told then. */
}

/* Only now does imaged see the end of the layer: one that was cut is never taken for whole. */
static void on_written(void *arg, json_t *result, const struct err *e)
{
	struct commit *x = arg;
	struct err gone;

	(void)result;
	x->files = NULL;
	release(x);
	if (!e && !x->call)
		err_http(&gone, 503, "imaged cannot be reached");
	if (e || !x->call)
		commit_fail(x, e ? e : &gone);
}

/* ---- the request ---- */

static int make_config(struct commit *x, const json_t *given, struct err *e)
{
	json_t *all = given ? json_deep_copy(given) : json_object();
	int rc = config_merge(all, x->container->config, e);

	x->config = json_object();
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (json_object_get(all, kept[i]))
			json_object_set(x->config, kept[i], json_object_get(all, kept[i]));
	json_decref(all);
	return rc;
}

/* imaged makes of repo and tag the same name, and knows no client here. */
static int admit_name(struct commit *x, const struct container_commit *m, struct err *e)
{
	const char *registry = x->container->rt->d.config->images_default_registry;
	char full[REFERENCE_TEXT];
	struct reference r;

	if (!m->repo || !*m->repo)
		return 0;
	int rc = reference_parse(m->repo, registry, &r, e);
	if (rc < 0)
		return rc;
	if (m->tag && *m->tag)
		snprintf(r.tag, sizeof r.tag, "%s", m->tag);
	return guard_admit_image(x->req, reference_full(&r, full), false, e);
}

static int read_files(struct commit *x, struct err *e)
{
	static const struct launch_files_events events = {.stream = on_stream, .done = on_written};
	struct container *c = x->container;
	struct spec spec;

	spec_basic(c, &spec);
	struct launch_root root = {.launch = c->rt->launch, .spec = &spec.launch};
	int rc = launch_commit_tar(&root, &events, x, &x->files, e);
	spec_clean(&spec);
	return rc;
}

static void on_frozen(void *arg, const struct err *why)
{
	struct commit *x = arg;
	struct err e;

	if (why)
		x->hold = NULL;
	/* One that has ended meanwhile changes nothing any more. */
	if (why && why->code != -ESRCH) {
		commit_fail(x, why);
		return;
	}
	x->frozen = !why;
	if (x->frozen)
		event_container(x->container, "pause", NULL);
	if (read_files(x, &e) < 0)
		commit_fail(x, &e);
}

static int begin(struct commit *x, const struct container_commit *m, struct err *e)
{
	struct container *c = x->container;
	int rc = admit_name(x, m, e);

	if (rc == 0)
		rc = make_config(x, m->body.json, e);
	if (rc < 0)
		return rc;
	if (m->pause && c->run && c->state.status == CT_RUNNING)
		return launch_hold(c->run, on_frozen, x, &x->hold, e);
	return read_files(x, e);
}

void on_container_commit(struct ipc_request *req, struct container_commit *m, struct runtimed *rt)
{
	struct err e = {0};

	if (!m->container || !*m->container) {
		ipc_fail(req, 400, "the parameter container is missing");
		return;
	}
	struct container *c = request_container(rt, req, m->container);
	if (!c)
		return;
	struct commit *x = XNEW(struct commit);
	*x = (struct commit){.req = req, .container = container_ref(c)};
	ipc_request_on_cancel(req, on_cancel, x);
	if (begin(x, m, &e) < 0)
		commit_fail(x, &e);
}
