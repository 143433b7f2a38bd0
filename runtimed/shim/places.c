/*
 * places: where a container's mounts come to lie, by the symbolic links on the way. The runtime follows them below the
 * root; what leads into /proc or /sys, by which a container is confined and looked at, is found here before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define LINKS_MAX 40 /* as the kernel follows */
#define PATH_SIZE 4096

struct place {
	const char *target; /* as asked */
	const char *from;   /* its files, below the stage; NULL: there are none yet */
	char *path;	    /* where it lies, without symbolic links; NULL: not known yet */
	size_t depth;
	bool linked; /* a symbolic link was followed */
};

struct places {
	struct place *v; /* v[0] is the root, the rest in the order of the mounts: the less deep ones first */
	size_t n;
};

/* A path on its way to be one without symbolic links. */
struct walk {
	char done[PATH_SIZE], left[PATH_SIZE];
	unsigned links;
};

static bool at_or_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return str_eq(dir, "/") || (strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

/* What is mounted there hides what was below it: the last one counts. */
static const struct place *holder_of(const struct places *all, const char *path)
{
	const struct place *found = &all->v[0];

	for (size_t i = 1; i < all->n; i++)
		if (all->v[i].path && at_or_below(path, all->v[i].path))
			found = &all->v[i];
	return found;
}

/* The text of a symbolic link at `path`; 0 when there is none, -errno. */
static ssize_t read_link(const struct places *all, const char *path, char *text, size_t size)
{
	const struct place *p = holder_of(all, path);
	size_t skip = str_eq(p->path, "/") ? 0 : strlen(p->path);
	struct stat st;

	while (path[skip] == '/')
		skip++;
	if (!p->from || !path[skip])
		return 0;
	AUTO_CLOSE int top = open(p->from, O_PATH | O_CLOEXEC);
	if (top < 0)
		return -errno;
	AUTO_CLOSE int fd = fd_open_within(top, path + skip, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return 0;
	ssize_t n = readlinkat(fd, "", text, size);
	return n < 0 ? -errno : n;
}

static void up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

/* One component of `left`. */
static int step(const struct places *all, struct walk *w)
{
	char rest[PATH_SIZE], link[PATH_SIZE];
	size_t skip = strspn(w->left, "/"), n = strcspn(w->left + skip, "/"), had = strlen(w->done);
	const char *name = w->left + skip;

	snprintf(rest, sizeof rest, "%s", name + n);
	if (n == 2 && memcmp(name, "..", 2) == 0) {
		up(w->done);
	} else if (n && (n != 1 || *name != '.')) {
		if (snprintf(w->done + had, sizeof w->done - had, "/%.*s", (int)n, name) >= (int)(sizeof w->done - had))
			return -ENAMETOOLONG;
		ssize_t len = read_link(all, w->done, link, sizeof link);
		if (len < 0)
			return (int)len;
		if (len && ++w->links > LINKS_MAX)
			return -ELOOP;
		if (len) {
			w->done[*link == '/' ? 0 : had] = '\0';
			return snprintf(w->left, sizeof w->left, "%.*s/%s", (int)len, link, rest) < (int)sizeof w->left
				       ? 0
				       : -ENAMETOOLONG;
		}
	}
	memcpy(w->left, rest, sizeof rest);
	return 0;
}

/* The path of `target` without symbolic links, the caller's; NULL with `e`. */
static char *resolve(const struct places *all, const char *what, const char *target, bool *linked, struct err *e)
{
	struct walk w = {.done = ""};
	int r = snprintf(w.left, sizeof w.left, "%s", target) < (int)sizeof w.left ? 0 : -ENAMETOOLONG;

	while (r == 0 && *w.left)
		r = step(all, &w);
	if (r < 0)
		return err_http(e, 400, "%s %.200s: its place is not found: %s", what, target, strerror(-r)), NULL;
	*linked = w.links > 0;
	return xstrdup(*w.done ? w.done : "/");
}

static int check_place(const struct places *all, const struct place *p, struct err *e)
{
	static const char *const kernel[] = {"/proc", "/sys"};

	for (size_t i = 0; i < ARRAY_LEN(kernel); i++) {
		bool linked;
		AUTO_FREE char *real = resolve(all, "the kernel's", kernel[i], &linked, e);
		if (!real)
			return e->code;
		/* What is asked for by its own name was looked at when the container was created. */
		if ((p->linked && at_or_below(p->path, kernel[i])) || (linked && at_or_below(p->path, real)))
			return err_http(e, 400, "a mount at %.300s would lie at %.300s, in the container's own %s",
					p->target, p->path, kernel[i]);
	}
	return 0;
}

static int by_depth(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	return a->depth < b->depth ? -1 : a->depth > b->depth;
}

static void add(struct places *all, const char *target, const char *from)
{
	struct place *p = &all->v[all->n++];

	*p = (struct place){.target = target, .from = from};
	for (const char *c = target; *c; c++)
		p->depth += *c == '/' && c[1] && c[1] != '/';
}

static int find_workdir(const struct places *all, const char *workdir, char **out, struct err *e)
{
	bool linked = false;
	AUTO_FREE char *real = workdir ? resolve(all, "working directory", workdir, &linked, e) : NULL;

	if (workdir && !real)
		return e->code;
	*out = linked ? STEAL(real) : NULL;
	return 0;
}

int places_check(const struct shim_args *a, char **workdir, struct err *e)
{
	struct places all = {.v = xcalloc(1 + a->nmounts + a->ntmpfs, sizeof *all.v)};
	char(*names)[24] = xcalloc(a->nmounts + 1, sizeof *names);
	int r = 0;

	add(&all, "/", "root");
	all.v[0].path = xstrdup("/");
	for (size_t i = 0; i < a->nmounts; i++) {
		snprintf(names[i], sizeof names[i], "m%zu", i);
		if (a->targets[i])
			add(&all, a->targets[i], names[i]);
	}
	for (size_t i = 0; i < a->ntmpfs; i++)
		add(&all, a->tmpfs[i], NULL);
	qsort(all.v + 1, all.n - 1, sizeof *all.v, by_depth);
	for (size_t i = 1; r == 0 && i < all.n; i++) {
		struct place *p = &all.v[i];
		p->path = resolve(&all, "mount at", p->target, &p->linked, e);
		r = p->path ? check_place(&all, p, e) : e->code;
	}
	if (r == 0)
		r = find_workdir(&all, a->workdir, workdir, e);
	for (size_t i = 0; i < all.n; i++)
		free(all.v[i].path);
	free(all.v);
	free(names);
	return r;
}
