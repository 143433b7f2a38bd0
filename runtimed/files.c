#include "runtimed/files.h"

#include "runtimed/runtimed.h"
#include "runtimed/spec.h"

struct sizing {
	struct container *container;
	files_sized done;
	void *arg;
};

static void on_sized(void *arg, json_t *result, const struct err *e)
{
	struct sizing *s = arg;
	int64_t rw = json_int(result, "SizeRw");

	s->done(s->container, rw, rw + s->container->image_size, e, s->arg);
	container_unref(s->container);
	free(s);
}

void files_size(struct container *c, files_sized done, void *arg)
{
	static const struct launch_files_events events = {.done = on_sized};
	struct sizing *s = XNEW(struct sizing);
	struct launch_files *files;
	struct spec spec;
	struct err e;

	*s = (struct sizing){container_ref(c), done, arg};
	spec_basic(c, &spec);
	struct launch_root root = {c->rt->launch, &spec.launch, c->run};
	int rc = launch_size(&root, &events, s, &files, &e);
	spec_clean(&spec);
	if (rc < 0)
		on_sized(s, NULL, &e);
}
