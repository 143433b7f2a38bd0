/* imageconf: an image's config (OCI image spec, "Image Configuration"; Docker's is its superset). */
#ifndef POUCH_IMAGED_IMAGECONF_H
#define POUCH_IMAGED_IMAGECONF_H

#include "imaged/imaged.h"
#include "imaged/records.h"

/* Parse and check what this engine relies on: rootfs, diff_ids, os, architecture, types of what is shown. -EINVAL. */
int imageconf_parse(const char *text, size_t len, unsigned max_layers, json_t **out, struct err *e);

/* diff_ids, an array of valid digests; borrowed. */
json_t *imageconf_diff_ids(const json_t *config);
/* Members that may be missing. */
const char *imageconf_text(const json_t *config, const char *key);
/* The object that containers start from; borrowed, may be NULL. */
json_t *imageconf_config(const json_t *config);
/* Fill what an image's row says of it: created, os, architecture, variant, labels. */
void imageconf_describe(const json_t *config, struct image *out);

/* Seconds since 1970 of an RFC 3339 time; 0 when it is none. */
int64_t imageconf_seconds(const char *rfc3339);

/* This machine's architecture by Go's name ("amd64") and variant ("" or "v7"). */
const char *imageconf_architecture(void);
const char *imageconf_variant(void);

/* Read the config of a stored image. A fresh reference. */
int imageconf_load(struct imaged *d, const char *id, json_t **out, struct err *e);

#endif
