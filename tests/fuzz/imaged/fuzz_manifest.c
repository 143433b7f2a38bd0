/*
 * What a registry sends to imaged: a first line that stands for its Content-Type, then a manifest, an index or a
 * config. What is accepted is within the limits, and everything in it that becomes a path or a URL is a digest.
 */
#include <stdint.h>
#include <stdlib.h>

#include "imaged/imageconf.h"
#include "imaged/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct config *limits(void)
{
	static struct config *config;
	static const char *const sets[] = {"images.max-layers=8", "images.max-config=4096"};
	const struct config_source source = {.root = "/nonexistent", .run = "/nonexistent", .sets = sets, .nsets = 2};
	struct err e;

	if (!config && config_parse(&source, &config, &e) < 0)
		abort();
	return config;
}

static void check_descriptor(const struct descriptor *d)
{
	if (!digest_valid(d->digest) || strlen(digest_hex(d->digest)) != 64)
		abort();
}

static void check_manifest(const struct manifest *m)
{
	struct platform want = {.os = "linux", .architecture = "arm", .variant = "v7"};
	struct descriptor chosen;
	struct err e = {0};

	if (m->index != (json_object_get(m->doc, "manifests") != NULL) || m->nlayers > limits()->images_max_layers)
		abort();
	if (m->index) {
		if (manifest_choose(m, &want, &chosen, &e) == 0)
			check_descriptor(&chosen);
		return;
	}
	check_descriptor(&m->config);
	if (m->config.size > limits()->images_max_config)
		abort();
	for (size_t i = 0; i < m->nlayers; i++)
		check_descriptor(&m->layers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xcalloc(size + 1, 1);
	AUTO_MANIFEST struct manifest m = {0};
	struct err e = {0};
	json_t *config = NULL;

	if (size > 65536)
		return 0;
	memcpy(text, data, size);
	char *body = memchr(text, '\n', size);
	if (!body)
		return 0;
	*body++ = '\0';
	size_t len = size - (size_t)(body - text);
	int rc = manifest_parse(body, len, *text ? text : NULL, limits(), &m, &e);
	if (rc == 0)
		check_manifest(&m);
	else if (!*e.text)
		abort();
	if (imageconf_parse(body, len, 8, &config, &e) == 0) {
		struct image image = {0};
		imageconf_describe(config, &image);
		image_clean(&image);
		json_decref(config);
	}
	return 0;
}
