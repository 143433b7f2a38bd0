/*
 * ahead: moving a process into a cgroup waits for a grace period of the kernel, some milliseconds, unless somebody has
 * moved one a moment ago. The runtime does it in the middle of a start. So that this wait runs beside what comes
 * before, a thread moves runtimed itself to where it is already as soon as a start or an exec is known to come.
 */
#include <stdlib.h>

#include "lib/jobs.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

struct ahead {
	struct jobs *jobs;
	bool going; /* one is enough for all who wait */
};

static void ahead_run(void *arg, const atomic_bool *stop)
{
	char path[512];

	(void)arg;
	(void)stop;
	/* "0": the writer itself. What comes of it does not matter, the wait does. */
	if (cgroup_of_process("self", path) == 0)
		(void)cgroup_write("freezer", path, "cgroup.procs", "0");
}

static void ahead_done(void *arg)
{
	struct ahead *a = arg;

	a->going = false;
}

static void ahead_drop(void *arg)
{
	(void)arg;
}

static const struct job_kind move = {.run = ahead_run, .done = ahead_done, .drop = ahead_drop};

int ahead_new(struct launch *l, struct ahead **out, struct err *e)
{
	struct ahead *a = XNEW(struct ahead);
	int r = jobs_new(l->c.base, &a->jobs, e);

	if (r < 0) {
		free(a);
		return r;
	}
	*out = a;
	return 0;
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	jobs_free(a->jobs);
	free(a);
}

void ahead_move(struct ahead *a)
{
	if (a->going)
		return;
	a->going = true;
	jobs_add(a->jobs, &move, a);
}
