/* histogram: how long something took, counted in fixed buckets, for /metrics. A zeroed struct is an empty one. */
#ifndef POUCH_LIB_HISTOGRAM_H
#define POUCH_LIB_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 12

/* Upper bounds of the buckets, in microseconds; one bucket more is above the last. */
extern const uint64_t histogram_bounds[HISTOGRAM_BOUNDS];

struct histogram {
	uint64_t buckets[HISTOGRAM_BOUNDS + 1]; /* each counts what is in it alone */
	uint64_t n, us;
};

void histogram_add(struct histogram *h, uint64_t us);

#endif
