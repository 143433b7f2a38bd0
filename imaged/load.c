/* load: POST /images/load: images from an archive of docker save, or of an OCI layout. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imaged/draft.h"
#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/lines.h"
#include "imaged/verified.h"
#include "lib/fd.h"
#include "lib/json.h"

#define MEMBERS_MAX 100000

/* One load: the archive's members lie in a staged directory; images are made one after the other. */
struct load {
	struct imaged *d;
	struct ipc_request *req;
	struct lines *lines;
	bool quiet;
	struct worker_call *splitting;
	char dir_name[STAGE_NAME];
	int dir;
	json_t *files;	/* name → member */
	json_t *images; /* as manifest.json has them */
	size_t image, layer;
	struct draft *draft;
	json_t *config;
	char *text;
	size_t loaded;
};

static void load_free(struct load *x)
{
	worker_cancel(x->splitting);
	draft_free(x->draft);
	fd_close(&x->dir);
	stage_drop_dir(x->d, x->dir_name);
	json_decref(x->files);
	json_decref(x->images);
	json_decref(x->config);
	free(x->text);
	free(x);
}

static void load_fail(struct load *x, const struct err *e)
{
	struct err why = *e;

	/* What is damaged is what the client has sent. */
	if (why.code == -EBADMSG)
		why.status = 400;
	lines_fail(x->lines, &why);
	load_free(x);
}

static void load_gone(void *arg)
{
	load_fail(arg, &(struct err){.code = -ECANCELED, .text = "the client has left"});
}

/* ---- members ---- */

static const json_t *member(const struct load *x, const char *name)
{
	json_t *m = json_object_get(x->files, name);
	const char *link = json_string_value(json_object_get(m, "Link"));

	/* Older docker save: "../ID/layer.tar" from within another directory; one step. */
	if (link)
		m = json_object_get(x->files, str_starts(link, "../") ? link + 3 : link);
	return json_object_get(m, "File") ? m : NULL;
}

static int open_member(const struct load *x, const char *name, struct err *e)
{
	const json_t *m = member(x, name);

	if (!m)
		return err_http(e, 400, "the archive has no %s", name);
	int fd = openat(x->dir, json_string_value(json_object_get(m, "File")), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "%s of the archive", name) : fd;
}

static int read_member(const struct load *x, const char *name, size_t max, char **out, size_t *len, struct err *e)
{
	AUTO_CLOSE int fd = open_member(x, name, e);
	int rc = fd < 0 ? fd : fd_read_file(fd, max, out, len, e);

	return rc == -EFBIG ? err_http(e, 400, "%s of the archive is larger than the configuration allows", name) : rc;
}

static int read_json(const struct load *x, const char *name, json_t **out, struct err *e)
{
	AUTO_FREE char *text = NULL;
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	size_t len;
	int rc = read_member(x, name, x->d->daemon.config->images_max_manifest, &text, &len, e);

	if (rc == 0)
		rc = json_parse(text, len, &bounds, out, e);
	return rc == -EINVAL ? err_prefix(e, "%s", name) : rc;
}

/* ---- an OCI layout's index as what docker save would have written ---- */

static const char *blob_name(const json_t *descriptor, char buf[96])
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest"));

	if (!digest || !digest_valid(digest))
		return NULL;
	snprintf(buf, 96, "blobs/sha256/%s", digest_hex(digest));
	return buf;
}

static int image_of_manifest(const struct load *x, const json_t *descriptor, json_t **out, struct err *e)
{
	char name[96];
	json_t *manifest = NULL, *layers = json_array(), *layer;
	size_t i;
	int rc = blob_name(descriptor, name) ? read_json(x, name, &manifest, e)
					     : err_http(e, 400, "index.json: not a digest");

	if (rc == 0 && json_object_get(manifest, "manifests"))
		rc = err_http(e, 400, "an index within the archive's index is not supported");
	json_array_foreach(json_object_get(manifest, "layers"), i, layer)
	{
		if (rc == 0 && !blob_name(layer, name))
			rc = err_http(e, 400, "a manifest of the archive names something that is no digest");
		if (rc == 0)
			json_array_append_new(layers, json_string(name));
	}
	if (rc == 0 && !blob_name(json_object_get(manifest, "config"), name))
		rc = err_http(e, 400, "a manifest of the archive has no config");
	if (rc == 0) {
		json_t *notes = json_object_get(descriptor, "annotations"), *tags = json_array();
		json_t *ref = json_object_get(notes, "io.containerd.image.name");
		if (!ref)
			ref = json_object_get(notes, "org.opencontainers.image.ref.name");
		/* A bare tag names no repository. */
		if (json_is_string(ref) && strpbrk(json_string_value(ref), ":/"))
			json_array_append(tags, ref);
		*out = json_pack("{s:s, s:O, s:o}", "Config", name, "Layers", layers, "RepoTags", tags);
	}
	json_decref(layers);
	json_decref(manifest);
	return rc;
}

static int read_index(struct load *x, struct err *e)
{
	json_t *index = NULL, *descriptor, *image = NULL;
	size_t i;
	int rc = read_json(x, "index.json", &index, e);

	x->images = json_array();
	json_array_foreach(json_object_get(index, "manifests"), i, descriptor)
	{
		if (rc == 0)
			rc = image_of_manifest(x, descriptor, &image, e);
		if (rc == 0)
			json_array_append_new(x->images, image);
	}
	json_decref(index);
	return rc;
}

static int check_images(const struct load *x, struct err *e)
{
	json_t *image, *text;
	size_t i, k;

	if (!json_is_array(x->images) || json_array_size(x->images) == 0)
		return err_http(e, 400, "the archive holds no image");
	json_array_foreach(x->images, i, image)
	{
		json_t *layers = json_object_get(image, "Layers"), *tags = json_object_get(image, "RepoTags");
		bool ok = json_is_string(json_object_get(image, "Config")) && (!layers || json_is_array(layers)) &&
			  (!tags || json_is_array(tags) || json_is_null(tags));
		json_array_foreach(layers, k, text) ok = ok && json_is_string(text);
		if (json_is_array(tags))
			json_array_foreach(tags, k, text) ok = ok && json_is_string(text);
		if (!ok)
			return err_http(e, 400, "manifest.json: wrong type of a field");
	}
	return 0;
}

/* ---- images, one after the other ---- */

static void next_image(struct load *x);
static void next_layer(struct load *x);

static void on_kept(void *arg, const char *id, json_t *moved, const struct err *e)
{
	struct load *x = arg;
	json_t *tags = json_object_get(json_array_get(x->images, x->image), "RepoTags"), *tag, *before;
	const char *name;
	size_t i;

	if (e) {
		load_fail(x, e);
		return;
	}
	json_object_foreach(moved, name, before) lines_put(
		x->lines,
		json_pack("{s:o}", "stream",
			  json_sprintf("The image %s already exists, renaming the old one with ID %s to empty string\n",
				       name, json_string_value(before))));
	if (json_is_array(tags))
		json_array_foreach(tags, i, tag)
			lines_put(x->lines, json_pack("{s:o}", "stream",
						      json_sprintf("Loaded image: %s\n", json_string_value(tag))));
	if (!json_is_array(tags) || json_array_size(tags) == 0)
		lines_put(x->lines, json_pack("{s:o}", "stream", json_sprintf("Loaded image ID: %s\n", id)));
	ipc_request_object(x->req, "image", id);
	event_image(x->d, "load", id, id);
	x->image++;
	next_image(x);
}

static void on_layer(void *arg, const struct err *e)
{
	struct load *x = arg;

	if (e) {
		load_fail(x, e);
		return;
	}
	x->layer++;
	next_layer(x);
}

static const struct draft_layer_events layer_events = {.done = on_layer};

/* The member becomes a staged blob of its own. */
static int unpack_member(struct load *x, struct draft_layer *l, const char *name, const char *diff_id, struct err *e)
{
	AUTO_CLOSE int fd = open_member(x, name, e);
	char staged[STAGE_NAME], from[STAGE_NAME * 2];

	if (fd < 0)
		return fd;
	const json_t *m = member(x, name);
	snprintf(from, sizeof from, "%s/%s", x->dir_name, json_string_value(json_object_get(m, "File")));
	AUTO_CLOSE int place = stage_blob(x->d, staged, e);
	if (place < 0)
		return place;
	if (renameat(x->d->staging, from, x->d->staging, staged) < 0)
		return err_sys(e, -errno, "%s of the archive", name);
	return draft_layer_unpack(l,
				  &(struct draft_layer_source){.pipe = -1,
							       .file = fd,
							       .staged = staged,
							       .diff_id = diff_id,
							       .blob = json_string_value(json_object_get(m, "Digest"))},
				  &layer_events, e);
}

static void next_layer(struct load *x)
{
	json_t *names = json_object_get(json_array_get(x->images, x->image), "Layers");
	json_t *ids = imageconf_diff_ids(x->config);
	struct err e = {0};
	int rc = 0;

	for (; x->layer < json_array_size(ids); x->layer++) {
		struct draft_layer *l = draft_add_layer(x->draft, x);
		const char *diff_id = json_string_value(json_array_get(ids, x->layer));
		if (draft_layer_find(l, diff_id, NULL))
			continue;
		rc = unpack_member(x, l, json_string_value(json_array_get(names, x->layer)), diff_id, &e);
		if (rc < 0)
			break;
		return;
	}
	if (rc == 0)
		rc = draft_keep(x->draft, on_kept, x, &e);
	if (rc < 0)
		load_fail(x, &e);
}

static int add_tags(struct load *x, json_t *tags, const char *id, struct err *e)
{
	char full[REFERENCE_TEXT];
	struct reference r;
	json_t *tag;
	size_t i;
	int rc = 0;

	if (json_is_array(tags))
		json_array_foreach(tags, i, tag)
		{
			if (rc == 0)
				rc = reference_parse(json_string_value(tag), default_registry(x->d), &r, e);
			if (rc == 0 && *r.digest)
				rc = err_http(e, 400, "the archive names an image by digest");
			if (rc == 0)
				rc = guard_admit_image(x->req, reference_full(&r, full), false, e);
			if (rc == 0)
				rc = verified_name(x->d, full, id, e);
			if (rc == 0)
				draft_add_tag(x->draft, full);
		}
	return rc;
}

static int begin_image(struct load *x, struct err *e)
{
	json_t *image = json_array_get(x->images, x->image), *names = json_object_get(image, "Layers");
	const struct config *c = x->d->daemon.config;
	char id[DIGEST_TEXT_SIZE];
	size_t len;

	draft_free(x->draft);
	json_decref(x->config);
	free(STEAL(x->text));
	x->config = NULL;
	x->layer = 0;
	x->draft = draft_new(x->d);
	int rc = read_member(x, json_string_value(json_object_get(image, "Config")), c->images_max_config, &x->text,
			     &len, e);
	if (rc == 0)
		rc = imageconf_parse(x->text, len, c->images_max_layers, &x->config, e);
	if (rc < 0)
		return rc;
	if (json_array_size(names) != json_array_size(imageconf_diff_ids(x->config)))
		return err_http(e, 400, "invalid manifest, layers length mismatch: expected %zu, got %zu",
				json_array_size(imageconf_diff_ids(x->config)), json_array_size(names));
	draft_set_config(x->draft, x->text, len, x->config);
	stage_digest(x->text, len, id);
	return add_tags(x, json_object_get(image, "RepoTags"), id, e);
}

static void next_image(struct load *x)
{
	struct err e = {0};

	if (x->image == json_array_size(x->images)) {
		lines_end(x->lines);
		load_free(x);
	} else if (begin_image(x, &e) < 0) {
		load_fail(x, &e);
	} else {
		next_layer(x);
	}
}

static void on_split(void *arg, void *reply, const struct err *e)
{
	struct load *x = arg;
	const struct archive_parts *m = reply;
	struct err why = {0};
	json_t *part;
	size_t i;

	x->splitting = NULL;
	if (e) {
		load_fail(x, e);
		return;
	}
	x->files = json_object();
	json_array_foreach(m->members.json, i, part)
	{
		const char *name = json_string_value(json_object_get(part, "Name"));
		if (name)
			json_object_set(x->files, name, part);
	}
	int rc = member(x, "manifest.json") ? read_json(x, "manifest.json", &x->images, &why) : read_index(x, &why);
	if (rc == 0)
		rc = check_images(x, &why);
	if (rc < 0)
		load_fail(x, &why);
	else
		next_image(x);
}

static const struct worker_events split_events = {.done = on_split};

static int load_begin(struct load *x, struct image_load *m, struct err *e)
{
	const struct config *c = x->d->daemon.config;
	struct archive_split split;

	if (m->input < 0)
		return err_http(e, 400, "the request has no body");
	if (m->platform && *m->platform)
		return err_http(e, 501, "not implemented: load with a platform");
	int rc = stage_check_space(x->d, e);
	if (rc < 0)
		return rc;
	x->dir = stage_dir(x->d, x->dir_name, e);
	if (x->dir < 0)
		return x->dir;
	ipc_init(IPC_archive_split, &split);
	split.pipe = m->input;
	split.dir = x->dir;
	split.max_bytes = c->images_max_image_expanded;
	split.max_entries = MEMBERS_MAX;
	split.max_ratio = c->images_max_ratio;
	split.stall_ms = c->images_stall_timeout * (c->images_retries + 1);
	split.min_free = c->images_min_free;
	x->splitting = worker_call(x->d, IPC_archive_split, &split, &split_events, x, e);
	return x->splitting ? 0 : e->code;
}

void on_image_load(struct ipc_request *req, struct image_load *m, struct imaged *d)
{
	struct load *x = XNEW(struct load);
	struct err e = {0};

	*x = (struct load){.d = d, .req = req, .quiet = m->quiet, .dir = -1};
	x->lines = lines_new(req, load_gone, x);
	if (load_begin(x, m, &e) < 0)
		load_fail(x, &e);
}
