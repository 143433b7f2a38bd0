#include "runtimed/copyup.h"

#include "runtimed/bind.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"
#include "runtimed/volumes.h"

/* One volume after the other. */
struct copying {
	struct container *container;
	copyup_done done;
	void *arg;
	size_t at;
	bool mounted; /* volumed has mounted for it */
	struct launch_files *files;
};

static bool is_wanted(const json_t *m)
{
	const json_t *extra = json_object_get(m, "_");

	return str_eq(json_text(m, "Type"), "volume") && !json_true_at(extra, "nocopy") &&
	       !json_object_get(extra, "subpath");
}

/* Only a volume with a directory of its own says whether it is empty before it is mounted. */
static bool is_known(const json_t *m)
{
	const char *source = json_text(m, "Source");

	return source && *source;
}

static void end(struct copying *x, int rc, const struct err *e)
{
	if (x->mounted)
		volumes_unuse(x->container);
	x->done(x->container, rc, e, x->arg);
	container_unref(x->container);
	free(x);
}

static void next(struct copying *x);

static void on_copied(void *arg, json_t *result, const struct err *e)
{
	struct copying *x = arg;
	struct err why;

	(void)result;
	x->files = NULL;
	if (!e) {
		next(x);
		return;
	}
	why = *e;
	end(x, err_prefix(&why, "copy the image's files into a new volume"), &why);
}

static int copy_one(struct copying *x, const json_t *m, struct err *e)
{
	static const struct launch_files_events events = {.done = on_copied};
	AUTO_CLOSE int target = volume_open(m, e);
	struct spec spec;

	if (target < 0)
		return target;
	spec_basic(x->container, &spec);
	struct launch_root root = {.launch = x->container->rt->launch, .spec = &spec.launch};
	int rc = launch_copy_up(&root, json_text(m, "Destination"), target, &events, x, &x->files, e);
	spec_clean(&spec);
	return rc;
}

static void next(struct copying *x)
{
	struct err e = {0};
	const json_t *m;

	while ((m = json_array_get(x->container->mounts, x->at))) {
		x->at++;
		if (!is_wanted(m) || (!x->mounted && !json_true_at(json_object_get(m, "_"), "empty")))
			continue;
		int rc = copy_one(x, m, &e);
		if (rc < 0)
			end(x, rc, &e);
		return;
	}
	end(x, 0, NULL);
}

static void on_mounted(struct container *c, int rc, const struct err *e, void *arg)
{
	struct copying *x = arg;

	(void)c;
	if (rc < 0) {
		end(x, rc, e);
		return;
	}
	x->mounted = true;
	next(x);
}

void copyup(struct container *c, copyup_done done, void *arg)
{
	struct copying *x = XNEW(struct copying);
	bool mount = false;
	json_t *m;
	size_t i;

	*x = (struct copying){.container = container_ref(c), .done = done, .arg = arg};
	json_array_foreach(c->mounts, i, m)
		mount = mount || (is_wanted(m) && !is_known(m));
	if (mount)
		volumes_use(c, on_mounted, x);
	else
		next(x);
}
