/* runtime: which OCI runtime a container has, and the programs that are run for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define PROGRAM_MAX (32u << 20)

/* A copy of the program as it was at its path then. */
struct runtime_copy {
	int fd;
	struct stat of;
};

struct runtime_copies {
	struct runtime_copy shim;
	size_t n;
	struct runtime_copy of[]; /* as launch_config.runtimes */
};

const struct launch_runtime *runtime_of(const struct launch *l, const json_t *host, struct err *e)
{
	const char *name = doc_text(host, "Runtime");

	if (!*name)
		return &l->c.runtimes[0];
	for (size_t i = 0; i < l->c.nruntimes; i++)
		if (str_eq(l->c.runtimes[i].name, name))
			return &l->c.runtimes[i];
	err_http(e, 400, "unknown or invalid runtime name: %s", name);
	return NULL;
}

static struct runtime_copies *copies_of(struct launch *l)
{
	const size_t n = l->c.nruntimes;

	if (l->copies)
		return l->copies;
	l->copies = xcalloc(1, sizeof *l->copies + n * sizeof l->copies->of[0]);
	l->copies->n = n;
	l->copies->shim.fd = -1;
	for (size_t i = 0; i < n; i++)
		l->copies->of[i].fd = -1;
	return l->copies;
}

void runtime_copies_free(struct runtime_copies *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		fd_close(&c->of[i].fd);
	if (c)
		fd_close(&c->shim.fd);
	free(c);
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The program of an open file, -1 when it cannot be had whole. A script cannot be run from a descriptor. */
static int copy(int from)
{
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (fd_read_file(from, PROGRAM_MAX, &text, &len, NULL) < 0 || len < 4 || memcmp(text, "\177ELF", 4) != 0)
		return -1;
	AUTO_CLOSE int memfd = fd_memfd("runtime", text, len, NULL);
	return memfd < 0 ? -1 : STEAL_FD(memfd);
}

/* The copy of what is at `path` now. */
static int fresh(struct runtime_copy *c, const char *path)
{
	struct stat now;

	if (stat(path, &now) < 0)
		return -1;
	if (c->fd >= 0 && same(&c->of, &now))
		return c->fd;
	/* The first one, or the package was upgraded. */
	AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
	fd_close(&c->fd);
	if (from >= 0 && fstat(from, &c->of) == 0)
		c->fd = copy(from);
	return c->fd;
}

int runtime_copy(struct launch *l, const struct launch_runtime *rt)
{
	return rt->bpf_annotation ? fresh(&copies_of(l)->of[rt - l->c.runtimes], rt->path) : -1;
}

int shim_copy(struct launch *l)
{
	return fresh(&copies_of(l)->shim, l->c.shim);
}
