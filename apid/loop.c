/*
 * The event loop. A client that has its answer often asks the next thing within microseconds: shorter than it takes
 * to put this process to sleep and wake it on another processor. So the loop looks again for a moment before it
 * sleeps; when that brings nothing, ever more of its turns go by without it. On a processor that others want, too, it
 * would only use up what the scheduler grants, and be made to wait when it has work: there it sleeps.
 */
#include <time.h>

#include "apid/apid.h"

#define EAGER_US 50   /* a client whose processor sleeps takes 15 to 25 */
#define REST_MAX 4096 /* turns without looking again, after looking has brought nothing many times */

enum found {
	LOOP_ENDS = -1,
	NOTHING,
	NOTHING_BUT_OTHERS, /* this process was not let run meanwhile */
	A_REQUEST,
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Has a client sent anything before the moment was over? */
static enum found look_again(struct apid *a)
{
	int64_t until = now_us() + EAGER_US, now;
	uint64_t before = a->reads;

	do {
		if (event_base_loop(a->base, EVLOOP_NONBLOCK) < 0 || event_base_got_break(a->base))
			return LOOP_ENDS;
		if (a->reads != before)
			return A_REQUEST;
		now = now_us();
	} while (now < until);
	return now < until + EAGER_US ? NOTHING : NOTHING_BUT_OTHERS;
}

/* As long as it brings requests. `rest`: how many turns to go by without it afterwards. */
static enum found look_again_and_again(struct apid *a, unsigned *rest)
{
	enum found found;

	while ((found = look_again(a)) == A_REQUEST)
		*rest = 0;
	if (found == NOTHING_BUT_OTHERS)
		*rest = REST_MAX;
	else if (*rest < REST_MAX)
		*rest = *rest ? *rest * 2 : 1;
	return found;
}

int apid_loop(struct event_base *base, void *arg)
{
	struct apid *a = arg;
	unsigned rest = 0, wait = 0;
	int r = 0;

	while (r == 0 && !event_base_got_break(base)) {
		uint64_t before = a->reads;

		r = event_base_loop(base, EVLOOP_ONCE);
		/* The next event_base_loop() would forget that it is to end. */
		if (event_base_got_break(base) || a->reads == before || (wait && wait--))
			continue;
		if (look_again_and_again(a, &rest) == LOOP_ENDS)
			break;
		wait = rest;
	}
	return event_base_got_break(base) ? 0 : r;
}
