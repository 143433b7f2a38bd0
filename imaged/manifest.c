#include "imaged/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ipc/grammar.h"
#include "lib/json.h"

enum kind { KIND_OTHER, KIND_INDEX, KIND_MANIFEST, KIND_CONFIG, KIND_LAYER, KIND_OLD };

/* Every media type that has a meaning here. */
static const struct {
	const char *media;
	enum kind kind;
} medias[] = {
	{"application/vnd.oci.image.index.v1+json", KIND_INDEX},
	{"application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX},
	{"application/vnd.oci.image.manifest.v1+json", KIND_MANIFEST},
	{"application/vnd.docker.distribution.manifest.v2+json", KIND_MANIFEST},
	{"application/vnd.docker.distribution.manifest.v1+json", KIND_OLD},
	{"application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_OLD},
	{"application/vnd.oci.image.config.v1+json", KIND_CONFIG},
	{"application/vnd.docker.container.image.v1+json", KIND_CONFIG},
	{"application/vnd.oci.image.layer.v1.tar", KIND_LAYER},
	{"application/vnd.oci.image.layer.v1.tar+gzip", KIND_LAYER},
	{"application/vnd.oci.image.layer.v1.tar+zstd", KIND_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar", KIND_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", KIND_LAYER},
	{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", KIND_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar", KIND_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar.gzip", KIND_LAYER},
	{"application/vnd.docker.image.rootfs.diff.tar.zstd", KIND_LAYER},
	{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", KIND_LAYER},
};

static enum kind kind_of(const char *media)
{
	for (size_t i = 0; i < ARRAY_LEN(medias); i++)
		if (str_eq(media, medias[i].media))
			return medias[i].kind;
	return KIND_OTHER;
}

static int malformed(struct err *e, const char *what)
{
	return err_set(e, -EBADMSG, "malformed manifest: %s", what);
}

/* ---- descriptors ---- */

static bool texts_only(const json_t *list)
{
	const json_t *x;
	size_t i;

	json_array_foreach(list, i, x)
		if (!json_is_string(x))
			return false;
	return json_is_array(list);
}

static int take_descriptor(const json_t *x, struct descriptor *out, struct err *e)
{
	const char *media = json_string_value(json_object_get(x, "mediaType"));
	const char *digest = json_string_value(json_object_get(x, "digest"));
	const json_t *size = json_object_get(x, "size"), *urls = json_object_get(x, "urls");

	*out = (struct descriptor){0};
	if (!digest || !digest_valid(digest))
		return malformed(e, "a descriptor without a digest of sha256 and 64 hexadecimal digits");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return malformed(e, "a descriptor without a size");
	if (media && (strlen(media) >= sizeof out->media || !grammar_check(G_WORD, media, strlen(media))))
		return malformed(e, "a descriptor with a media type that is none");
	if (urls && !texts_only(urls))
		return malformed(e, "urls of a descriptor are no list of texts");
	snprintf(out->digest, sizeof out->digest, "%s", digest);
	snprintf(out->media, sizeof out->media, "%s", media ? media : "");
	out->size = (uint64_t)json_integer_value(size);
	out->urls = json_array_size(urls) ? urls : NULL;
	return 0;
}

/* ---- kinds ---- */

/*
 * What it is, by its own word and the answer's header, which must not contradict each other: a document that is an
 * index to one reader and a manifest to another is what attacks are made of (CVE-2021-41190).
 */
static int take_kind(struct manifest *m, const char *type, struct err *e)
{
	const char *own = json_string_value(json_object_get(m->doc, "mediaType"));
	if (own && !grammar_check(G_WORD, own, strlen(own)))
		return malformed(e, "its mediaType is none");
	bool layers = json_object_get(m->doc, "layers"), manifests = json_object_get(m->doc, "manifests");
	enum kind by_type = type ? kind_of(type) : KIND_OTHER, by_shape = manifests ? KIND_INDEX : KIND_MANIFEST;

	if (by_type == KIND_OLD || (own && kind_of(own) == KIND_OLD) ||
	    json_integer_value(json_object_get(m->doc, "schemaVersion")) == 1)
		return err_set(
			e, -ENOTSUP,
			"this image has Docker's schema 1, which says nothing that can be checked; it has to be pushed "
			"anew by its makers");
	if (json_integer_value(json_object_get(m->doc, "schemaVersion")) != 2)
		return malformed(e, "schemaVersion is not 2");
	if (layers == manifests)
		return malformed(e,
				 layers ? "it has both layers and manifests" : "it has neither layers nor manifests");
	if (manifests && json_object_get(m->doc, "config"))
		return malformed(e, "it has both a config and manifests");
	if (own && kind_of(own) != by_shape)
		return malformed(e, "its content is not what its mediaType says");
	if (by_type != KIND_OTHER && by_type != by_shape)
		return malformed(e, "its content is not what its Content-Type says");
	if (own && by_type != KIND_OTHER && !str_eq(own, type))
		return malformed(e, "its mediaType is not its Content-Type");
	snprintf(m->media, sizeof m->media, "%s",
		 own			 ? own
		 : by_type != KIND_OTHER ? type
		 : manifests		 ? medias[0].media
					 : medias[2].media);
	m->index = manifests;
	return 0;
}

static int take_layers(struct manifest *m, const struct config *c, struct err *e)
{
	const json_t *list = json_object_get(m->doc, "layers"), *x;
	uint64_t total = 0;
	size_t i;

	if (!json_is_array(list))
		return malformed(e, "layers are no list");
	if (json_array_size(list) > c->images_max_layers)
		return err_set(e, -EFBIG, "the image has %zu layers where images.max-layers allows %u",
			       json_array_size(list), (unsigned)c->images_max_layers);
	m->layers = xcalloc(json_array_size(list) + 1, sizeof *m->layers);
	json_array_foreach(list, i, x) {
		struct descriptor *layer = &m->layers[m->nlayers++];
		int rc = take_descriptor(x, layer, e);
		if (rc < 0)
			return rc;
		if (kind_of(layer->media) != KIND_LAYER)
			return err_set(e, -ENOTSUP, "layer %zu has the media type %.100s, which is no layer of files",
				       i, layer->media);
		if (layer->size > c->images_max_layer)
			return err_set(e, -EFBIG,
				       "layer %zu has %" PRIu64 " bytes where images.max-layer allows %" PRIu64, i,
				       layer->size, c->images_max_layer);
		if (__builtin_add_overflow(total, layer->size, &total) || total > c->images_max_image)
			return err_set(e, -EFBIG,
				       "the image has more than the %" PRIu64 " bytes that images.max-image allows",
				       c->images_max_image);
	}
	return 0;
}

static int take_image(struct manifest *m, const struct config *c, struct err *e)
{
	int rc = take_descriptor(json_object_get(m->doc, "config"), &m->config, e);

	if (rc < 0)
		return err_prefix(e, "config");
	if (kind_of(m->config.media) != KIND_CONFIG)
		return err_set(e, -ENOTSUP, "this is no image that can be run: its config has the media type %.100s",
			       m->config.media);
	if (m->config.size > c->images_max_config)
		return err_set(e, -EFBIG, "the config has %" PRIu64 " bytes where images.max-config allows %" PRIu64,
			       m->config.size, c->images_max_config);
	return take_layers(m, c, e);
}

int manifest_parse(const char *text, size_t len, const char *type, const struct config *c, struct manifest *out,
		   struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;

	*out = (struct manifest){0};
	if (json_parse(text, len, &bounds, &out->doc, e) < 0) {
		err_prefix(e, "malformed manifest");
		return e ? e->code = -EBADMSG : -EBADMSG;
	}
	if (!json_is_object(out->doc))
		return malformed(e, "it is no object");
	int rc = take_kind(out, type, e);
	if (rc < 0 || !out->index)
		return rc < 0 ? rc : take_image(out, c, e);
	return json_is_array(json_object_get(out->doc, "manifests")) ? 0 : malformed(e, "manifests are no list");
}

void manifest_clean(struct manifest *m)
{
	json_decref(m->doc);
	free(m->layers);
	*m = (struct manifest){0};
}

int manifest_choose(const struct manifest *index, const struct platform *want, struct descriptor *out, struct err *e)
{
	const json_t *entry;
	char text[100];
	int best = 0;
	size_t i;

	json_array_foreach(json_object_get(index->doc, "manifests"), i, entry) {
		struct descriptor d;
		struct platform have;
		int rc = take_descriptor(entry, &d, e);
		if (rc < 0)
			return rc;
		platform_of_json(json_object_get(entry, "platform"), &have);
		int fit = platform_fit(&have, want);
		if (fit <= best || (kind_of(d.media) != KIND_MANIFEST && kind_of(d.media) != KIND_INDEX))
			continue;
		best = fit;
		*out = d;
	}
	if (!best)
		return err_http(e, 404, "no matching manifest for %s in the manifest list entries",
				platform_text(want, text));
	return 0;
}
