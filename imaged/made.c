#include "imaged/made.h"

#include "imaged/stage.h"

static json_t *build(const struct image *image, int64_t config_size, const struct image_layer *layers, ssize_t n)
{
	json_t *list = json_array();

	for (ssize_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "mediaType", layers[i].media, "digest",
						      layers[i].blob, "size", (json_int_t)layers[i].blob_size));
	return json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:o}", "schemaVersion", 2, "mediaType", MADE_MEDIA, "config",
			 "mediaType", "application/vnd.oci.image.config.v1+json", "digest", image->id, "size",
			 (json_int_t)config_size, "layers", list);
}

int made_manifest(struct imaged *d, const struct image *i, char **text, char digest[DIGEST_TEXT_SIZE], struct err *e)
{
	AUTO_FREE struct image_layer *layers = NULL;
	int64_t size = 0;
	ssize_t n = records_layers(d, i->id, &layers, e);
	int rc = n < 0 ? (int)n
		       : store_number(d->store, 0, &size, e, "SELECT size FROM blob WHERE digest = ?", "t", i->id);

	if (rc < 0)
		return rc;
	json_t *manifest = build(i, size, layers, n);
	*text = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(manifest);
	stage_digest(*text, strlen(*text), digest);
	return 0;
}
