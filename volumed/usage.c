/* usage: what volumes take on the disk, measured in the thread. */
#include <fcntl.h>
#include <stdlib.h>

#include "lib/tree.h"
#include "lib/util.h"
#include "volumed/volumed.h"

struct usage {
	struct ipc_request *req;
	int dir;	 /* duplicate of the volumes' directory */
	json_t *volumes; /* the answer; UsageData is filled in by the thread */
};

static void usage_free(struct usage *u)
{
	fd_close(&u->dir);
	json_decref(u->volumes);
	free(u);
}

static void measure(void *arg, const atomic_bool *stop)
{
	struct usage *u = arg;
	size_t i;
	json_t *volume;

	json_array_foreach(u->volumes, i, volume) {
		uint64_t bytes;

		if (str_eq(json_string_value(json_object_get(volume, "Driver")), VOLUME_LOCAL) &&
		    tree_size(u->dir, json_string_value(json_object_get(volume, "Name")), stop, &bytes, NULL) == 0)
			json_object_set_new(json_object_get(volume, "UsageData"), "Size",
					    json_integer((json_int_t)bytes));
	}
}

static void measured(void *arg)
{
	struct usage *u = arg;
	AUTO_FREE char *text = json_dumps(u->volumes, JSON_COMPACT);
	struct volume_used used = {.volumes = {.data = text, .len = strlen(text)}};

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

struct collection {
	struct volumed *d;
	json_t *volumes;
};

static void add(void *arg, struct volume *v)
{
	struct collection *c = arg;
	json_t *volume = volume_json(c->d, v);

	json_object_set_new(volume, "UsageData",
			    json_pack("{s:i, s:I}", "Size", -1, "RefCount", (json_int_t)v->nholds));
	json_array_append_new(c->volumes, volume);
}

void on_volume_usage(struct ipc_request *req, struct volume_usage *m, struct volumed *d)
{
	struct collection c = {d, json_array()};
	struct usage *u = XNEW(struct usage);

	(void)m;
	volumes_each(d->volumes, add, &c);
	*u = (struct usage){req, fcntl(local_dir(d->local), F_DUPFD_CLOEXEC, 3), c.volumes};
	jobs_add(d->jobs, &kind, u);
}
