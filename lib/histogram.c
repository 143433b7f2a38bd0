#include "lib/histogram.h"

const uint64_t histogram_bounds[HISTOGRAM_BOUNDS] = {50,    100,    250,    1000,    2500,     5000,
						     25000, 100000, 500000, 2500000, 10000000, 60000000};

void histogram_add(struct histogram *h, uint64_t us)
{
	unsigned b = 0;

	while (b < HISTOGRAM_BOUNDS && us > histogram_bounds[b])
		b++;
	h->buckets[b]++;
	h->n++;
	h->us += us;
}
