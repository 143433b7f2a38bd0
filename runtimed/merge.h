/* merge: a client's ContainerConfig and the image's, by Docker's rules. */
#ifndef POUCH_RUNTIMED_MERGE_H
#define POUCH_RUNTIMED_MERGE_H

#include <jansson.h>

#include "lib/err.h"

/*
 * Fill in `config` (the client's, canonical) from `image` (may be NULL). -EINVAL for what cannot be: no command, a
 * relative working directory, an unnamed environment variable, health times below 1 ms.
 */
int config_merge(json_t *config, const json_t *image, struct err *e);

/* Each "NAME=value" or "NAME" with a name; 400 with the one without. */
int environment_check(const json_t *env, struct err *e);

/* Before the merge: names of the labels that `image` (may be NULL) alone gives; NULL when there are none. */
json_t *labels_of_image(const json_t *config, const json_t *image);
/* After it: the labels without those, which is what the policy was asked about; a new reference. */
json_t *labels_asked(const json_t *config, const json_t *of_image);

#endif
