/* reattach: after a restart of runtimed the shims are found again, some at a time: the loop serves others between. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define AT_A_TIME   8
#define PATIENCE_MS 5000

struct finding {
	struct launch *launch;
	struct launch_lookups to_ask;
	size_t sought; /* those to ask, and those asked that have not answered */
	bool begun;
	struct event *next, *late;
};

void finding_free(struct launch *l)
{
	struct finding *f = STEAL(l->finding);

	if (!f)
		return;
	event_free(f->next);
	event_free(f->late);
	free(f);
}

static void end(struct finding *f)
{
	struct launch *l = f->launch;

	/* The slow ones are asked, or have been: they are found whenever they answer. */
	event_del(f->late);
	f->begun = false;
	if (l->c.found)
		l->c.found(l->c.arg);
}

static void ask(struct launch_run *run)
{
	if (run->dir < 0 || shim_connect(&run->shim, run->dir, NULL) < 0)
		run_shim_lost(run);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval now = {0};
	struct finding *f = arg;
	struct launch_run *run;

	(void)fd;
	(void)what;
	for (int i = 0; i < AT_A_TIME && (run = TAILQ_FIRST(&f->to_ask)); i++) {
		TAILQ_REMOVE(&f->to_ask, run, lookup);
		run->queued = false;
		ask(run);
	}
	if (!TAILQ_EMPTY(&f->to_ask))
		event_add(f->next, &now);
	else if (f->begun && f->sought == 0)
		end(f);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct finding *f = arg;

	(void)fd;
	(void)what;
	log_warn("%zu containers' shims have not answered yet", f->sought);
	end(f);
}

static struct finding *finding_of(struct launch *l)
{
	struct finding *f = l->finding;

	if (f)
		return f;
	f = l->finding = XNEW(struct finding);
	f->launch = l;
	f->next = evtimer_new(l->c.base, on_next, f);
	f->late = evtimer_new(l->c.base, on_late, f);
	TAILQ_INIT(&f->to_ask);
	return f;
}

void reattach_settled(struct launch_run *run)
{
	struct finding *f = run->launch->finding;

	if (!run->sought)
		return;
	run->sought = false;
	if (!f)
		return;
	if (run->queued)
		TAILQ_REMOVE(&f->to_ask, run, lookup);
	/* Not from within: whoever is told of the run comes first. */
	if (--f->sought == 0)
		event_active(f->next, 0, 0);
}

static int seek(struct launch *l, const struct launch_spec *spec, enum run_state state,
		const struct launch_events *events, void *arg, struct launch_run **out, struct err *e)
{
	struct finding *f = finding_of(l);
	int r = run_check_free(l, spec->id, e);

	if (r < 0)
		return r;
	struct launch_run *run = run_new(l, spec, events, arg);
	run_list(run);
	run->state = state;
	run->told_prepared = true;
	if (spec->log && spec->log->setup)
		logger_remember(run, spec->log->setup);
	run->dir = fd_keep(openat(l->runs_dir, run->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
	run->sought = run->queued = true;
	f->sought++;
	TAILQ_INSERT_TAIL(&f->to_ask, run, lookup);
	*out = run;
	return 0;
}

int launch_reattach(struct launch *l, const struct launch_spec *spec, const struct launch_events *events, void *arg,
		    struct launch_run **out, struct err *e)
{
	return seek(l, spec, RUN_RUNNING, events, arg, out, e);
}

int launch_adopt(struct launch *l, const struct launch_spec *spec, const struct launch_events *events, void *arg,
		 struct launch_run **out, struct err *e)
{
	return seek(l, spec, RUN_STARTING, events, arg, out, e);
}

uint64_t launch_last_start(const struct launch *l, const char *id)
{
	char text[24] = "";
	AUTO_CLOSE int dir = openat(l->runs_dir, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSE int fd = dir < 0 ? -1 : openat(dir, "start", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && fd_read_full(fd, text, sizeof text - 1, NULL) > 0 ? strtoull(text, NULL, 10) : 0;
}

void launch_find_ended(struct launch *l)
{
	struct launch_run *run, *next;
	struct stat st;

	if (!l->finding || !l->finding->sought)
		return;
	for (run = LIST_FIRST(&l->runs); run; run = next) {
		next = LIST_NEXT(run, link);
		if (run->sought && fstatat(run->dir, "exit", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size)
			run_shim_lost(run);
	}
}

void launch_find(struct launch *l)
{
	const struct timeval patience = timeval_ms(PATIENCE_MS);
	struct finding *f = finding_of(l);

	f->begun = true;
	event_add(f->late, &patience);
	event_active(f->next, 0, 0);
}
