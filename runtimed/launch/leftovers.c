/*
 * leftovers: what a run has left, until nothing is. A killed process may take its time: it waits for a disk, or
 * somebody traces it. Nothing here waits with it.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define SOONEST_MS  2
#define LATEST_MS   500
#define PATIENCE_MS 60000

struct leftovers {
	LIST_ENTRY(leftovers) link;
	struct launch *launch;
	char id[ID_CHARS + 1], *cgroup;
	struct event *again;
	int64_t since; /* monotonic milliseconds */
	bool late;     /* nobody waits any more */
	void (*gone)(void *arg, int r);
	void *arg;
};

int leftovers_remove(struct launch *l, const char *id, const char *cgroup)
{
	char name[ID_CHARS + 8];

	int r = cgroup_remove(cgroup);
	if (r == -EBUSY) {
		cgroup_kill(cgroup, false);
		r = cgroup_remove(cgroup);
	}
	snprintf(name, sizeof name, "rt/%s", id);
	trash_put(l->trash, TRASH_RUN, l->run_dir, name, NULL);
	return r;
}

static void leftovers_drop(struct leftovers *left)
{
	LIST_REMOVE(left, link);
	event_free(left->again);
	free(left->cgroup);
	free(left);
}

/* The longer it takes, the less often it is looked at. */
static void look_again(struct leftovers *left)
{
	int64_t ms = (monotonic_ms() - left->since) / 8;

	ms = ms < SOONEST_MS ? SOONEST_MS : ms > LATEST_MS ? LATEST_MS : ms;
	const struct timeval t = timeval_ms((unsigned)ms);
	event_add(left->again, &t);
}

/* Who is told may start or remove the container at once. */
static void tell(struct leftovers *left, int r)
{
	void (*gone)(void *arg, int r) = STEAL(left->gone);
	const struct launch *l = left->launch;
	void *arg = left->arg;
	char id[ID_CHARS + 1];

	memcpy(id, left->id, sizeof id);
	if (r == -EBUSY) {
		left->late = true;
	} else {
		if (!gone)
			trash_put(l->trash, TRASH_RUN, l->runs_dir, id, NULL);
		leftovers_drop(left);
	}
	if (gone)
		gone(arg, r);
	if (l->c.left)
		l->c.left(l->c.arg, id);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct leftovers *left = arg;
	int r = cgroup_remove(left->cgroup);

	(void)fd;
	(void)what;
	if (r == -EBUSY) {
		cgroup_kill(left->cgroup, true);
		look_again(left);
		if (left->late || monotonic_ms() - left->since < PATIENCE_MS)
			return;
	}
	tell(left, r);
}

void leftovers_wait(struct launch *l, const char *id, const char *cgroup, void (*gone)(void *arg, int r), void *arg)
{
	struct leftovers *left = XNEW(struct leftovers);

	left->launch = l;
	memcpy(left->id, id, sizeof left->id);
	left->cgroup = xstrdup(cgroup);
	left->gone = gone;
	left->arg = arg;
	left->since = monotonic_ms();
	left->again = evtimer_new(l->c.base, on_again, left);
	LIST_INSERT_HEAD(&l->leftovers, left, link);
	look_again(left);
}

static const struct leftovers *find(const struct launch *l, const char *id)
{
	const struct leftovers *left;

	LIST_FOREACH(left, &l->leftovers, link)
		if (str_eq(left->id, id))
			return left;
	return NULL;
}

bool launch_leaving(const struct launch *l, const char *id)
{
	const struct leftovers *left = find(l, id);

	return left && !left->late;
}

int leftovers_check(const struct launch *l, const char *id, struct err *e)
{
	if (!find(l, id))
		return 0;
	err_http(e, 409, "container %.12s: processes of its last run do not end although they were killed", id);
	return -EBUSY;
}

void leftovers_free(struct launch *l)
{
	while (!LIST_EMPTY(&l->leftovers))
		leftovers_drop(LIST_FIRST(&l->leftovers));
}
