/*
 * push_prepare: what is pushed of an image. One that was pulled goes as it came, its manifest byte for byte; one that
 * was made here gets a manifest, and layers in gzip, which the store keeps from then on.
 */
#include <errno.h>
#include <stdio.h>

#include "imaged/push_private.h"

/* ---- the manifest ---- */

/* As it came, if everything that it names is here. */
static bool take_stored_manifest(struct push *p)
{
	AUTO_MANIFEST struct manifest m = {0};
	size_t len = 0;
	AUTO_FREE char *text = NULL;

	if (!p->image.manifest ||
	    stage_read_blob(p->d, p->image.manifest, p->d->daemon.config->images_max_manifest, &text, &len, NULL) < 0)
		return false;
	if (manifest_parse(text, len, NULL, p->d->daemon.config, &m, NULL) < 0 || m.index ||
	    !str_eq(m.config.digest, p->image.id) || m.nlayers != p->nlayers)
		return false;
	for (size_t i = 0; i < m.nlayers; i++)
		if (!str_eq(m.layers[i].digest, p->layers[i].blob) || !stage_has_blob(p->d, p->layers[i].blob))
			return false;
	snprintf(p->media, sizeof p->media, "%s", m.media);
	snprintf(p->digest, sizeof p->digest, "%s", p->image.manifest);
	p->manifest = STEAL(text);
	p->manifest_len = len;
	return true;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && str_eq(text + n - m, end);
}

/* Docker's schema 2 knows gzip only; with anything else it is an OCI manifest. */
static const char *const docker_medias[] = {"application/vnd.docker.distribution.manifest.v2+json",
					    "application/vnd.docker.container.image.v1+json",
					    "application/vnd.docker.image.rootfs.diff.tar.gzip", NULL};
static const char *const oci_medias[] = {
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
	"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"};

static int make_manifest(struct push *p, struct err *e)
{
	const char *const *medias = docker_medias;
	json_t *list = json_array();
	int64_t size = 0;
	int rc = store_number(p->d->store, 0, &size, e, "SELECT size FROM blob WHERE digest = ?", "t", p->image.id);

	for (size_t i = 0; i < p->nlayers; i++)
		if (ends_with(p->layers[i].media, "zstd"))
			medias = oci_medias;
	for (size_t i = 0; i < p->nlayers; i++) {
		const struct image_layer *l = &p->layers[i];
		json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "mediaType",
						      medias[ends_with(l->media, "zstd") ? 3 : 2], "size",
						      (json_int_t)l->blob_size, "digest", l->blob));
	}
	json_t *doc =
		json_pack("{s:i, s:s, s:{s:s, s:I, s:s}, s:o}", "schemaVersion", 2, "mediaType", medias[0], "config",
			  "mediaType", medias[1], "size", (json_int_t)size, "digest", p->image.id, "layers", list);
	p->manifest = json_dumps(doc, JSON_INDENT(3));
	p->manifest_len = strlen(p->manifest);
	json_decref(doc);
	snprintf(p->media, sizeof p->media, "%s", medias[0]);
	stage_digest(p->manifest, p->manifest_len, p->digest);
	return rc;
}

/* ---- layers in gzip ---- */

static void compress_next(struct push *p);

static bool is_compressed(const struct image_layer *l)
{
	return ends_with(l->media, "gzip") || ends_with(l->media, "zstd");
}

/* From now on the store has the layer in this form. */
static int keep_compressed(struct push *p, struct err *e)
{
	const char *digest = p->compressed;
	struct image_layer *l = &p->layers[p->compressing];
	struct store *store = p->d->store;
	int rc = stage_keep_blob(p->d, p->staged, digest, e);

	if (rc < 0)
		return rc;
	*p->staged = '\0';
	rc = stage_sync_names(p->d, e);
	if (rc == 0)
		rc = store_begin(store, e);
	if (rc == 0)
		rc = records_put_blob(p->d, digest, p->compressed_size, e);
	if (rc == 0)
		rc = store_exec(store, e, "UPDATE layer SET blob = ? WHERE diff_id = ?", "tt", digest, l->diff_id);
	if (rc == 0)
		rc = store_exec(store, e, "UPDATE image_layer SET blob = ?, media = ? WHERE diff_id = ? AND blob = ?",
				"tttt", digest, docker_medias[2], l->diff_id, l->blob);
	if (rc == 0)
		rc = store_commit(store, e);
	if (rc < 0) {
		store_rollback(store);
		return rc;
	}
	snprintf(l->blob, sizeof l->blob, "%s", digest);
	snprintf(l->media, sizeof l->media, "%s", docker_medias[2]);
	l->blob_size = p->compressed_size;
	return 0;
}

static void on_synced(void *arg, void *reply, const struct err *e);

static const struct worker_events sync_events = {.done = on_synced};

static void on_compressed(void *arg, void *reply, const struct err *e)
{
	struct push *p = arg;
	const struct layer_compressed *m = reply;
	struct err why = {0};
	struct store_sync sync;

	p->call = NULL;
	if (!e && !digest_valid(m->digest)) {
		err_set(&why, -EBADMSG, "the unpack worker answered with something that is no digest");
		e = &why;
	}
	if (e) {
		push_fail(p, e);
		return;
	}
	snprintf(p->compressed, sizeof p->compressed, "%s", m->digest);
	p->compressed_size = (int64_t)m->size;
	ipc_init(IPC_store_sync, &sync);
	sync.dir = p->d->layers;
	p->call = worker_call(p->d, IPC_store_sync, &sync, &sync_events, p, &why);
	if (!p->call)
		push_fail(p, &why);
}

static void on_synced(void *arg, void *reply, const struct err *e)
{
	struct push *p = arg;
	struct err why = {0};

	(void)reply;
	p->call = NULL;
	if (!e && keep_compressed(p, &why) < 0)
		e = &why;
	if (e) {
		push_fail(p, e);
		return;
	}
	p->compressing++;
	compress_next(p);
}

static void on_compress_progress(void *arg, uint64_t bytes)
{
	struct push *p = arg;
	const struct image_layer *l = &p->layers[p->compressing];

	board_progress(p->board, l->diff_id, "Compressing", bytes, (uint64_t)l->blob_size);
}

static const struct worker_events compress_events = {.progress = on_compress_progress, .done = on_compressed};

static int compress_layer(struct push *p, const struct image_layer *l, struct err *e)
{
	struct layer_compress m;
	int rc = stage_check_space(p->d, e);

	if (rc < 0)
		return rc;
	AUTO_CLOSE int file = stage_open_blob(p->d, l->blob, e);
	if (file < 0)
		return file;
	AUTO_CLOSE int blob = stage_blob(p->d, p->staged, e);
	if (blob < 0)
		return blob;
	ipc_init(IPC_layer_compress, &m);
	m.file = file;
	m.blob = blob;
	p->call = worker_call(p->d, IPC_layer_compress, &m, &compress_events, p, e);
	return p->call ? 0 : e->code;
}

static void compress_next(struct push *p)
{
	struct err e = {0};

	while (p->compressing < p->nlayers && is_compressed(&p->layers[p->compressing]))
		p->compressing++;
	if (p->compressing < p->nlayers) {
		if (compress_layer(p, &p->layers[p->compressing], &e) < 0)
			push_fail(p, &e);
	} else if (make_manifest(p, &e) < 0) {
		push_fail(p, &e);
	} else {
		push_blobs(p);
	}
}

void push_prepare(struct push *p)
{
	if (take_stored_manifest(p))
		push_blobs(p);
	else
		compress_next(p);
}
