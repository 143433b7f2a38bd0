/* create: POST /images/create: an image from a tar of its files (import), or from a registry (pull.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imaged/changes.h"
#include "imaged/draft.h"
#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/lines.h"
#include "imaged/verified.h"
#include "imaged/pull.h"
#include "lib/times.h"

/* One import, from the request to its answer. */
struct import {
	struct imaged *d;
	struct ipc_request *req;
	struct lines *lines;
	struct draft *draft;
	struct draft_layer *layer;
	char name[REFERENCE_TEXT]; /* full, "" for none */
	char *message, *os, *architecture, *variant, *source;
	json_t *container; /* the config's inner object */
	json_t *config;
	char *text;
	struct worker_session *fetch; /* from a URL */
	struct worker_call *fetching;
	bool fetched, unpacked;
	struct err unpack_failed;
};

static void import_free(struct import *x)
{
	worker_cancel(x->fetching);
	worker_session_free(x->fetch);
	draft_free(x->draft);
	json_decref(x->container);
	json_decref(x->config);
	free(x->message);
	free(x->os);
	free(x->architecture);
	free(x->variant);
	free(x->source);
	free(x->text);
	free(x);
}

static void import_fail(struct import *x, const struct err *e)
{
	struct err why = *e;

	/* What is damaged is what the client has sent. */
	if (why.code == -EBADMSG)
		why.status = 400;
	lines_fail(x->lines, &why);
	import_free(x);
}

static void import_gone(void *arg)
{
	import_fail(arg, &(struct err){.code = -ECANCELED, .text = "the client has left"});
}

static void on_kept(void *arg, const char *id, json_t *moved, const struct err *e)
{
	struct import *x = arg;

	(void)moved;
	if (e) {
		import_fail(x, e);
		return;
	}
	ipc_request_object(x->req, "image", id);
	event_image(x->d, "import", id, NULL);
	if (*x->name)
		event_tag(x->d, id, x->name);
	lines_put(x->lines, json_pack("{s:s}", "status", id));
	lines_end(x->lines);
	import_free(x);
}

/* The config that Docker writes for an import. */
static void make_config(struct import *x, const char *diff_id)
{
	char now[TIME_TEXT];

	time_rfc3339_full(time_now(), now);
	x->config = json_pack("{s:s, s:s, s:s, s:O, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "architecture", x->architecture,
			      "os", x->os, "created", now, "config", x->container, "rootfs", "type", "layers",
			      "diff_ids", diff_id, "history", "created", now, "comment", x->message);
	json_object_set_new(x->config, "comment", json_string(x->message));
	if (*x->variant)
		json_object_set_new(x->config, "variant", json_string(x->variant));
	x->text = json_dumps(x->config, JSON_COMPACT | JSON_SORT_KEYS);
}

static void keep(struct import *x)
{
	struct err e = {0};

	make_config(x, draft_layer_info(x->layer)->diff_id);
	draft_set_config(x->draft, x->text, strlen(x->text), x->config);
	if (*x->name)
		draft_add_tag(x->draft, x->name);
	if (draft_keep(x->draft, on_kept, x, &e) < 0)
		import_fail(x, &e);
}

static void on_unpacked(void *arg, const struct err *e)
{
	struct import *x = arg;

	x->unpacked = true;
	/* An early end of the bytes is explained by who fetches them. */
	if (e && x->fetching && e->code == -EBADMSG)
		x->unpack_failed = *e;
	else if (e)
		import_fail(x, e);
	else if (!x->fetching)
		keep(x);
}

static const struct draft_layer_events layer_events = {.done = on_unpacked};

/* ---- from a URL ---- */

static void on_fetched(void *arg, void *reply, const struct err *e)
{
	struct import *x = arg;

	(void)reply;
	x->fetching = NULL;
	if (e && !(e->code == -EPIPE && (!x->unpacked || x->unpack_failed.code)))
		import_fail(x, e);
	else if (x->unpack_failed.code)
		import_fail(x, &x->unpack_failed);
	else if (x->unpacked)
		keep(x);
}

static void on_fetch_progress(void *arg, uint64_t bytes)
{
	struct import *x = arg;

	lines_hint(x->lines, json_pack("{s:s, s:{s:I}}", "status", "Downloading", "progressDetail", "current",
				       (json_int_t)bytes));
}

static const struct worker_events fetch_events = {.progress = on_fetch_progress, .done = on_fetched};

static int import_url(struct import *x, const char *url, struct err *e)
{
	struct fetch_url m;
	int ends[2];

	if (!str_starts(url, "http://") && !str_starts(url, "https://"))
		return err_http(e, 400, "fromSrc must be - or a URL with http or https");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	AUTO_CLOSE int from = ends[0], into = ends[1];
	int rc = draft_layer_unpack(x->layer, &(struct draft_layer_source){.pipe = from, .file = -1, .patient = true},
				    &layer_events, e);
	if (rc < 0)
		return rc;
	x->fetch = worker_session_new(x->d, PROC_image_fetch);
	ipc_init(IPC_fetch_url, &m);
	m.urls.json = json_pack("[s]", url);
	m.max_bytes = x->d->daemon.config->images_max_layer;
	m.pipe = into;
	x->fetching = worker_session_call(x->fetch, IPC_fetch_url, &m, &fetch_events, x, e);
	json_decref(m.urls.json);
	return x->fetching ? 0 : e->code;
}

/* "os[/arch[/variant]]" */
static int set_platform(struct import *x, const char *platform, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(platform ? platform : "");
	char *state = NULL;
	const char *os = strtok_r(copy, "/", &state), *arch = strtok_r(NULL, "/", &state),
		   *variant = strtok_r(NULL, "/", &state);

	if (os && !str_eq(os, "linux"))
		return err_http(e, 400, "operating system is not supported: %s", os);
	x->os = xstrdup("linux");
	x->architecture = xstrdup(arch ? arch : imageconf_architecture());
	x->variant = xstrdup(variant ? variant : arch ? "" : imageconf_variant());
	return 0;
}

static int set_name(struct import *x, const char *repo, const char *tag, struct err *e)
{
	struct reference r;

	if (!repo || !*repo)
		return 0;
	int rc = reference_parse(repo, default_registry(x->d), &r, e);
	if (rc < 0)
		return rc;
	if (*r.digest)
		return err_http(e, 400, "cannot import digest reference");
	if (tag && *tag && !tag_valid(tag))
		return err_http(e, 400, "invalid tag format");
	if (tag && *tag)
		snprintf(r.tag, sizeof r.tag, "%s", tag);
	reference_default_tag(&r);
	reference_full(&r, x->name);
	return 0;
}

static int import_begin(struct import *x, const struct image_create *m, struct err *e)
{
	x->message = m->message && *m->message ? xstrdup(m->message) : xasprintf("Imported from %s", m->from_src);
	x->container = json_object();
	int rc = set_platform(x, m->platform, e);
	if (rc == 0)
		rc = set_name(x, m->repo, m->tag, e);
	if (rc == 0 && m->changes)
		rc = changes_apply(x->container, m->changes, e);
	if (rc == 0 && *x->name)
		rc = guard_admit_image(x->req, x->name, false, e);
	if (rc == 0 && *x->name)
		rc = verified_name(x->d, x->name, "", e);
	if (rc < 0)
		return rc;
	if (str_eq(m->from_src, "-") && m->input < 0)
		return err_http(e, 400, "fromSrc=- needs the archive as the request's body");
	x->draft = draft_new(x->d);
	x->layer = draft_add_layer(x->draft, x);
	if (!str_eq(m->from_src, "-"))
		return import_url(x, m->from_src, e);
	return draft_layer_unpack(x->layer, &(struct draft_layer_source){.pipe = m->input, .file = -1}, &layer_events,
				  e);
}

void on_image_create(struct ipc_request *req, struct image_create *m, struct imaged *d)
{
	struct err e = {0};

	if (!m->from_src || !*m->from_src) {
		if (m->from_image && *m->from_image)
			pull_begin(req, m, d);
		else
			ipc_fail(req, 400, "fromImage or fromSrc is needed");
		return;
	}
	if (m->from_image && *m->from_image) {
		ipc_fail(req, 400, "fromImage and fromSrc exclude each other");
		return;
	}
	struct import *x = XNEW(struct import);
	x->d = d;
	x->req = req;
	x->lines = lines_new(req, import_gone, x);
	if (guard_require(req, "image.import", &e) < 0 || import_begin(x, m, &e) < 0)
		import_fail(x, &e);
}
