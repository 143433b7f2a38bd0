/*
 * trash: what is removed leaves its place by one rename, and its files, which may be many, go in the background. What
 * a crash leaves in the trash goes with the next start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

struct trash {
	struct jobs *jobs;
	int dirs[TRASHES];
	uint64_t last; /* name given */
};

struct piece {
	int dir; /* the trash's */
	char name[NAME_MAX + 1];
	int r;
	struct err e;
};

static void piece_run(void *arg, const atomic_bool *stop)
{
	struct piece *p = arg;

	p->r = tree_remove(p->dir, p->name, stop, &p->e);
}

static void piece_done(void *arg)
{
	struct piece *p = arg;

	if (p->r < 0)
		log_warn("remove what a container has left: %s", p->e.text);
	free(p);
}

static const struct job_kind removal = {.run = piece_run, .done = piece_done, .drop = free};

static void add(struct trash *t, int dir, const char *name)
{
	struct piece *p = XNEW(struct piece);

	p->dir = dir;
	snprintf(p->name, sizeof p->name, "%s", name);
	jobs_add(t->jobs, &removal, p);
}

static int open_trash(struct trash *t, int at, int *out, struct err *e)
{
	struct dirent *entry;

	if (mkdirat(at, "trash", 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make the trash directory");
	*out = openat(at, "trash", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = *out < 0 ? NULL : fdopendir(openat(*out, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!d)
		return err_sys(e, -errno, "open the trash directory");
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			add(t, *out, entry->d_name);
	closedir(d);
	return 0;
}

int trash_new(struct launch *l, struct trash **out, struct err *e)
{
	struct trash *t = XNEW(struct trash);

	*t = (struct trash){.dirs = {-1, -1}, .last = (uint64_t)time_now()};
	int r = jobs_new(l->c.base, &t->jobs, e);
	if (r == 0)
		r = open_trash(t, l->c.state_dir, &t->dirs[TRASH_STATE], e);
	if (r == 0)
		r = open_trash(t, l->run_dir, &t->dirs[TRASH_RUN], e);
	if (r < 0) {
		trash_free(t);
		return r;
	}
	*out = t;
	return 0;
}

void trash_free(struct trash *t)
{
	if (!t)
		return;
	if (t->jobs)
		jobs_free(t->jobs);
	for (size_t i = 0; i < TRASHES; i++)
		fd_close(&t->dirs[i]);
	free(t);
}

int trash_put(struct trash *t, enum trash_of which, int dir, const char *name, struct err *e)
{
	char to[24];

	snprintf(to, sizeof to, "%llx", (unsigned long long)++t->last);
	if (renameat(dir, name, t->dirs[which], to) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "remove %s", name);
	add(t, t->dirs[which], to);
	return 0;
}
