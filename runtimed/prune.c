/* prune: POST /containers/prune: every container that does not run, one after the other. */
#include <errno.h>

#include "lib/filters.h"
#include "lib/times.h"
#include "runtimed/events.h"
#include "runtimed/files.h"
#include "runtimed/remove.h"
#include "runtimed/runtimed.h"

struct prune {
	struct ipc_request *req;
	struct runtimed *rt;
	struct container **items;
	size_t count, at;
	int64_t size; /* of the present one */
	int64_t reclaimed;
	json_t *deleted;
};

static void next(struct prune *p);

static void finish(struct prune *p)
{
	char bytes[24];

	snprintf(bytes, sizeof bytes, "%lld", (long long)p->reclaimed);
	event_add_any(p->rt->events, "container", "prune", "", json_pack("{s:s}", "reclaimed", bytes), "", time_now());
	ipc_reply_json(
		p->req, 200,
		json_pack("{s:o s:I}", "ContainersDeleted", p->deleted, "SpaceReclaimed", (json_int_t)p->reclaimed));
	for (size_t i = 0; i < p->count; i++)
		container_unref(p->items[i]);
	free(p->items);
	free(p);
}

/* What could not be removed is left; somebody may have started or removed it meanwhile. */
static void on_removed(struct container *c, int rc, const struct err *e, void *arg)
{
	struct prune *p = arg;

	(void)e;
	if (rc == 0) {
		json_array_append_new(p->deleted, json_string(c->id));
		p->reclaimed += p->size;
	}
	next(p);
}

static void on_size(struct container *c, int64_t rw, int64_t root, const struct err *e, void *arg)
{
	struct prune *p = arg;

	(void)root;
	p->size = e ? 0 : rw;
	remove_container(c, false, false, on_removed, p);
}

static void next(struct prune *p)
{
	if (p->at == p->count)
		finish(p);
	else
		files_size(p->items[p->at++], on_size, p);
}

static bool wanted(const struct container *c, const struct filters *f, int64_t until)
{
	json_t *labels = json_object_get(c->config, "Labels");

	return !container_running(c) && !c->starting && !c->removing && !(until && c->created >= until) &&
	       filters_labels(f, "label", labels) && filters_labels(f, "label!", labels);
}

void on_container_prune(struct ipc_request *req, struct container_prune *m, struct runtimed *rt)
{
	const struct filters *f = FILTERS_OF(m->filters.json);
	struct container *c;
	const char *text;
	int64_t until = 0;
	struct err e;

	if (filters_only(f, "until", &text, &e) < 0 || time_parse(text, time_now(), &until, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	struct prune *p = XNEW(struct prune);
	p->req = req;
	p->rt = rt;
	p->deleted = json_array();
	p->items = xcalloc(rt->containers.count + 1, sizeof(struct container *));
	TAILQ_FOREACH(c, &rt->containers.all, link)
		if (guard_sees(req, c->owner) && wanted(c, f, until))
			p->items[p->count++] = container_ref(c);
	next(p);
}
