/* load_members: what an archive of docker save or of an OCI layout holds. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "imaged/load_private.h"
#include "lib/fd.h"
#include "lib/json.h"

/* ---- files ---- */

const json_t *load_member(const struct load *x, const char *name)
{
	json_t *m = json_object_get(x->files, name);
	const char *link = json_string_value(json_object_get(m, "Link"));

	/* Older docker save: "../ID/layer.tar" from within another directory; one step. */
	if (link)
		m = json_object_get(x->files, str_starts(link, "../") ? link + 3 : link);
	return json_object_get(m, "File") ? m : NULL;
}

int load_open(const struct load *x, const char *name, struct err *e)
{
	const json_t *m = load_member(x, name);

	if (!m)
		return err_http(e, 400, "the archive has no %s", name);
	int fd = openat(x->dir, json_string_value(json_object_get(m, "File")), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "%s of the archive", name) : fd;
}

int load_read(const struct load *x, const char *name, size_t max, char **out, size_t *len, struct err *e)
{
	AUTO_CLOSE int fd = load_open(x, name, e);
	int rc = fd < 0 ? fd : fd_read_file(fd, max, out, len, e);

	return rc == -EFBIG ? err_http(e, 400, "%s of the archive is larger than the configuration allows", name) : rc;
}

static int read_json(const struct load *x, const char *name, json_t **out, struct err *e)
{
	AUTO_FREE char *text = NULL;
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	size_t len;
	int rc = load_read(x, name, x->d->daemon.config->images_max_manifest, &text, &len, e);

	if (rc == 0)
		rc = json_parse(text, len, &bounds, out, e);
	return rc == -EINVAL ? err_prefix(e, "%s", name) : rc;
}

/* ---- an OCI layout's index as what docker save would have written ---- */

#define DEPTH_MAX 3 /* indexes within indexes */

static const char *blob_name(const char *digest, char buf[96])
{
	snprintf(buf, 96, "blobs/sha256/%s", digest_hex(digest));
	return buf;
}

/* A blob of the layout, which must be what its name says. */
static int read_blob(const struct load *x, const char *digest, char **out, size_t *len, struct err *e)
{
	char name[96];
	int rc = load_read(x, blob_name(digest, name), x->d->daemon.config->images_max_manifest, out, len, e);

	if (rc < 0)
		return rc;
	const char *is = json_string_value(json_object_get(load_member(x, name), "Digest"));
	return str_eq(is, digest) ? 0 : err_http(e, 400, "wrong content: %s of the archive is %s", name, is);
}

static json_t *image_entry(const struct manifest *m, const char *digest, json_t *take_tags)
{
	json_t *layers = json_array();
	char name[96], own[96];

	for (size_t i = 0; i < m->nlayers; i++)
		json_array_append_new(layers, json_string(blob_name(m->layers[i].digest, name)));
	return json_pack("{s:s, s:o, s:o, s:s}", "Config", blob_name(m->config.digest, name), "Layers", layers,
			 "RepoTags", take_tags, "Manifest", blob_name(digest, own));
}

/* The image of a manifest, or of the one that fits in an index. */
static int find_manifest(const struct load *x, const char *digest, unsigned depth, json_t *tags, json_t **out,
			 struct err *e)
{
	AUTO_FREE char *text = NULL;
	AUTO_MANIFEST struct manifest m = {0};
	struct descriptor chosen;
	size_t len;
	int rc = read_blob(x, digest, &text, &len, e);

	if (rc == 0)
		rc = manifest_parse(text, len, NULL, x->d->daemon.config, &m, e);
	if (rc < 0)
		return rc;
	if (!m.index) {
		*out = image_entry(&m, digest, json_incref(tags));
		return 0;
	}
	if (depth == DEPTH_MAX)
		return err_http(e, 400, "an index of an index, %d times over", DEPTH_MAX);
	rc = manifest_choose(&m, &x->platform, &chosen, e);
	return rc < 0 ? rc : find_manifest(x, chosen.digest, depth + 1, tags, out, e);
}

static json_t *tags_of(const json_t *descriptor)
{
	json_t *notes = json_object_get(descriptor, "annotations"), *tags = json_array();
	json_t *ref = json_object_get(notes, "io.containerd.image.name");

	if (!ref)
		ref = json_object_get(notes, "org.opencontainers.image.ref.name");
	/* A bare tag names no repository. */
	if (json_is_string(ref) && strpbrk(json_string_value(ref), ":/"))
		json_array_append(tags, ref);
	return tags;
}

/* Signatures and statements about an image stand beside it in an index, for no platform. */
static bool is_image(const json_t *descriptor)
{
	struct platform p;

	platform_of_json(json_object_get(descriptor, "platform"), &p);
	return !str_eq(p.os, "unknown");
}

static int read_index(struct load *x, json_t *images, struct err *e)
{
	AUTO_JSON json_t *index = NULL;
	json_t *descriptor, *image = NULL;
	size_t i;
	int rc = read_json(x, "index.json", &index, e);

	json_array_foreach(json_object_get(index, "manifests"), i, descriptor) {
		const char *digest = json_string_value(json_object_get(descriptor, "digest"));
		json_t *tags = tags_of(descriptor);
		if (rc == 0 && (!digest || !digest_valid(digest)))
			rc = err_http(e, 400, "index.json: not a digest");
		if (rc == 0 && is_image(descriptor)) {
			rc = find_manifest(x, digest, 0, tags, &image, e);
			if (rc == 0)
				json_array_append_new(images, image);
		}
		json_decref(tags);
	}
	return rc;
}

/* manifest.json says it all; the index beside it, when it is good, has the manifests that belong to it. */
static void add_manifests(struct load *x)
{
	AUTO_JSON json_t *found = json_array();
	json_t *image, *same;
	struct err ignored;
	size_t i, k;

	if (!load_member(x, "index.json") || read_index(x, found, &ignored) < 0)
		return;
	json_array_foreach(x->images, i, image)
		json_array_foreach(found, k, same)
			if (json_equal(json_object_get(image, "Config"), json_object_get(same, "Config")) &&
			    json_equal(json_object_get(image, "Layers"), json_object_get(same, "Layers")))
				json_object_set(image, "Manifest", json_object_get(same, "Manifest"));
}

/* ---- what there is ---- */

static int check_images(const struct load *x, struct err *e)
{
	json_t *image, *text;
	size_t i, k;

	if (!json_is_array(x->images) || json_array_size(x->images) == 0)
		return err_http(e, 400, "the archive holds no image");
	json_array_foreach(x->images, i, image) {
		json_object_del(image, "Manifest"); /* is ours to say */
		json_t *layers = json_object_get(image, "Layers"), *tags = json_object_get(image, "RepoTags");
		bool ok = json_is_string(json_object_get(image, "Config")) && (!layers || json_is_array(layers)) &&
			  (!tags || json_is_array(tags) || json_is_null(tags));
		json_array_foreach(layers, k, text)
			ok = ok && json_is_string(text);
		if (json_is_array(tags))
			json_array_foreach(tags, k, text)
				ok = ok && json_is_string(text);
		if (!ok)
			return err_http(e, 400, "manifest.json: wrong type of a field");
	}
	return 0;
}

int load_find_images(struct load *x, struct err *e)
{
	bool saved = load_member(x, "manifest.json");

	if (!saved)
		x->images = json_array();
	int rc = saved ? read_json(x, "manifest.json", &x->images, e) : read_index(x, x->images, e);
	if (rc == 0 && json_is_array(x->images) && json_array_size(x->images) == 0)
		rc = err_http(e, 400, "the archive holds no image");
	if (rc < 0 || !saved)
		return rc;
	rc = check_images(x, e);
	if (rc == 0)
		add_manifests(x);
	return rc;
}
