/* stats: requests answered, by route and status, and how long they took; for /metrics. */
#ifndef POUCH_APID_STATS_H
#define POUCH_APID_STATS_H

#include <stddef.h>

#include "lib/histogram.h"

struct route;
struct stats;

struct stats_status {
	unsigned status;
	uint64_t n;
};

/* What is counted of one operation. */
struct stats_row {
	struct stats_status *statuses;
	size_t nstatuses;
	struct histogram took;
};

struct stats *stats_new(void);
void stats_free(struct stats *s);

/* A request has been answered with `status` after `us` microseconds; `route` NULL: there was none. */
void stats_count(struct stats *s, const struct route *route, int status, uint64_t us);

/* Row `i` and the name of its operation, "none" for requests without; NULL behind the last. */
const struct stats_row *stats_row(const struct stats *s, size_t i, const char **name);

#endif
