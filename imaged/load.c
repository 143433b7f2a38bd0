/* load: POST /images/load: images from an archive of docker save, or of an OCI layout. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/load_private.h"
#include "imaged/verified.h"
#include "lib/fd.h"
#include "lib/json.h"

#define MEMBERS_MAX 100000

static void load_free(struct load *x)
{
	worker_cancel(x->splitting);
	draft_free(x->draft);
	fd_close(&x->dir);
	stage_drop_dir(x->d, x->dir_name);
	json_decref(x->files);
	json_decref(x->images);
	json_decref(x->config);
	manifest_clean(&x->manifest);
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
	json_object_foreach(moved, name, before)
		lines_put(x->lines, json_pack("{s:o}", "stream",
					      json_sprintf("The image %s already exists, renaming the old one with ID "
							   "%s to empty string\n",
							   name, json_string_value(before))));
	if (json_is_array(tags))
		json_array_foreach(tags, i, tag)
			lines_put(x->lines, json_pack("{s:o}", "stream",
						      json_sprintf("Loaded image: %s\n", json_string_value(tag))));
	if (!json_is_array(tags) || json_array_size(tags) == 0)
		lines_put(x->lines, json_pack("{s:o}", "stream", json_sprintf("Loaded image ID: %s\n", id)));
	ipc_request_object(x->req, "image", id);
	event_image(x->d, "load", id, NULL);
	x->loaded++;
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
	AUTO_CLOSE int fd = load_open(x, name, e);
	char staged[STAGE_NAME], from[STAGE_NAME * 2];

	if (fd < 0)
		return fd;
	const json_t *m = load_member(x, name);
	snprintf(from, sizeof from, "%s/%s", x->dir_name, json_string_value(json_object_get(m, "File")));
	const char *known = json_string_value(json_object_get(m, "Digest"));
	AUTO_CLOSE int place = stage_blob(x->d, staged, e);
	if (place < 0)
		return place;
	if (renameat(x->d->staging, from, x->d->staging, staged) < 0)
		return err_sys(e, -errno, "%s of the archive", name);
	const struct draft_layer_source source = {
		.pipe = -1,
		.file = fd,
		.staged = staged,
		.diff_id = diff_id,
		.blob = x->manifest.nlayers ? x->manifest.layers[x->layer].digest : NULL,
		.known = known,
	};
	return draft_layer_unpack(l, &source, &layer_events, e);
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
		/* With a manifest the layer has to be in the form that it names. */
		const struct descriptor *as = x->layer < x->manifest.nlayers ? &x->manifest.layers[x->layer] : NULL;
		if (as)
			draft_layer_set_media(l, as->media);
		if (draft_layer_find(l, diff_id, as ? as->digest : NULL))
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
		json_array_foreach(tags, i, tag) {
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

/* The manifest that came with it stays its manifest: what is saved or pushed again has the same digest. */
static int keep_manifest(struct load *x, const char *name, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	if (!name)
		return 0;
	int rc = load_read(x, name, x->d->daemon.config->images_max_manifest, &text, &len, e);
	if (rc == 0)
		rc = manifest_parse(text, len, NULL, x->d->daemon.config, &x->manifest, e);
	return rc < 0 ? rc : draft_set_manifest(x->draft, text, len, e);
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
	manifest_clean(&x->manifest);
	x->config = NULL;
	x->layer = 0;
	x->draft = draft_new(x->d);
	int rc = load_read(x, json_string_value(json_object_get(image, "Config")), c->images_max_config, &x->text, &len,
			   e);
	if (rc == 0)
		rc = imageconf_parse(x->text, len, c->images_max_layers, &x->config, e);
	if (rc < 0)
		return rc;
	if (json_array_size(names) != json_array_size(imageconf_diff_ids(x->config)))
		return err_http(e, 400, "invalid manifest, layers length mismatch: expected %zu, got %zu",
				json_array_size(imageconf_diff_ids(x->config)), json_array_size(names));
	draft_set_config(x->draft, x->text, len, x->config);
	rc = keep_manifest(x, json_string_value(json_object_get(image, "Manifest")), e);
	if (rc < 0)
		return rc;
	stage_digest(x->text, len, id);
	if (x->manifest.doc && !str_eq(x->manifest.config.digest, id))
		return err_http(e, 400, "wrong content: the config is %s, not %s as the manifest says", id,
				x->manifest.config.digest);
	return add_tags(x, json_object_get(image, "RepoTags"), id, e);
}

/* Is the image for the platform that was asked for? */
static bool wanted(const struct load *x)
{
	struct platform have;

	platform_of_json(x->config, &have);
	return !x->platform_given || platform_fit(&have, &x->platform);
}

static void next_image(struct load *x)
{
	struct err e = {0};

	if (x->image == json_array_size(x->images) && x->loaded == 0) {
		char text[100];
		err_http(&e, 404, "the archive has no image for the platform %s", platform_text(&x->platform, text));
		load_fail(x, &e);
	} else if (x->image == json_array_size(x->images)) {
		lines_end(x->lines);
		load_free(x);
	} else if (begin_image(x, &e) < 0) {
		load_fail(x, &e);
	} else if (!wanted(x)) {
		x->image++;
		next_image(x);
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
	json_array_foreach(m->members.json, i, part) {
		const char *name = json_string_value(json_object_get(part, "Name"));
		if (name)
			json_object_set(x->files, name, part);
	}
	if (load_find_images(x, &why) < 0)
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
	x->platform_given = m->platform && *m->platform;
	platform_host(&x->platform);
	int rc = x->platform_given ? platform_parse(m->platform, &x->platform, e) : 0;
	if (rc == 0)
		rc = stage_check_space(x->d, e);
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
