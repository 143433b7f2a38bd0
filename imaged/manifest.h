/*
 * manifest: what a registry says an image is made of (OCI image spec "Image Manifest" and "Image Index", Docker's
 * schema 2 manifest and manifest list). Text from outside: everything is checked here, against the limits of the
 * configuration.
 */
#ifndef POUCH_IMAGED_MANIFEST_H
#define POUCH_IMAGED_MANIFEST_H

#include <stdint.h>

#include "imaged/platform.h"
#include "lib/reference.h"
#include "lib/config.h"

struct descriptor {
	char media[128];
	char digest[DIGEST_TEXT_SIZE];
	uint64_t size;
	const json_t *urls; /* of a foreign layer: a list of texts, part of manifest->doc; NULL */
};

struct manifest {
	json_t *doc;
	char media[128];
	bool index;
	struct descriptor config; /* the rest: when it is no index */
	struct descriptor *layers;
	size_t nlayers;
};

/*
 * `type`: Content-Type of the answer, NULL. -EBADMSG when it is not what it says, or neither; -EFBIG beyond a limit;
 * -ENOTSUP for a kind that cannot be run. *out is to be cleaned also then.
 */
int manifest_parse(const char *text, size_t len, const char *type, const struct config *c, struct manifest *out,
		   struct err *e);
void manifest_clean(struct manifest *m);
#define AUTO_MANIFEST CLEANUP(manifest_clean)

/* The entry of an index that fits best; of those that fit alike the first. -ENOENT with status 404. */
int manifest_choose(const struct manifest *index, const struct platform *want, struct descriptor *out, struct err *e);

#endif
