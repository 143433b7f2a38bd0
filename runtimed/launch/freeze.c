/*
 * freeze: a container's processes are held. The kernel is asked; a process that waits in it for something freezes when
 * it has that, and nothing here waits with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/fault.h"
#include "lib/fd.h"
#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

/* Held by this process, not yet for its user: a file in the run's directory tells a runtimed that comes after it. */
#define HELD "held"

#define SOONEST_MS  1
#define LATEST_MS   100
#define PATIENCE_MS 5000

struct launch_hold {
	TAILQ_ENTRY(launch_hold) link;
	struct launch_run *run; /* NULL: has ended */
	int64_t since;		/* monotonic milliseconds */
	bool told;
	launch_frozen done;
	void *arg;
};

static struct launch_hold *first_untold(const struct launch_run *run)
{
	struct launch_hold *h;

	TAILQ_FOREACH(h, &run->holds, link)
		if (!h->told)
			return h;
	return NULL;
}

static void thaw(const struct launch_run *run)
{
	if (run->state == RUN_RUNNING)
		cgroup_freeze(run->cgroup, false);
	unlinkat(run->dir, HELD, 0);
}

static void drop(struct launch_hold *h)
{
	struct launch_run *run = h->run;

	if (run) {
		TAILQ_REMOVE(&run->holds, h, link);
		if (TAILQ_EMPTY(&run->holds) && !run->stays_frozen)
			thaw(run);
	}
	free(h);
}

static void tell(struct launch_hold *h, const struct err *e)
{
	const launch_frozen done = h->done;
	void *arg = h->arg;

	h->told = true;
	if (e)
		drop(h);
	done(arg, e);
}

static void tell_all(struct launch_run *run, const struct err *e)
{
	struct launch_hold *h;

	while ((h = first_untold(run)))
		tell(h, e);
}

/* The longer it takes, the less often it is looked at. */
static void look_again(struct launch_run *run, int64_t waited)
{
	int64_t ms = waited / 8;

	ms = ms < SOONEST_MS ? SOONEST_MS : ms > LATEST_MS ? LATEST_MS : ms;
	const struct timeval t = timeval_ms((unsigned)ms);
	event_add(run->look, &t);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct launch_run *run = arg;
	struct launch_hold *h;
	struct err late;

	(void)fd;
	(void)what;
	if (cgroup_frozen(run->cgroup)) {
		FAULT(pause_frozen);
		tell_all(run, NULL);
		return;
	}
	err_http(&late, 500, "container %.12s: its processes do not freeze within %d seconds", run->id,
		 PATIENCE_MS / 1000);
	while ((h = first_untold(run)) && monotonic_ms() - h->since >= PATIENCE_MS)
		tell(h, &late);
	if (h) {
		/* What has begun meanwhile, or was woken by something else, is told again. */
		cgroup_freeze(run->cgroup, true);
		look_again(run, monotonic_ms() - h->since);
	}
}

int launch_hold(struct launch_run *run, launch_frozen done, void *arg, struct launch_hold **out, struct err *e)
{
	int r = run_must_run(run, e);

	if (r < 0)
		return r;
	struct launch_hold *h = XNEW(struct launch_hold);
	*h = (struct launch_hold){.run = run, .since = monotonic_ms(), .done = done, .arg = arg};
	TAILQ_INSERT_TAIL(&run->holds, h, link);
	if (!run->look)
		run->look = evtimer_new(run->launch->c.base, on_look, run);
	AUTO_CLOSE int held = openat(run->dir, HELD, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = held < 0 ? -errno : cgroup_freeze(run->cgroup, true);
	if (r < 0) {
		drop(h);
		return err_sys(e, r, "freeze container %.12s", run->id);
	}
	FAULT(pause_asked);
	const struct timeval now = {0};
	event_add(run->look, &now);
	*out = h;
	return 0;
}

void launch_hold_end(struct launch_hold *h, bool stay)
{
	if (h->run && stay) {
		h->run->stays_frozen = true;
		unlinkat(h->run->dir, HELD, 0);
	}
	drop(h);
}

bool launch_paused(const struct launch_run *run)
{
	return run->state == RUN_RUNNING && run->stays_frozen;
}

int launch_unpause(struct launch_run *run, struct err *e)
{
	int r = run_must_run(run, e);

	if (r == 0 && (r = cgroup_freeze(run->cgroup, false)) < 0)
		return err_sys(e, r, "thaw container %.12s", run->id);
	if (r == 0)
		freeze_give_up(run, "was woken");
	return r;
}

void launch_wake(struct launch_run *run)
{
	if (run->state == RUN_RUNNING && cgroup_freezing(run->cgroup))
		launch_unpause(run, NULL);
}

void freeze_give_up(struct launch_run *run, const char *why)
{
	struct err e;

	run->stays_frozen = false;
	if (!first_untold(run))
		return;
	event_del(run->look);
	err_http(&e, 409, "container %.12s %s before it was frozen", run->id, why);
	if (run->state != RUN_RUNNING)
		e.code = -ESRCH;
	tell_all(run, &e);
}

void freeze_find(struct launch_run *run)
{
	if (faccessat(run->dir, HELD, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		thaw(run);
	run->stays_frozen = cgroup_freezing(run->cgroup);
}

void freeze_forget(struct launch_run *run)
{
	struct launch_hold *h;

	while ((h = TAILQ_FIRST(&run->holds))) {
		TAILQ_REMOVE(&run->holds, h, link);
		h->run = NULL;
	}
	if (run->look)
		event_free(run->look);
}
