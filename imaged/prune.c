/* prune: POST /images/prune, and /build/prune, which has nothing to remove. */
#include <stdio.h>

#include "imaged/collect.h"
#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/moment.h"

struct prune {
	struct imaged *d;
	const struct filters *f;
	bool dangling; /* only images without a name */
	struct moment until;
	json_t *deleted;
};

static int id_row(void *arg, struct store_row *r)
{
	json_array_append_new(arg, json_string(store_text(r, 0)));
	return 0;
}

static bool wanted(const struct prune *x, const struct image *i)
{
	json_t *labels = json_loads(i->labels, 0, NULL);
	bool fits = filters_labels(x->f, "label", labels) && filters_labels(x->f, "label!", labels);

	json_decref(labels);
	return fits && !(x->until.set && moment_compare(x->d, i, &x->until) > 0);
}

static int untag_all(struct prune *x, const char *id, struct err *e)
{
	json_t *tags = records_tags(x->d, id), *name;
	char buf[REFERENCE_TEXT];
	size_t i;
	int rc = 0;

	json_array_foreach(tags, i, name) {
		if (rc == 0)
			rc = store_exec(x->d->store, e, "DELETE FROM tag WHERE name = ?", "t", json_string_value(name));
		if (rc == 0) {
			json_array_append_new(x->deleted, json_pack("{s:s}", "Untagged",
								    reference_familiar(json_string_value(name),
										       default_registry(x->d), buf)));
			event_image(x->d, "untag", id, NULL);
		}
	}
	json_decref(tags);
	return rc;
}

static int prune_one(struct prune *x, const char *id, struct err *e)
{
	AUTO_IMAGE struct image image = {0};
	int rc = records_image(x->d, id, &image, e);

	if (rc < 0 || !wanted(x, &image))
		return rc;
	rc = untag_all(x, id, e);
	if (rc == 0)
		rc = collect_image(x->d, id, x->deleted, e);
	if (rc == 0)
		event_image(x->d, "delete", id, NULL);
	return rc;
}

/* What the store holds, blobs and files of layers. */
static int held_bytes(struct imaged *d, int64_t *out, struct err *e)
{
	return store_number(
		d->store, 0, out, e,
		"SELECT (SELECT coalesce(sum(size), 0) FROM layer) + (SELECT coalesce(sum(size), 0) FROM blob)", "");
}

/* What others were made from comes when they are gone. */
#define CHILDLESS                                                                                                      \
	"SELECT id FROM image WHERE id NOT IN (SELECT image FROM lease)"                                               \
	" AND NOT EXISTS (SELECT 1 FROM image child WHERE child.parent = image.id)"

static int prune_once(struct prune *x, struct err *e)
{
	json_t *ids = json_array(), *id;
	size_t i;
	int rc = store_query(x->d->store, id_row, ids, e,
			     x->dangling ? CHILDLESS " AND id NOT IN (SELECT image FROM tag)" : CHILDLESS, "");

	json_array_foreach(ids, i, id)
		if (rc == 0)
			rc = prune_one(x, json_string_value(id), e);
	json_decref(ids);
	return rc;
}

static int prune_all(struct prune *x, struct err *e)
{
	size_t before;
	int rc;

	do {
		before = json_array_size(x->deleted);
		rc = prune_once(x, e);
	} while (rc == 0 && json_array_size(x->deleted) > before);
	return rc;
}

void on_image_prune(struct ipc_request *req, struct image_prune *m, struct imaged *d)
{
	struct prune x = {.d = d, .f = FILTERS_OF(m->filters.json), .dangling = true, .deleted = json_array()};
	int64_t before = 0, after = 0;
	struct err e = {0};
	int rc = filters_bool(x.f, "dangling", &x.dangling, &e);

	if (rc == 0)
		rc = moment_until(x.f, &x.until, &e);
	if (rc == 0)
		rc = held_bytes(d, &before, &e);
	if (rc == 0)
		rc = prune_all(&x, &e);
	if (rc == 0)
		rc = held_bytes(d, &after, &e);
	if (rc == 0) {
		event_prune(d, before - after);
		ipc_reply_json(req, 200,
			       json_pack("{s:o, s:I}", "ImagesDeleted", x.deleted, "SpaceReclaimed",
					 (json_int_t)(before - after)));
		return;
	}
	json_decref(x.deleted);
	ipc_reply_error(req, &e);
}

void on_build_prune(struct ipc_request *req, struct build_prune *m, struct imaged *d)
{
	(void)m;
	(void)d;
	ipc_reply_json(req, 200, json_pack("{s:[], s:i}", "CachesDeleted", "SpaceReclaimed", 0));
}
