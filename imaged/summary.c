/* summary: an image's manifest as GET /images/json?manifests=1 shows it. */
#include "imaged/made.h"
#include "imaged/manifest.h"
#include "imaged/stage.h"
#include "imaged/view.h"

/* What is to be said of one manifest. */
struct summary {
	const char *media;
	char digest[DIGEST_TEXT_SIZE];
	int64_t size;
	int64_t content; /* bytes of the blobs that are here */
	bool available;
};

/* The one that it came with. One that cannot be read is shown as not available. */
static void add_stored(struct imaged *d, const struct image *i, struct manifest *m, struct summary *x)
{
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	snprintf(x->digest, sizeof x->digest, "%s", i->manifest);
	if (stage_read_blob(d, i->manifest, d->daemon.config->images_max_manifest, &text, &len, NULL) < 0 ||
	    manifest_parse(text, len, NULL, d->daemon.config, m, NULL) < 0) {
		x->available = false;
		return;
	}
	x->media = m->media;
	x->size = (int64_t)len;
	x->content += (int64_t)len;
}

/* That of an archive of it. */
static void add_made(struct imaged *d, const struct image *i, struct summary *x)
{
	AUTO_FREE char *text = NULL;

	x->media = MADE_MEDIA;
	if (made_manifest(d, i, &text, x->digest, NULL) < 0)
		x->available = false;
	else
		x->size = (int64_t)strlen(text);
}

static void add_blob(struct imaged *d, const char *digest, int64_t size, struct summary *x)
{
	if (stage_has_blob(d, digest))
		x->content += size;
	else
		x->available = false;
}

static void add_children(struct imaged *d, const struct image *i, struct summary *x)
{
	AUTO_FREE struct image_layer *layers = NULL;
	int64_t config = 0;
	ssize_t n = records_layers(d, i->id, &layers, NULL);

	if (n < 0 ||
	    store_number(d->store, 0, &config, NULL, "SELECT size FROM blob WHERE digest = ?", "t", i->id) < 0) {
		x->available = false;
		return;
	}
	add_blob(d, i->id, config, x);
	for (ssize_t k = 0; k < n; k++) {
		bool seen = false;
		for (ssize_t before = 0; before < k && !seen; before++)
			seen = str_eq(layers[before].blob, layers[k].blob);
		if (!seen)
			add_blob(d, layers[k].blob, layers[k].blob_size, x);
	}
}

json_t *view_manifests(struct imaged *d, const struct image *i)
{
	AUTO_MANIFEST struct manifest m = {0};
	struct summary x = {.media = "", .available = true};
	json_t *platform = json_pack("{s:s, s:s}", "architecture", i->architecture, "os", i->os);

	if (*i->variant)
		json_object_set_new(platform, "variant", json_string(i->variant));
	if (i->manifest)
		add_stored(d, i, &m, &x);
	else
		add_made(d, i, &x);
	add_children(d, i, &x);
	return json_pack("[{s:s, s:{s:s, s:s, s:I}, s:b, s:{s:I, s:I}, s:s, s:{s:o, s:o, s:{s:I}}}]", "ID", x.digest,
			 "Descriptor", "mediaType", x.media, "digest", x.digest, "size", (json_int_t)x.size,
			 "Available", x.available, "Size", "Content", (json_int_t)x.content, "Total",
			 (json_int_t)(x.content + i->size), "Kind", "image", "ImageData", "Platform", platform,
			 "Containers", records_containers(d, i->id), "Size", "Unpacked", (json_int_t)i->size);
}
