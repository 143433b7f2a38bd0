/* view: images as answers show them. */
#ifndef POUCH_IMAGED_VIEW_H
#define POUCH_IMAGED_VIEW_H

#include "imaged/records.h"

/* Full names as users write them: RepoTags, RepoDigests. Takes the list, returns a new one. */
json_t *view_names(struct imaged *d, json_t *take_full);
/* What is said of an image beside its own row: full names, and how many containers have it. */
struct view_beside {
	json_t *tags, *digests;
	int64_t containers;
};

/* A row of GET /images/json, with Pouch's fields beside Docker's. Takes the names. */
json_t *view_row(struct imaged *d, const struct image *i, const struct view_beside *beside);
/* The same, with what the records say. */
json_t *view_image(struct imaged *d, const struct image *i);
/* Manifests of the row: the image's one, with what is here of it. */
json_t *view_manifests(struct imaged *d, const struct image *i);

#endif
