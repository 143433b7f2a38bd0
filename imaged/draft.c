#include "imaged/draft.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "imaged/collect.h"
#include "imaged/imageconf.h"
#include "imaged/verified.h"

struct draft_layer {
	struct draft *draft;
	struct image_layer info;
	int64_t entries;
	char blob[STAGE_NAME], dir[STAGE_NAME]; /* on the stage; "" when the store has it */
	bool ready, held;			/* held: the store's, kept from collection */
	struct worker_call *work;
	const struct draft_layer_events *events;
	void *arg;
};

struct draft {
	struct imaged *d;
	struct draft_layer **layers;
	size_t nlayers;
	const char *config_text;
	size_t config_len;
	const json_t *config;
	char config_blob[STAGE_NAME], id[DIGEST_TEXT_SIZE];
	char manifest_blob[STAGE_NAME], manifest[DIGEST_TEXT_SIZE];
	int64_t manifest_size;
	char *parent;
	json_t *tags, *digests, *signatures; /* repository → id of a key */
	struct worker_call *syncing;
	void (*done)(void *arg, const char *id, json_t *moved, const struct err *e);
	void *arg;
};

struct draft *draft_new(struct imaged *d)
{
	struct draft *x = XNEW(struct draft);

	*x = (struct draft){.d = d, .tags = json_array(), .digests = json_array(), .signatures = json_object()};
	return x;
}

static void layer_free(struct draft_layer *l)
{
	struct imaged *d = l->draft->d;

	worker_cancel(l->work);
	stage_drop_blob(d, l->blob);
	stage_drop_layer(d, l->dir);
	if (l->held) {
		collect_hold(d, l->info.diff_id, -1);
		collect_hold(d, l->info.blob, -1);
	}
	free(l);
}

void draft_free(struct draft *x)
{
	if (!x)
		return;
	worker_cancel(x->syncing);
	for (size_t i = 0; i < x->nlayers; i++)
		layer_free(x->layers[i]);
	stage_drop_blob(x->d, x->config_blob);
	stage_drop_blob(x->d, x->manifest_blob);
	json_decref(x->tags);
	json_decref(x->digests);
	json_decref(x->signatures);
	free(x->parent);
	free(x->layers);
	free(x);
}

/* ---- layers ---- */

struct draft_layer *draft_add_layer(struct draft *x, void *arg)
{
	struct draft_layer *l = XNEW(struct draft_layer);

	l->draft = x;
	l->arg = arg;
	x->layers = xrealloc(x->layers, x->nlayers + 1, sizeof *x->layers);
	x->layers[x->nlayers++] = l;
	return l;
}

const struct image_layer *draft_layer_info(const struct draft_layer *l)
{
	return &l->info;
}

void draft_layer_set_media(struct draft_layer *l, const char *media)
{
	snprintf(l->info.media, sizeof l->info.media, "%s", media);
}

bool draft_layer_find(struct draft_layer *l, const char *diff_id, const char *blob)
{
	struct imaged *d = l->draft->d;
	struct image_layer found;

	for (size_t i = 0; i < l->draft->nlayers; i++) {
		const struct draft_layer *other = l->draft->layers[i];
		if (other == l || !other->ready || !str_eq(other->info.diff_id, diff_id))
			continue;
		l->info = other->info;
		l->entries = other->entries;
		l->ready = true;
		return true;
	}
	if (records_layer(d, diff_id, &found, NULL) < 0 || !stage_has_layer(d, diff_id) ||
	    !stage_has_blob(d, found.blob))
		return false;
	if (blob && !str_eq(blob, found.blob))
		return false;
	memcpy(found.media, l->info.media, sizeof found.media);
	l->info = found;
	l->ready = true;
	if (!l->held) {
		collect_hold(d, l->info.diff_id, 1);
		collect_hold(d, l->info.blob, 1);
		l->held = true;
	}
	return true;
}

static void on_unpack_progress(void *arg, uint64_t bytes)
{
	struct draft_layer *l = arg;

	if (l->events->progress)
		l->events->progress(l->arg, bytes);
}

static void on_unpacked(void *arg, void *reply, const struct err *e)
{
	struct draft_layer *l = arg;
	const struct layer_unpacked *m = reply;
	struct err why;

	l->work = NULL;
	if (!e && (!digest_valid(m->digest) || !digest_valid(m->diff_id))) {
		err_set(&why, -EBADMSG, "the unpack worker answered with something that is no digest");
		e = &why;
	}
	if (e) {
		stage_drop_blob(l->draft->d, l->blob);
		stage_drop_layer(l->draft->d, l->dir);
		l->events->done(l->arg, e);
		return;
	}
	snprintf(l->info.blob, sizeof l->info.blob, "%s", m->digest);
	snprintf(l->info.diff_id, sizeof l->info.diff_id, "%s", m->diff_id);
	l->info.blob_size = (int64_t)m->size;
	l->info.size = (int64_t)m->expanded;
	l->entries = m->entries;
	if (!*l->info.media)
		snprintf(l->info.media, sizeof l->info.media, "application/vnd.oci.image.layer.v1.tar%s%s",
			 str_eq(m->compression, "none") ? "" : "+",
			 str_eq(m->compression, "none") ? "" : m->compression);
	l->ready = true;
	l->events->done(l->arg, NULL);
}

static const struct worker_events unpack_events = {.progress = on_unpack_progress, .done = on_unpacked};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the image's bounds leave for one more layer. 1 stands for nothing, for 0 means without bound. */
struct left {
	uint64_t bytes, expanded;
};

static struct left left_of(const struct draft *x)
{
	const struct config *c = x->d->daemon.config;
	struct left left = {c->images_max_image, c->images_max_image_expanded};

	for (size_t i = 0; i < x->nlayers; i++) {
		const struct draft_layer *l = x->layers[i];
		left.bytes -= l->ready ? least(left.bytes - 1, (uint64_t)l->info.blob_size) : 0;
		left.expanded -= l->ready ? least(left.expanded - 1, (uint64_t)l->info.size) : 0;
	}
	return left;
}

int draft_layer_unpack(struct draft_layer *l, const struct draft_layer_source *source,
		       const struct draft_layer_events *events, struct err *e)
{
	struct imaged *d = l->draft->d;
	const struct config *c = d->daemon.config;
	struct layer_unpack m;
	AUTO_CLOSE int blob = -1;

	int rc = stage_check_space(d, e);
	if (rc < 0)
		return rc;
	if (source->staged)
		snprintf(l->blob, sizeof l->blob, "%s", source->staged);
	else if ((blob = stage_blob(d, l->blob, e)) < 0)
		return blob;
	AUTO_CLOSE int dir = stage_layer(d, l->dir, e);
	if (dir < 0)
		return dir;
	const struct left left = left_of(l->draft);
	ipc_init(IPC_layer_unpack, &m);
	m.pipe = source->pipe;
	m.file = source->file;
	m.blob = blob;
	m.dir = dir;
	m.digest = source->blob;
	m.diff_id = source->diff_id;
	m.known = source->known;
	m.size = source->size;
	m.max_bytes = least(c->images_max_layer, left.bytes);
	m.max_expanded = least(c->images_max_layer_expanded, left.expanded);
	m.min_free = c->images_min_free;
	m.max_entries = c->images_max_entries;
	m.max_path = c->images_max_path;
	m.max_ratio = c->images_max_ratio;
	m.stall_ms = source->pipe >= 0 && !source->patient ? c->images_stall_timeout * (c->images_retries + 1) : 0;
	l->events = events;
	l->work = worker_call(d, IPC_layer_unpack, &m, &unpack_events, l, e);
	return l->work ? 0 : e->code;
}

/* ---- the rest ---- */

void draft_set_config(struct draft *x, const char *text, size_t len, const json_t *config)
{
	x->config_text = text;
	x->config_len = len;
	x->config = config;
}

int draft_set_manifest(struct draft *x, const char *text, size_t len, struct err *e)
{
	x->manifest_size = (int64_t)len;
	return stage_bytes(x->d, text, len, x->manifest_blob, x->manifest, e);
}

void draft_set_parent(struct draft *x, const char *id)
{
	free(x->parent);
	x->parent = xstrdup(id);
}

void draft_add_tag(struct draft *x, const char *full)
{
	json_array_append_new(x->tags, json_string(full));
}

void draft_add_digest(struct draft *x, const char *full)
{
	json_array_append_new(x->digests, json_string(full));
}

void draft_add_signature(struct draft *x, const char *repository, const char *key)
{
	json_object_set_new(x->signatures, repository, json_string(key));
}

/* ---- keeping ---- */

static int check_layers(const struct draft *x, struct err *e)
{
	const json_t *ids = imageconf_diff_ids(x->config);
	const struct config *c = x->d->daemon.config;
	uint64_t total = 0, bytes = 0;

	if (json_array_size(ids) != x->nlayers)
		return err_set(e, -EINVAL, "the image's config names %zu layers, its manifest %zu",
			       json_array_size(ids), x->nlayers);
	for (size_t i = 0; i < x->nlayers; i++) {
		const struct draft_layer *l = x->layers[i];
		if (!l->ready || !str_eq(l->info.diff_id, json_string_value(json_array_get(ids, i))))
			return err_set(e, -EINVAL, "layer %zu is not what the image's config names", i);
		total += (uint64_t)l->info.size;
		bytes += (uint64_t)l->info.blob_size;
	}
	/* Layers that came side by side. */
	if (total > c->images_max_image_expanded)
		return err_set(e, -EFBIG, "the image's files exceed images.max-image-expanded, %" PRIu64 " bytes",
			       c->images_max_image_expanded);
	if (bytes > c->images_max_image)
		return err_set(e, -EFBIG, "the image's layers are larger than images.max-image, %" PRIu64 " bytes",
			       c->images_max_image);
	return 0;
}

static int keep_files(struct draft *x, struct err *e)
{
	struct imaged *d = x->d;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < x->nlayers; i++) {
		struct draft_layer *l = x->layers[i];
		if (*l->blob)
			rc = stage_keep_blob(d, l->blob, l->info.blob, e);
		if (rc == 0)
			*l->blob = '\0';
		if (rc == 0 && *l->dir)
			rc = stage_keep_layer(d, l->dir, l->info.diff_id, e);
		if (rc == 0)
			*l->dir = '\0';
	}
	if (rc == 0)
		rc = stage_keep_blob(d, x->config_blob, x->id, e);
	if (rc == 0)
		*x->config_blob = '\0';
	if (rc == 0 && *x->manifest_blob)
		rc = stage_keep_blob(d, x->manifest_blob, x->manifest, e);
	if (rc == 0)
		*x->manifest_blob = '\0';
	return rc < 0 ? rc : stage_sync_names(d, e);
}

static int keep_image(struct draft *x, struct err *e)
{
	AUTO_FREE struct image_layer *layers = xcalloc(x->nlayers + 1, sizeof *layers);
	AUTO_IMAGE struct image row = {0};
	int rc = 0;

	imageconf_describe(x->config, &row);
	snprintf(row.id, sizeof row.id, "%s", x->id);
	row.manifest = *x->manifest ? xstrdup(x->manifest) : NULL;
	row.parent = x->parent ? xstrdup(x->parent) : NULL;
	for (size_t i = 0; rc == 0 && i < x->nlayers; i++) {
		const struct image_layer *l = &x->layers[i]->info;
		layers[i] = *l;
		row.size += l->size;
		rc = records_put_blob(x->d, l->blob, l->blob_size, e);
		if (rc == 0)
			rc = records_put_layer(x->d, l->diff_id, l->blob, l->size, x->layers[i]->entries, e);
	}
	if (rc == 0)
		rc = records_put_blob(x->d, x->id, (int64_t)x->config_len, e);
	if (rc == 0 && *x->manifest)
		rc = records_put_blob(x->d, x->manifest, x->manifest_size, e);
	return rc < 0 ? rc : records_put_image(x->d, &row, layers, x->nlayers, e);
}

static int keep_names(struct draft *x, json_t *moved, struct err *e)
{
	char before[DIGEST_TEXT_SIZE];
	json_t *name;
	size_t i;
	int rc = 0;

	json_array_foreach(x->tags, i, name) {
		if (rc == 0)
			rc = records_put_tag(x->d, json_string_value(name), x->id, before, e);
		if (rc == 0 && *before && !str_eq(before, x->id))
			json_object_set_new(moved, json_string_value(name), json_string(before));
	}
	const char *repository;
	json_object_foreach(x->signatures, repository, name)
		if (rc == 0)
			rc = verified_remember(x->d, repository, x->id, json_string_value(name), e);
	json_array_foreach(x->digests, i, name)
		if (rc == 0)
			rc = records_put_digest(x->d, json_string_value(name), x->id, e);
	return rc;
}

static int keep_rows(struct draft *x, json_t *moved, struct err *e)
{
	int rc = store_begin(x->d->store, e);

	if (rc == 0)
		rc = keep_image(x, e);
	if (rc == 0)
		rc = keep_names(x, moved, e);
	if (rc == 0)
		rc = store_commit(x->d->store, e);
	if (rc < 0)
		store_rollback(x->d->store);
	return rc;
}

static void on_synced(void *arg, void *reply, const struct err *e)
{
	struct draft *x = arg;
	json_t *moved = json_object();
	struct err why = {0};

	(void)reply;
	x->syncing = NULL;
	if (!e && (keep_files(x, &why) < 0 || keep_rows(x, moved, &why) < 0))
		e = &why;
	x->done(x->arg, x->id, moved, e);
	json_decref(moved);
}

static const struct worker_events sync_events = {.done = on_synced};

int draft_keep(struct draft *x, void (*done)(void *arg, const char *id, json_t *moved, const struct err *e), void *arg,
	       struct err *e)
{
	struct store_sync m;
	int rc = check_layers(x, e);

	if (rc == 0)
		rc = stage_bytes(x->d, x->config_text, x->config_len, x->config_blob, x->id, e);
	if (rc < 0)
		return rc;
	x->done = done;
	x->arg = arg;
	ipc_init(IPC_store_sync, &m);
	m.dir = x->d->layers;
	x->syncing = worker_call(x->d, IPC_store_sync, &m, &sync_events, x, e);
	return x->syncing ? 0 : e->code;
}
