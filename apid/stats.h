/* stats: what /metrics tells of requests: counts by route and status, latencies. */
#ifndef POUCH_APID_STATS_H
#define POUCH_APID_STATS_H

#include <stddef.h>
#include <stdint.h>

struct route;
struct evbuffer;
struct stats;

struct stats *stats_new(void);
void stats_free(struct stats *s);

/* A request has been answered with `status` after `us` microseconds; `route` NULL: there was none. */
void stats_count(struct stats *s, const struct route *route, int status, uint64_t us);
/* Prometheus text, appended. */
void stats_write(const struct stats *s, struct evbuffer *out);

#endif
