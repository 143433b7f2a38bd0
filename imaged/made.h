/* made: the manifest of an image that came without one, as an archive of it has it. */
#ifndef POUCH_IMAGED_MADE_H
#define POUCH_IMAGED_MADE_H

#include "imaged/records.h"

#define MADE_MEDIA "application/vnd.oci.image.manifest.v1+json"

/* The same text as long as the layers' blobs are the same; *text is the caller's to free. */
int made_manifest(struct imaged *d, const struct image *i, char **text, char digest[DIGEST_TEXT_SIZE], struct err *e);

#endif
