#include "apid/stats.h"

#include "apid/route.h"
#include "lib/util.h"

struct stats {
	size_t nroutes;
	struct stats_row rows[]; /* one a route, and one for requests without */
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
	for (size_t i = 0; i <= s->nroutes; i++)
		free(s->rows[i].statuses);
	free(s);
}

/* An operation has a handful of statuses. */
static void count_status(struct stats_row *row, unsigned status)
{
	for (size_t i = 0; i < row->nstatuses; i++)
		if (row->statuses[i].status == status) {
			row->statuses[i].n++;
			return;
		}
	row->statuses = xrealloc(row->statuses, row->nstatuses + 1, sizeof *row->statuses);
	row->statuses[row->nstatuses++] = (struct stats_status){status, 1};
}

void stats_count(struct stats *s, const struct route *route, int status, uint64_t us)
{
	struct stats_row *row = &s->rows[route ? route->index : s->nroutes];

	count_status(row, status >= 100 && status < 600 ? (unsigned)status : 500);
	histogram_add(&row->took, us);
}

const struct stats_row *stats_row(const struct stats *s, size_t i, const char **name)
{
	size_t n;
	const struct route *r = route_all(&n);

	if (i > s->nroutes)
		return NULL;
	*name = i == s->nroutes ? "none" : r[i].message ? r[i].message->name : r[i].pattern;
	return &s->rows[i];
}
