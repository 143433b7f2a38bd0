/*
 * compare: does a layer's directory hold exactly what another one of the same tar does? Types, owners, modes, times,
 * extended attributes, links, devices and content. With `repair` the other one's files take the place of those that
 * differ, one by one, for a running container may have the directory mounted: what has been opened stays readable.
 */
#ifndef POUCH_IMAGE_UNPACK_COMPARE_H
#define POUCH_IMAGE_UNPACK_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct compare {
	bool repair;
	uint32_t differences, repaired;
	bool only_times; /* nothing but times differs, so far */
	char first[512]; /* the first difference, in words; "" for none */
};

/* `fresh` is used up by a repair. Fails when it cannot look or write; differences are no failure. */
int compare_trees(struct compare *c, int dir, int fresh, struct err *e);

#endif
