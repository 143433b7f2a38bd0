#include "apid/stats.h"

#include <event2/buffer.h>

#include "apid/route.h"
#include "lib/util.h"

/* Upper bounds of the latency buckets in microseconds. */
static const uint64_t bounds[] = {250, 1000, 5000, 25000, 100000, 500000, 2500000, 10000000, 60000000};

#define CLASSES 6 /* hundreds of the status; 0 is not used */

struct route_stats {
	uint64_t by_class[CLASSES];
	uint64_t buckets[ARRAY_LEN(bounds) + 1];
	uint64_t us;
};

struct stats {
	size_t nroutes;
	struct route_stats rows[]; /* one a route, and one for requests without */
};

struct stats *stats_new(void)
{
	size_t n;

	route_all(&n);
	struct stats *s = xcalloc(1, sizeof *s + (n + 1) * sizeof s->rows[0]);
	s->nroutes = n;
	return s;
}

void stats_free(struct stats *s)
{
	free(s);
}

void stats_count(struct stats *s, const struct route *route, int status, uint64_t us)
{
	struct route_stats *row = &s->rows[route ? route->index : s->nroutes];
	size_t b = 0;

	row->by_class[status >= 100 && status < 600 ? status / 100 : 5]++;
	while (b < ARRAY_LEN(bounds) && us > bounds[b])
		b++;
	row->buckets[b]++;
	row->us += us;
}

static const char *name_of(const struct route *r)
{
	return !r ? "none" : r->message ? r->message->name : r->pattern;
}

static const struct route *route_at(const struct stats *s, size_t i)
{
	size_t n;
	const struct route *all = route_all(&n);

	return i < s->nroutes ? &all[i] : NULL;
}

static uint64_t total_of(const struct route_stats *row)
{
	uint64_t n = 0;

	for (size_t k = 0; k < CLASSES; k++)
		n += row->by_class[k];
	return n;
}

void stats_write(const struct stats *s, struct evbuffer *out)
{
	evbuffer_add_printf(out,
			    "# HELP pouch_http_requests_total Requests answered, by operation and class of status.\n"
			    "# TYPE pouch_http_requests_total counter\n");
	for (size_t i = 0; i <= s->nroutes; i++)
		for (unsigned k = 1; k < CLASSES; k++)
			if (s->rows[i].by_class[k])
				evbuffer_add_printf(
					out, "pouch_http_requests_total{operation=\"%s\",status=\"%uxx\"} %llu\n",
					name_of(route_at(s, i)), k, (unsigned long long)s->rows[i].by_class[k]);
	evbuffer_add_printf(out,
			    "# HELP pouch_http_request_seconds Time from a request's head to the end of its answer.\n"
			    "# TYPE pouch_http_request_seconds histogram\n");
	for (size_t i = 0; i <= s->nroutes; i++) {
		const struct route_stats *row = &s->rows[i];
		const char *name = name_of(route_at(s, i));
		uint64_t sum = 0, total = total_of(row);
		if (!total)
			continue;
		for (size_t b = 0; b < ARRAY_LEN(bounds); b++) {
			sum += row->buckets[b];
			evbuffer_add_printf(out, "pouch_http_request_seconds_bucket{operation=\"%s\",le=\"%g\"} %llu\n",
					    name, (double)bounds[b] / 1e6, (unsigned long long)sum);
		}
		evbuffer_add_printf(out,
				    "pouch_http_request_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %llu\n"
				    "pouch_http_request_seconds_sum{operation=\"%s\"} %.6f\n"
				    "pouch_http_request_seconds_count{operation=\"%s\"} %llu\n",
				    name, (unsigned long long)total, name, (double)row->us / 1e6, name,
				    (unsigned long long)total);
	}
}
