/*
 * records: what imaged knows, in SQLite. Images, the layers and blobs they are made of, their names, and the leases
 * that containers have on them. Everything here reads or changes rows; files are stage.h's.
 */
#ifndef POUCH_IMAGED_RECORDS_H
#define POUCH_IMAGED_RECORDS_H

#include "imaged/imaged.h"
#include "lib/reference.h"

int records_open(struct imaged *d, struct err *e);

/* An image's row; texts on the heap. */
struct image {
	char id[DIGEST_TEXT_SIZE];
	int64_t created; /* seconds since 1970 */
	int64_t size;	 /* bytes of all layers' files */
	char *os, *architecture, *variant;
	char *manifest; /* digest of the manifest's blob as it came, NULL */
	char *labels;	/* JSON object */
	char *parent;	/* id, NULL */
	int64_t tagged; /* last time a name was given, nanoseconds since 1970; 0 never */
};

void image_clean(struct image *i);
#define AUTO_IMAGE CLEANUP(image_clean)

/*
 * The image of a reference or id (or a prefix of one) as users write it. *named (may be NULL): the reference that was
 * found, with its default tag; domain "" when it was an id. -ENOENT, 404 "No such image: X"; 400 for no reference.
 */
int records_find(struct imaged *d, const char *text, struct image *out, struct reference *named, struct err *e);
/* How many images there are; -errno. */
int64_t records_count(struct imaged *d, struct err *e);
/* All, the newest first; `each` cleans what it is given, and ends the walk by a result below 0. */
int records_each_image(struct imaged *d, int (*each)(void *arg, struct image *take_image), void *arg, struct err *e);
/* By its full id. -ENOENT. */
int records_image(struct imaged *d, const char *id, struct image *out, struct err *e);

/* One layer of an image. */
struct image_layer {
	char diff_id[DIGEST_TEXT_SIZE];
	char blob[DIGEST_TEXT_SIZE];
	char media[128];
	int64_t blob_size, size;
};

/* Lowest first; *out is the caller's to free. Returns their number or -errno. */
ssize_t records_layers(struct imaged *d, const char *id, struct image_layer **out, struct err *e);
/* By its tar's digest; -ENOENT. */
int records_layer(struct imaged *d, const char *diff_id, struct image_layer *out, struct err *e);

/* Names of an image: full, as JSON array of texts. Fresh references. */
json_t *records_tags(struct imaged *d, const char *id);
json_t *records_digests(struct imaged *d, const char *id);
/* Containers that have a lease on it. */
json_t *records_containers(struct imaged *d, const char *id);

/* ---- within store_begin()…store_commit() ---- */

int records_put_blob(struct imaged *d, const char *digest, int64_t size, struct err *e);
int records_put_layer(struct imaged *d, const char *diff_id, const char *blob, int64_t size, int64_t entries,
		      struct err *e);
/*
 * When it is there already, and whole, nothing changes, but that one without a manifest gets it, and the layers' blobs
 * that belong to it.
 */
int records_put_image(struct imaged *d, const struct image *i, const struct image_layer *layers, size_t n,
		      struct err *e);
/* Its layers, lowest first, in place of those that it has. */
int records_put_image_layers(struct imaged *d, const char *id, const struct image_layer *layers, size_t n,
			     struct err *e);
/* Give the full name to the image; *before gets the id that had it, "" when nobody. */
int records_put_tag(struct imaged *d, const char *full, const char *id, char before[DIGEST_TEXT_SIZE], struct err *e);
int records_put_digest(struct imaged *d, const char *full, const char *id, struct err *e);

#endif
