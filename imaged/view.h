/* view: images as answers show them. */
#ifndef POUCH_IMAGED_VIEW_H
#define POUCH_IMAGED_VIEW_H

#include "imaged/records.h"

/* Full names as users write them: RepoTags, RepoDigests. Takes the list, returns a new one. */
json_t *view_names(struct imaged *d, json_t *take_full);
/* A row of GET /images/json, with Pouch's fields beside Docker's. */
json_t *view_row(struct imaged *d, const struct image *i);

#endif
