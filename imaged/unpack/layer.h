/* layer: one layer, from its bytes to its directory. */
#ifndef POUCH_IMAGE_UNPACK_LAYER_H
#define POUCH_IMAGE_UNPACK_LAYER_H

#include "imaged/unpack/inflate.h"
#include "imaged/unpack/place.h"
#include "imaged/unpack/source.h"
#include "ipc/codec.h"

/* Everything that one unpack holds. */
struct unpacking {
	struct source source; /* begun by the caller */
	struct inflate inflate;
	struct tar tar;
	struct place *place;
};

/* Into m->dir, within the limits of `m`. -EBADMSG: damaged, or not what m->digest and m->diff_id say. */
int unpacking_run(struct unpacking *u, const struct layer_unpack *m, struct err *e);
/* At the end: the digest of the tar. */
const char *unpacking_diff_id(const struct unpacking *u);
void unpacking_free(struct unpacking *u);
#define AUTO_UNPACKING CLEANUP(unpacking_free)

#endif
