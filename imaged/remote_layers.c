/* remote_layers: layers side by side, each from image-fetch through a pipe into image-unpack, in one pass. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imaged/imageconf.h"
#include "imaged/remote_private.h"

static void begin_more(struct remote *x);

void remote_free_layers(struct remote *x)
{
	for (size_t i = 0; i < x->nlayers; i++)
		worker_cancel(x->layers[i].fetching);
	free(x->layers);
	x->layers = NULL;
	x->nlayers = 0;
}

/* ---- one layer's end ---- */

static void layer_ready(struct remote_layer *l)
{
	struct remote *x = l->x;

	l->ready = true;
	x->active--;
	board_layer(x->board, l->descriptor->digest, "Pull complete");
	begin_more(x);
}

/*
 * Both ends of the pipe have a say. When the fetch fails, the unpack sees an early end, and the other way round the
 * fetch a closed pipe: whose failure it was tells the reason.
 */
static void settle(struct remote_layer *l, const struct err *fetch_failed)
{
	struct remote *x = l->x;

	if (fetch_failed && !(fetch_failed->code == -EPIPE && l->unpack_failed.code))
		remote_fail(x, fetch_failed);
	else if (l->unpack_failed.code && l->fetched)
		remote_fail(x, &l->unpack_failed);
	else if (l->fetched && l->unpacked && !l->unpack_failed.code)
		layer_ready(l);
}

static void on_fetched(void *arg, void *reply, const struct err *e)
{
	struct remote_layer *l = arg;

	(void)reply;
	l->fetching = NULL;
	l->fetched = true;
	if (!e) {
		board_layer(l->x->board, l->descriptor->digest, "Verifying Checksum");
		board_layer(l->x->board, l->descriptor->digest, "Download complete");
	}
	/* EPIPE: the other end says why, now or soon. */
	if (e && e->code == -EPIPE && !l->unpack_failed.code)
		return;
	settle(l, e);
}

static void on_fetch_progress(void *arg, uint64_t bytes)
{
	struct remote_layer *l = arg;

	board_progress(l->x->board, l->descriptor->digest, "Downloading", bytes, l->descriptor->size);
}

static void on_unpacked(void *arg, const struct err *e)
{
	struct remote_layer *l = arg;

	l->unpacked = true;
	if (e)
		l->unpack_failed = *e;
	/* An early end of the bytes is explained by the fetch; everything else explains itself. */
	if (e && (l->fetched || e->code != -EBADMSG))
		remote_fail(l->x, e);
	else
		settle(l, NULL);
}

static void on_unpack_progress(void *arg, uint64_t bytes)
{
	struct remote_layer *l = arg;

	if (l->fetched)
		board_progress(l->x->board, l->descriptor->digest, "Extracting", bytes, l->descriptor->size);
}

static const struct worker_events fetch_events = {.progress = on_fetch_progress, .done = on_fetched};
static const struct draft_layer_events unpack_events = {.progress = on_unpack_progress, .done = on_unpacked};

/* ---- one layer's begin ---- */

/* A foreign layer lies elsewhere, and is fetched without credentials. */
static void begin_foreign(struct remote_layer *l, int pipe_write, struct err *e)
{
	struct fetch_url m;

	ipc_init(IPC_fetch_url, &m);
	m.urls.json = (json_t *)(uintptr_t)l->descriptor->urls;
	m.size = l->descriptor->size;
	m.max_bytes = l->x->d->daemon.config->images_max_layer;
	m.pipe = pipe_write;
	l->fetching = worker_session_call(l->x->fetch, IPC_fetch_url, &m, &fetch_events, l, e);
}

static void begin_fetch(struct remote_layer *l, int pipe_write, struct err *e)
{
	struct fetch_blob m;

	if (l->descriptor->urls) {
		begin_foreign(l, pipe_write, e);
		return;
	}
	ipc_init(IPC_fetch_blob, &m);
	m.registry = l->x->request.reference.domain;
	m.repository = l->x->request.reference.path;
	m.digest = l->descriptor->digest;
	m.size = l->descriptor->size;
	m.max_bytes = l->x->d->daemon.config->images_max_layer;
	m.pipe = pipe_write;
	l->fetching = worker_session_call(l->x->fetch, IPC_fetch_blob, &m, &fetch_events, l, e);
}

static int begin_layer(struct remote_layer *l, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	AUTO_CLOSE int from = ends[0], into = ends[1];
	int rc = draft_layer_unpack(l->draft,
				    &(struct draft_layer_source){.pipe = from,
								 .file = -1,
								 .patient = true,
								 .blob = l->descriptor->digest,
								 .diff_id = l->diff_id,
								 .size = l->descriptor->size},
				    &unpack_events, e);
	if (rc < 0)
		return rc;
	begin_fetch(l, into, e);
	return l->fetching ? 0 : e->code;
}

/* ---- all of them ---- */

static bool find_layer(struct remote_layer *l)
{
	if (!draft_layer_find(l->draft, l->diff_id, l->descriptor->digest))
		return false;
	l->ready = l->begun = true;
	return true;
}

/* The same bytes twice in an image (an empty layer, mostly) are fetched once. */
static bool is_on_its_way(const struct remote_layer *l)
{
	for (const struct remote_layer *other = l->x->layers; other < l; other++)
		if (!other->ready && str_eq(other->descriptor->digest, l->descriptor->digest))
			return true;
	return false;
}

static void begin_more(struct remote *x)
{
	unsigned parallel = x->d->daemon.config->images_parallel;
	size_t ready = 0;
	struct err e = {0};

	for (size_t i = 0; i < x->nlayers; i++) {
		struct remote_layer *l = &x->layers[i];
		if (l->ready || (!l->begun && find_layer(l))) {
			ready++;
			continue;
		}
		if (l->begun || x->active >= parallel || is_on_its_way(l))
			continue;
		l->begun = true;
		x->active++;
		if (begin_layer(l, &e) < 0) {
			remote_fail(x, &e);
			return;
		}
	}
	if (ready == x->nlayers)
		remote_keep(x);
}

void remote_begin_layers(struct remote *x)
{
	const json_t *ids = imageconf_diff_ids(x->config);

	board_say(x->board, *x->request.reference.tag ? x->request.reference.tag : x->request.reference.digest,
		  "Pulling from %s", x->request.reference.path);
	x->nlayers = x->manifest.nlayers;
	x->layers = xcalloc(x->nlayers + 1, sizeof *x->layers);
	for (size_t i = 0; i < x->nlayers; i++) {
		struct remote_layer *l = &x->layers[i];
		*l = (struct remote_layer){.x = x,
					   .descriptor = &x->manifest.layers[i],
					   .diff_id = json_string_value(json_array_get(ids, i))};
		l->draft = draft_add_layer(x->draft, l);
		draft_layer_set_media(l->draft, l->descriptor->media);
		board_layer(x->board, l->descriptor->digest, find_layer(l) ? "Already exists" : "Pulling fs layer");
	}
	for (size_t i = x->d->daemon.config->images_parallel; i < x->nlayers; i++)
		if (!x->layers[i].ready)
			board_layer(x->board, x->layers[i].descriptor->digest, "Waiting");
	begin_more(x);
}
