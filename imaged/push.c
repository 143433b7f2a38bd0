/* push: POST /images/{name}/push: an image into a registry: the blobs that it lacks, then the manifest. */
#include <errno.h>
#include <stdio.h>

#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/push_private.h"

static void next_tag(struct push *p);

/* ---- ends ---- */

static void image_end(struct push *p)
{
	worker_cancel(p->call);
	for (size_t i = 0; i < p->nitems; i++)
		worker_cancel(p->items[i].call);
	stage_drop_blob(p->d, p->staged);
	image_clean(&p->image);
	free(STEAL(p->layers));
	free(STEAL(p->manifest));
	free(STEAL(p->items));
	p->call = NULL;
	p->nitems = p->active = p->nlayers = p->compressing = 0;
}

static void push_free(struct push *p)
{
	image_end(p);
	worker_session_free(p->fetch);
	board_free(p->board);
	json_decref(p->tags);
	free(p);
}

void push_fail(struct push *p, const struct err *e)
{
	struct err why = *e;

	if (!why.status)
		why.status = 500;
	lines_fail(p->lines, &why);
	push_free(p);
}

static void on_gone(void *arg)
{
	push_fail(arg, &(struct err){.code = -ECANCELED, .text = "the client has left"});
}

/* ---- the manifest, when all blobs are there ---- */

static int keep_digest(struct push *p, struct err *e)
{
	char name[REFERENCE_TEXT];
	int rc = store_begin(p->d->store, e);

	if (rc == 0)
		rc = records_put_digest(p->d, reference_by_digest(&p->reference, p->digest, name), p->image.id, e);
	if (rc == 0)
		rc = store_commit(p->d->store, e);
	if (rc < 0)
		store_rollback(p->d->store);
	return rc;
}

static void on_manifest_pushed(void *arg, void *reply, const struct err *e)
{
	struct push *p = arg;
	const struct pushed *m = reply;
	char full[REFERENCE_TEXT];
	struct err why = {0};

	p->call = NULL;
	if (!e && m->digest && !str_eq(m->digest, p->digest) && str_starts(m->digest, "sha256:")) {
		err_set(&why, -EBADMSG, "the registry has stored the manifest as %s, not %s", m->digest, p->digest);
		e = &why;
	}
	if (!e && keep_digest(p, &why) < 0)
		e = &why;
	if (e) {
		push_fail(p, e);
		return;
	}
	lines_status(p->lines, NULL, "%s: digest: %s size: %zu", p->reference.tag, p->digest, p->manifest_len);
	lines_put(p->lines, json_pack("{s:{}, s:{s:s, s:s, s:I}}", "progressDetail", "aux", "Tag", p->reference.tag,
				      "Digest", p->digest, "Size", (json_int_t)p->manifest_len));
	reference_full(&p->reference, full);
	ipc_request_object(p->req, "image", p->image.id);
	event_transfer(p->d, "push", p->image.id, full);
	next_tag(p);
}

static const struct worker_events manifest_events = {.done = on_manifest_pushed};

static void push_manifest_now(struct push *p)
{
	struct push_manifest m;
	struct err e = {0};

	ipc_init(IPC_push_manifest, &m);
	m.registry = p->reference.domain;
	m.repository = p->reference.path;
	m.reference = p->reference.tag;
	m.type = p->media;
	m.body = (struct ipc_bytes){.data = p->manifest, .len = p->manifest_len};
	p->call = worker_session_call(p->fetch, IPC_push_manifest, &m, &manifest_events, p, &e);
	if (!p->call)
		push_fail(p, &e);
}

/* ---- blobs ---- */

static void begin_items(struct push *p);

static void on_item_progress(void *arg, uint64_t bytes)
{
	struct push_item *item = arg;

	if (*item->shown)
		board_progress(item->push->board, item->shown, "Pushing", bytes, item->size);
}

static void on_item_done(void *arg, void *reply, const struct err *e)
{
	struct push_item *item = arg;
	const struct pushed *m = reply;
	struct push *p = item->push;

	item->call = NULL;
	if (e) {
		push_fail(p, e);
		return;
	}
	item->done = true;
	p->active--;
	if (*item->shown && m->mounted_from) {
		AUTO_FREE char *text = xasprintf("Mounted from %s", m->mounted_from);
		board_layer(p->board, item->shown, text);
	} else if (*item->shown) {
		board_layer(p->board, item->shown, m->existed ? "Layer already exists" : "Pushed");
	}
	begin_items(p);
}

static const struct worker_events item_events = {.progress = on_item_progress, .done = on_item_done};

static int first_text(void *arg, struct store_row *r)
{
	snprintf(arg, REFERENCE_TEXT, "%s", store_text(r, 0));
	return 1;
}

/* Another repository of the same registry that is known to have the blob; NULL. */
static const char *mount_source(const struct push *p, const char *digest, char buf[REFERENCE_TEXT])
{
	char own[REFERENCE_TEXT];
	AUTO_FREE char *begin = xasprintf("%s/", p->reference.domain);
	AUTO_FREE char *end = xasprintf("%s0", p->reference.domain); /* '0' follows '/' */

	*buf = '\0';
	store_query(
		p->d->store, first_text, buf, NULL,
		"SELECT d.name FROM digest d JOIN image_layer l ON l.image = d.image WHERE l.blob = ? AND d.name > ?"
		" AND d.name < ? AND substr(d.name, 1, instr(d.name, '@') - 1) <> ? LIMIT 1",
		"tttt", digest, begin, end, reference_repository(&p->reference, own));
	char *at = strchr(buf, '@');
	if (!at)
		return NULL;
	*at = '\0';
	return buf + strlen(begin);
}

static int begin_item(struct push_item *item, struct err *e)
{
	struct push *p = item->push;
	struct push_blob m;
	char source[REFERENCE_TEXT];
	AUTO_CLOSE int fd = stage_open_blob(p->d, item->digest, e);

	if (fd < 0)
		return fd;
	ipc_init(IPC_push_blob, &m);
	m.registry = p->reference.domain;
	m.repository = p->reference.path;
	m.digest = item->digest;
	m.size = item->size;
	m.mount_from = *item->shown ? mount_source(p, item->digest, source) : NULL;
	m.file = fd;
	item->call = worker_session_call(p->fetch, IPC_push_blob, &m, &item_events, item, e);
	return item->call ? 0 : e->code;
}

static void begin_items(struct push *p)
{
	size_t done = 0;
	struct err e = {0};

	for (size_t i = 0; i < p->nitems; i++) {
		struct push_item *item = &p->items[i];
		done += item->done;
		if (item->begun || p->active >= p->d->daemon.config->images_parallel)
			continue;
		item->begun = true;
		p->active++;
		if (begin_item(item, &e) < 0) {
			push_fail(p, &e);
			return;
		}
	}
	if (done == p->nitems)
		push_manifest_now(p);
}

static void add_item(struct push *p, const char *digest, const char *shown, uint64_t size)
{
	for (size_t i = 0; i < p->nitems; i++)
		if (str_eq(p->items[i].digest, digest))
			return;
	struct push_item *item = &p->items[p->nitems++];
	*item = (struct push_item){.push = p, .size = size};
	snprintf(item->digest, sizeof item->digest, "%s", digest);
	snprintf(item->shown, sizeof item->shown, "%s", shown);
}

void push_blobs(struct push *p)
{
	int64_t size = 0;

	p->items = xcalloc(p->nlayers + 1, sizeof *p->items);
	for (size_t i = 0; i < p->nlayers; i++)
		add_item(p, p->layers[i].blob, p->layers[i].diff_id, (uint64_t)p->layers[i].blob_size);
	store_number(p->d->store, 0, &size, NULL, "SELECT size FROM blob WHERE digest = ?", "t", p->image.id);
	add_item(p, p->image.id, "", (uint64_t)size);
	begin_items(p);
}

/* ---- tags, one after the other ---- */

static int begin_tag(struct push *p, const char *full, struct err *e)
{
	int rc = records_find(p->d, full, &p->image, NULL, e);

	if (rc == 0)
		rc = reference_parse(full, default_registry(p->d), &p->reference, e);
	if (rc == 0)
		rc = guard_admit_image(p->req, full, false, e);
	if (rc < 0)
		return rc;
	ssize_t n = records_layers(p->d, p->image.id, &p->layers, e);
	if (n < 0)
		return (int)n;
	p->nlayers = (size_t)n;
	for (size_t i = 0; i < p->nlayers; i++)
		board_layer(p->board, p->layers[i].diff_id, "Preparing");
	return 0;
}

static void next_tag(struct push *p)
{
	struct err e = {0};

	image_end(p);
	if (json_array_size(p->tags) == 0) {
		lines_end(p->lines);
		push_free(p);
		return;
	}
	json_t *full = json_incref(json_array_get(p->tags, 0));
	json_array_remove(p->tags, 0);
	int rc = begin_tag(p, json_string_value(full), &e);
	json_decref(full);
	if (rc < 0)
		push_fail(p, &e);
	else
		push_prepare(p);
}

static int add_tag(void *arg, struct store_row *r)
{
	json_array_append_new(arg, json_string(store_text(r, 0)));
	return 0;
}

/* The one that is named, or all of the repository. */
static int find_tags(struct push *p, const struct image_push *m, struct err *e)
{
	char full[REFERENCE_TEXT], shown[REFERENCE_TEXT];
	int rc = reference_parse(m->name, default_registry(p->d), &p->reference, e);

	if (rc == 0 && *p->reference.digest)
		return err_http(e, 400, "cannot push a digest reference");
	if (rc == 0 && m->tag && *m->tag)
		snprintf(p->reference.tag, sizeof p->reference.tag, "%s", m->tag);
	if (rc < 0)
		return rc;
	reference_repository(&p->reference, full);
	if (*p->reference.tag) {
		json_array_append_new(p->tags, json_string(reference_full(&p->reference, full)));
	} else {
		AUTO_FREE char *begin = xasprintf("%s:", full), *end = xasprintf("%s;", full); /* ';' follows ':' */
		rc = store_query(p->d->store, add_tag, p->tags, e,
				 "SELECT name FROM tag WHERE name > ? AND name < ? ORDER BY name", "tt", begin, end);
	}
	AUTO_IMAGE struct image image = {0};
	if (rc == 0 && (json_array_size(p->tags) == 0 ||
			records_find(p->d, json_string_value(json_array_get(p->tags, 0)), &image, NULL, NULL) < 0))
		return err_http(
			e, 404, "An image does not exist locally with the tag: %s",
			reference_familiar(reference_repository(&p->reference, full), default_registry(p->d), shown));
	return rc;
}

static int push_begin(struct push *p, const struct image_push *m, struct err *e)
{
	char full[REFERENCE_TEXT];

	if (m->platform && *m->platform)
		return err_http(e, 400, "platform: an image here is of one platform, and is pushed as that");
	int rc = find_tags(p, m, e);
	if (rc < 0)
		return rc;
	p->fetch = remote_login(p->d, p->reference.domain, m->auth, e);
	if (!p->fetch)
		return e->code;
	lines_status(p->lines, NULL, "The push refers to repository [%s]", reference_repository(&p->reference, full));
	board_join(p->board, p->lines);
	return 0;
}

void on_image_push(struct ipc_request *req, struct image_push *m, struct imaged *d)
{
	struct push *p = XNEW(struct push);
	struct err e = {0};

	*p = (struct push){.d = d, .req = req, .board = board_new(), .tags = json_array()};
	p->lines = lines_new(req, on_gone, p);
	if (push_begin(p, m, &e) < 0)
		push_fail(p, &e);
	else
		next_tag(p);
}
