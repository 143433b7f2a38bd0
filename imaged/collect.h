/* collect: removing images, and what nothing refers to any more. */
#ifndef POUCH_IMAGED_COLLECT_H
#define POUCH_IMAGED_COLLECT_H

#include "imaged/records.h"

/*
 * Remove the image's rows, and the layers and blobs that only it had; `out` gets {"Deleted": …} objects. The names
 * must be gone. -EEXIST when something still refers to it.
 */
int collect_image(struct imaged *d, const char *id, json_t *out, struct err *e);
/* Somebody needs this layer or blob, whatever the records say: by 1, and later by -1. */
void collect_hold(struct imaged *d, const char *digest, int by);
/* Layers and blobs without a row that refers to them, and files without a row at all. At start. */
int collect_all(struct imaged *d, struct err *e);

#endif
