/* save: GET /images/get: an archive as docker load and every OCI tool read it: OCI layout and manifest.json in one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/made.h"
#include "imaged/manifest.h"
#include "imaged/records.h"
#include "imaged/stage.h"
#include "imaged/worker.h"

struct save {
	struct imaged *d;
	struct ipc_request *req;
	struct platform platform; /* that the images must be for, when it is given */
	bool platform_given;
	struct worker_call *joining;
	json_t *members;   /* of the archive */
	json_t *seen;	   /* blobs that are in it */
	json_t *manifests; /* of index.json */
	json_t *legacy;	   /* manifest.json */
	json_t *images;	   /* id → entry of manifest.json */
};

static void save_free(struct save *x)
{
	worker_cancel(x->joining);
	json_decref(x->members);
	json_decref(x->seen);
	json_decref(x->manifests);
	json_decref(x->legacy);
	json_decref(x->images);
	free(x);
}

static void add_blob(struct save *x, const char *digest)
{
	if (json_object_get(x->seen, digest))
		return;
	json_object_set_new(x->seen, digest, json_true());
	json_array_append_new(x->members,
			      json_pack("{s:o, s:s}", "Name", json_sprintf("blobs/sha256/%s", digest_hex(digest)),
					"Blob", digest_hex(digest)));
}

static void add_text(struct save *x, const char *name, json_t *take_content)
{
	AUTO_FREE char *text = json_dumps(take_content, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(take_content);
	json_array_append_new(x->members, json_pack("{s:s, s:s}", "Name", name, "Text", text));
}

static int add_image(struct save *x, const struct image *image, struct err *e)
{
	AUTO_FREE struct image_layer *layers = NULL;
	ssize_t n = records_layers(x->d, image->id, &layers, e);
	json_t *paths = json_array();
	int64_t size = 0;
	int rc = n < 0 ? (int)n
		       : store_number(x->d->store, 0, &size, e, "SELECT size FROM blob WHERE digest = ?", "t",
				      image->id);

	if (rc < 0) {
		json_decref(paths);
		return rc;
	}
	for (ssize_t i = 0; i < n; i++) {
		add_blob(x, layers[i].blob);
		json_array_append_new(paths, json_sprintf("blobs/sha256/%s", digest_hex(layers[i].blob)));
	}
	add_blob(x, image->id);
	json_t *entry = json_pack("{s:o, s:[], s:o}", "Config", json_sprintf("blobs/sha256/%s", digest_hex(image->id)),
				  "RepoTags", "Layers", paths);
	json_object_set(x->images, image->id, entry);
	json_array_append_new(x->legacy, entry);
	return size ? 0 : err_http(e, 500, "image %s has no config", image->id);
}

static int add_manifest(struct save *x, const struct image *image, const char *full, struct err *e);

static int check_platform(const struct save *x, const struct image *image, const char *name, struct err *e)
{
	struct platform have = {0};
	char text[100];

	snprintf(have.os, sizeof have.os, "%s", image->os);
	snprintf(have.architecture, sizeof have.architecture, "%s", image->architecture);
	snprintf(have.variant, sizeof have.variant, "%s", image->variant);
	if (!x->platform_given || platform_fit(&have, &x->platform))
		return 0;
	return err_http(e, 404, "image with reference %s was found but does not provide the specified platform (%s)",
			name, platform_text(&x->platform, text));
}

/* One name or id of the request. */
static int add_reference(struct save *x, const char *text, struct err *e)
{
	AUTO_IMAGE struct image image = {0};
	struct reference named;
	char full[REFERENCE_TEXT] = "", shown[REFERENCE_TEXT];
	int rc = records_find(x->d, text, &image, &named, e);

	if (rc == 0)
		rc = check_platform(x, &image, text, e);
	if (rc == 0 && !json_object_get(x->images, image.id))
		rc = add_image(x, &image, e);
	if (rc < 0)
		return rc;
	if (*named.domain && !*named.digest) {
		reference_full(&named, full);
		json_array_append_new(json_object_get(json_object_get(x->images, image.id), "RepoTags"),
				      json_string(reference_familiar(full, default_registry(x->d), shown)));
	}
	return add_manifest(x, &image, full, e);
}

/* The manifest that it came with, as it is. */
static int add_own_manifest(struct save *x, const struct image *image, json_t **descriptor, struct err *e)
{
	AUTO_FREE char *text = NULL;
	AUTO_MANIFEST struct manifest m = {0};
	size_t len;
	int rc = stage_read_blob(x->d, image->manifest, x->d->daemon.config->images_max_manifest, &text, &len, e);

	if (rc == 0)
		rc = manifest_parse(text, len, NULL, x->d->daemon.config, &m, e);
	if (rc < 0)
		return rc;
	add_blob(x, image->manifest);
	*descriptor =
		json_pack("{s:s, s:s, s:I}", "mediaType", m.media, "digest", image->manifest, "size", (json_int_t)len);
	return 0;
}

/* Images that came without a manifest get one; it is a blob of the archive only. */
static int add_made_manifest(struct save *x, const struct image *image, json_t **descriptor, struct err *e)
{
	AUTO_FREE char *text = NULL;
	char digest[DIGEST_TEXT_SIZE];
	int rc = made_manifest(x->d, image, &text, digest, e);

	if (rc < 0)
		return rc;
	if (!json_object_get(x->seen, digest)) {
		AUTO_FREE char *name = xasprintf("blobs/sha256/%s", digest_hex(digest));
		json_object_set_new(x->seen, digest, json_true());
		json_array_append_new(x->members, json_pack("{s:s, s:s}", "Name", name, "Text", text));
	}
	*descriptor = json_pack("{s:s, s:s, s:I}", "mediaType", MADE_MEDIA, "digest", digest, "size",
				(json_int_t)strlen(text));
	return 0;
}

static int add_manifest(struct save *x, const struct image *image, const char *full, struct err *e)
{
	char shown[REFERENCE_TEXT];
	json_t *descriptor = NULL;
	int rc = image->manifest ? add_own_manifest(x, image, &descriptor, e)
				 : add_made_manifest(x, image, &descriptor, e);

	if (rc < 0)
		return rc;
	json_object_set_new(descriptor, "annotations", json_object());
	if (*full) {
		json_t *notes = json_object_get(descriptor, "annotations");
		const char *tag = strrchr(full, ':');
		json_object_set_new(notes, "io.containerd.image.name", json_string(full));
		json_object_set_new(
			notes, "org.opencontainers.image.ref.name",
			json_string(tag ? tag + 1 : reference_familiar(full, default_registry(x->d), shown)));
	}
	json_array_append_new(x->manifests, descriptor);
	return 0;
}

static void on_joined(void *arg, void *reply, const struct err *e)
{
	struct save *x = arg;
	const char *id;
	json_t *entry;

	(void)reply;
	x->joining = NULL;
	if (e) {
		ipc_reply_error(x->req, e);
	} else {
		json_object_foreach(x->images, id, entry)
			event_image(x->d, "save", id, NULL);
		ipc_reply_done(x->req);
	}
	save_free(x);
}

static const struct worker_events join_events = {.done = on_joined};

static void on_cancel(struct ipc_request *req, void *arg)
{
	ipc_reply_done(req);
	save_free(arg);
}

static int save_begin(struct save *x, struct err *e)
{
	struct archive_join m;
	int ends[2];

	add_text(x, "index.json",
		 json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType",
			   "application/vnd.oci.image.index.v1+json", "manifests", x->manifests));
	add_text(x, "manifest.json", json_incref(x->legacy));
	add_text(x, "oci-layout", json_pack("{s:s}", "imageLayoutVersion", "1.0.0"));
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	AUTO_CLOSE int from = ends[0];
	AUTO_CLOSE int to = ends[1];
	ipc_init(IPC_archive_join, &m);
	m.blobs = x->d->blobs;
	m.pipe = to;
	m.members.json = x->members;
	x->joining = worker_call(x->d, IPC_archive_join, &m, &join_events, x, e);
	if (!x->joining)
		return e->code;
	int rc = ipc_chunk_pipe(x->req, from, "application/x-tar", NULL);
	return rc < 0 ? err_set(e, rc, "the client has left") : 0;
}

static void save(struct ipc_request *req, const char *names, const char *platform, struct imaged *d)
{
	struct save *x = XNEW(struct save);
	AUTO_FREE char *copy = xstrdup(names ? names : "");
	char *state = NULL;
	struct err e = {0};
	int rc = 0;

	*x = (struct save){.d = d,
			   .req = req,
			   .members = json_array(),
			   .seen = json_object(),
			   .manifests = json_array(),
			   .legacy = json_array(),
			   .images = json_object()};
	x->platform_given = platform && *platform;
	if (x->platform_given)
		rc = platform_parse(platform, &x->platform, &e);
	for (char *name = strtok_r(copy, "\n", &state); name && rc == 0; name = strtok_r(NULL, "\n", &state))
		rc = add_reference(x, name, &e);
	if (rc == 0 && json_array_size(x->legacy) == 0)
		rc = err_http(&e, 400, "no image is named");
	if (rc == 0)
		rc = save_begin(x, &e);
	if (rc < 0) {
		ipc_reply_error(req, &e);
		save_free(x);
		return;
	}
	ipc_request_on_cancel(req, on_cancel, x);
}

void on_image_save(struct ipc_request *req, struct image_save *m, struct imaged *d)
{
	save(req, m->names, m->platform, d);
}

void on_image_save_one(struct ipc_request *req, struct image_save_one *m, struct imaged *d)
{
	save(req, m->name, m->platform, d);
}
