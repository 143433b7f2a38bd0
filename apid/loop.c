/*
 * The event loop. A client that has its answer often asks the next thing within microseconds: shorter than it takes
 * to put this process to sleep and wake it on another processor. So the loop looks again for a moment before it
 * sleeps; when that brings nothing, ever more of its turns go by without it.
 */
#include <time.h>

#include "apid/apid.h"

#define EAGER_US 20
#define REST_MAX 4096 /* turns without looking again, after looking has brought nothing many times */

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Has a client sent anything before the moment was over? 1: so it has, 0: no; negative: the loop is to end. */
static int look_again(struct apid *a)
{
	int64_t until = now_us() + EAGER_US;
	uint64_t before = a->reads;

	do {
		if (event_base_loop(a->base, EVLOOP_NONBLOCK) < 0 || event_base_got_break(a->base))
			return -1;
	} while (a->reads == before && now_us() < until);
	return a->reads != before;
}

int apid_loop(struct event_base *base, void *arg)
{
	struct apid *a = arg;
	unsigned rest = 0, wait = 0;
	int r = 0;

	while (r >= 0) {
		uint64_t before = a->reads;

		r = event_base_loop(base, EVLOOP_ONCE);
		if (r != 0 || event_base_got_break(base))
			break;
		if (a->reads == before || (wait && wait--))
			continue;
		while ((r = look_again(a)) > 0)
			rest = 0;
		if (r == 0 && rest < REST_MAX)
			rest = rest ? rest * 2 : 1;
		wait = rest;
	}
	return event_base_got_break(base) ? 0 : r;
}
