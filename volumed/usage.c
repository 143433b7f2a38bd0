/* usage: what volumes take on the disk, measured in the thread. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/tree.h"
#include "lib/util.h"
#include "volumed/volumed.h"

/* What the thread has to know of a volume: it may change or go meanwhile. */
struct used {
	char *name, *text; /* of its directory; as in the list */
	size_t holds;
};

struct usage {
	struct volumed *d;
	struct ipc_request *req;
	int dir; /* duplicate of the volumes' directory */
	struct used *volumes;
	size_t n;
	char *answer; /* of the thread */
	size_t len;
};

static void usage_free(struct usage *u)
{
	fd_close(&u->dir);
	for (size_t i = 0; i < u->n; i++) {
		free(u->volumes[i].name);
		free(u->volumes[i].text);
	}
	free(u->volumes);
	free(u->answer);
	free(u);
}

/* The volume's text without its last brace, and its UsageData. */
static void put(FILE *out, const struct used *v, int64_t bytes)
{
	fwrite(v->text, 1, strlen(v->text) - 1, out);
	fprintf(out, ",\"UsageData\":{\"Size\":%" PRId64 ",\"RefCount\":%zu}}", bytes, v->holds);
}

static void measure(void *arg, const atomic_bool *stop)
{
	struct usage *u = arg;
	FILE *out = open_memstream(&u->answer, &u->len);

	putc('[', out);
	for (size_t i = 0; i < u->n; i++) {
		const struct used *v = &u->volumes[i];
		uint64_t bytes;
		const bool known = tree_size(u->dir, v->name, stop, &bytes, NULL) == 0;

		if (i)
			putc(',', out);
		put(out, v, known ? (int64_t)bytes : -1);
	}
	putc(']', out);
	if (fclose(out))
		abort(); /* as all that runs out of memory here */
}

static void measured(void *arg)
{
	struct usage *u = arg;
	struct volume_used used = {.volumes = {.data = u->answer, .len = u->len}};

	ipc_reply(u->req, &used);
	usage_free(u);
}

static void dropped(void *arg)
{
	struct usage *u = arg;

	ipc_fail(u->req, 503, "the engine is stopping");
	usage_free(u);
}

static const struct job_kind kind = {.run = measure, .done = measured, .drop = dropped};

/* As with Docker not those of plugins: nobody here can measure them, or say that they are still there. */
static void add(void *arg, struct volume *v)
{
	struct usage *u = arg;

	if (!str_eq(v->driver, VOLUME_LOCAL))
		return;
	u->volumes = xrealloc(u->volumes, u->n + 1, sizeof *u->volumes);
	u->volumes[u->n++] =
		(struct used){.name = xstrdup(v->name), .text = xstrdup(volume_text(u->d, v)), .holds = v->nholds};
}

void on_volume_usage(struct ipc_request *req, struct volume_usage *m, struct volumed *d)
{
	struct usage *u = XNEW(struct usage);

	(void)m;
	*u = (struct usage){.d = d, .req = req, .dir = fcntl(local_dir(d->local), F_DUPFD_CLOEXEC, 3)};
	volumes_each(d->volumes, add, u);
	jobs_add(d->jobs, &kind, u);
}
