/* list: GET /images/json, and images' share of GET /system/df. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "imaged/handlers.h"
#include "imaged/moment.h"
#include "imaged/view.h"

json_t *view_names(struct imaged *d, json_t *take_full)
{
	json_t *out = json_array(), *name;
	char buf[REFERENCE_TEXT];
	size_t i;

	json_array_foreach(take_full, i, name)
		json_array_append_new(
			out, json_string(reference_familiar(json_string_value(name), default_registry(d), buf)));
	json_decref(take_full);
	return out;
}

/* Pouch's ImageInfo: one name of it. */
static void add_pouch_fields(json_t *row, const struct image *i)
{
	const char *tag = json_string_value(json_array_get(json_object_get(row, "RepoTags"), 0));
	const char *digest = json_string_value(json_array_get(json_object_get(row, "RepoDigests"), 0));
	const char *colon = tag ? strrchr(tag, ':') : NULL;
	char created[32];
	struct tm tm;
	time_t t = i->created;

	gmtime_r(&t, &tm);
	strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_object_set_new(row, "ID", json_string(i->id));
	json_object_set_new(row, "Name", json_string(tag ? tag : ""));
	json_object_set_new(row, "Tag", json_string(colon ? colon + 1 : ""));
	json_object_set_new(row, "CreatedAt", json_string(created));
	json_object_set_new(row, "Digest", json_string(digest ? strchr(digest, '@') + 1 : ""));
}

static int count_row(void *arg, struct store_row *r)
{
	*(int64_t *)arg = store_int(r, 0);
	return 1;
}

json_t *view_image(struct imaged *d, const struct image *i)
{
	struct view_beside beside = {.tags = records_tags(d, i->id), .digests = records_digests(d, i->id)};

	store_query(d->store, count_row, &beside.containers, NULL, "SELECT count(*) FROM lease WHERE image = ?", "t",
		    i->id);
	return view_row(d, i, &beside);
}

json_t *view_row(struct imaged *d, const struct image *i, const struct view_beside *beside)
{
	json_t *labels = json_loads(i->labels, 0, NULL);

	json_t *row =
		json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:I}", "Id", i->id, "ParentId",
			  i->parent ? i->parent : "", "RepoTags", view_names(d, beside->tags), "RepoDigests",
			  view_names(d, beside->digests), "Created", (json_int_t)i->created, "Size",
			  (json_int_t)i->size, "VirtualSize", (json_int_t)i->size, "SharedSize", (json_int_t)-1,
			  "Labels", labels ? labels : json_object(), "Containers", (json_int_t)beside->containers);
	add_pouch_fields(row, i);
	return row;
}

/* What one list is asked for. */
struct listing {
	struct imaged *d;
	const struct filters *f;
	const struct image_list *m;
	struct moment before, since, until;
	bool dangling_set, dangling;
	bool shared;
	json_t *tags, *digests, *containers; /* image → names, number: of all images, by one query each */
	json_t *parents;		     /* image → how many were made from it */
	json_t *out;
};

static bool matches_reference(const struct listing *x, json_t *tags, json_t *digests)
{
	json_t *patterns = json_object_get(x->f->keys, "reference"), *pattern, *name;
	json_t *lists[2] = {tags, digests};
	size_t i, k;

	if (!patterns && !(x->m->filter && *x->m->filter))
		return true;
	for (size_t n = 0; n < 2; n++)
		json_array_foreach(lists[n], k, name) {
			const char *text = json_string_value(name);
			json_array_foreach(patterns, i, pattern)
				if (reference_matches(text, json_string_value(pattern)))
					return true;
			if (x->m->filter && *x->m->filter && reference_matches(text, x->m->filter))
				return true;
		}
	return false;
}

/* What others were made from, without a name of its own, is shown when all are asked for, and dangles never. */
static bool hidden(const struct listing *x, const struct image *i, const json_t *row)
{
	if (!json_object_get(x->parents, i->id) || json_array_size(json_object_get(row, "RepoTags")) > 0)
		return false;
	return (x->dangling_set && x->dangling) ||
	       (!x->m->all && json_array_size(json_object_get(row, "RepoDigests")) == 0);
}

static bool listed(const struct listing *x, const struct image *i, const json_t *row)
{
	json_t *tags = json_object_get(row, "RepoTags"), *labels = json_object_get(row, "Labels");
	bool dangling = json_array_size(tags) == 0;

	if (x->dangling_set && dangling != x->dangling)
		return false;
	if (hidden(x, i, row))
		return false;
	if (x->before.set && moment_compare(x->d, i, &x->before) >= 0)
		return false;
	if (x->since.set && moment_compare(x->d, i, &x->since) <= 0)
		return false;
	if (x->until.set && moment_compare(x->d, i, &x->until) >= 0)
		return false;
	return filters_labels(x->f, "label", labels) && filters_labels(x->f, "label!", labels) &&
	       matches_reference(x, tags, json_object_get(row, "RepoDigests"));
}

/* (image, name): name by name into the image's list. */
static int names_row(void *arg, struct store_row *r)
{
	json_t *list = json_object_get(arg, store_text(r, 0));

	if (!list) {
		list = json_array();
		json_object_set_new(arg, store_text(r, 0), list);
	}
	json_array_append_new(list, json_string(store_text(r, 1)));
	return 0;
}

static int number_row(void *arg, struct store_row *r)
{
	json_object_set_new(arg, store_text(r, 0), json_integer(store_int(r, 1)));
	return 0;
}

static json_t *names_of(const json_t *all, const char *id)
{
	json_t *list = json_object_get(all, id);

	return list ? json_incref(list) : json_array();
}

/* Bytes of layers that other images have, too. */
static int64_t shared_size(struct imaged *d, const char *id)
{
	int64_t bytes = 0;

	store_query(d->store, count_row, &bytes, NULL,
		    "SELECT coalesce(sum(size), 0) FROM layer WHERE diff_id IN (SELECT diff_id FROM image_layer WHERE "
		    "image = ?)"
		    " AND diff_id IN (SELECT diff_id FROM image_layer WHERE image <> ?)",
		    "tt", id, id);
	return bytes;
}

static int list_one(void *arg, struct image *take_image)
{
	struct listing *x = arg;
	const struct view_beside beside = {
		.tags = names_of(x->tags, take_image->id),
		.digests = names_of(x->digests, take_image->id),
		.containers = json_integer_value(json_object_get(x->containers, take_image->id)),
	};
	json_t *row = view_row(x->d, take_image, &beside);

	if (x->shared)
		json_object_set_new(row, "SharedSize", json_integer(shared_size(x->d, take_image->id)));
	if (x->f && !listed(x, take_image, row)) {
		json_decref(row);
	} else {
		if (x->m && x->m->manifests)
			json_object_set_new(row, "Manifests", view_manifests(x->d, take_image));
		json_array_append_new(x->out, row);
	}
	image_clean(take_image);
	return 0;
}

static int list_all(struct listing *x, bool shared, struct err *e)
{
	struct store *store = x->d->store;

	x->shared = shared;
	x->tags = json_object();
	x->digests = json_object();
	x->containers = json_object();
	x->parents = json_object();
	int rc = store_query(store, names_row, x->tags, e, "SELECT image, name FROM tag ORDER BY name", "");
	if (rc == 0)
		rc = store_query(store, names_row, x->digests, e, "SELECT image, name FROM digest ORDER BY name", "");
	if (rc == 0)
		rc = store_query(store, number_row, x->containers, e,
				 "SELECT image, count(*) FROM lease GROUP BY image", "");
	if (rc == 0)
		rc = store_query(store, number_row, x->parents, e,
				 "SELECT parent, count(*) FROM image WHERE parent IS NOT NULL GROUP BY parent", "");
	if (rc == 0)
		rc = records_each_image(x->d, list_one, x, e);
	json_decref(x->tags);
	json_decref(x->digests);
	json_decref(x->containers);
	json_decref(x->parents);
	return rc;
}

/* The time of the image that `before` and `since` name. */
static int time_of(struct listing *x, const char *key, struct moment *out, struct err *e)
{
	AUTO_IMAGE struct image image = {0};
	const char *text = filters_first(x->f, key);
	int rc = text ? records_find(x->d, text, &image, NULL, e) : 0;

	if (rc == 0 && text)
		*out = moment_created(x->d, &image);
	return rc;
}

static int list_filtered(struct listing *x, struct err *e)
{
	int rc = time_of(x, "before", &x->before, e);

	if (rc == 0)
		rc = time_of(x, "since", &x->since, e);
	x->dangling_set = filters_has(x->f, "dangling");
	if (rc == 0)
		rc = filters_bool(x->f, "dangling", &x->dangling, e);
	if (rc == 0)
		rc = moment_until(x->f, &x->until, e);
	return rc < 0 ? rc : list_all(x, x->m->shared_size, e);
}

/* The whole list is asked for again and again by who watches; its text is kept until a record changes. */
static void answer_whole(struct ipc_request *req, struct imaged *d, json_t *take_list)
{
	if (take_list) {
		free(d->list_text);
		d->list_text = json_dumps(take_list, JSON_COMPACT);
		d->list_of = store_generation(d->store);
		json_decref(take_list);
	}
	ipc_reply_text(req, 200, d->list_text, strlen(d->list_text));
}

void on_image_list(struct ipc_request *req, struct image_list *m, struct imaged *d)
{
	struct listing x = {.d = d, .f = FILTERS_OF(m->filters.json), .m = m, .out = json_array()};
	bool whole = json_object_size(m->filters.json) == 0 && !m->all && !m->shared_size && !m->manifests &&
		     !(m->filter && *m->filter);
	struct err e = {0};

	if (whole && d->list_text && d->list_of == store_generation(d->store)) {
		json_decref(x.out);
		answer_whole(req, d, NULL);
	} else if (list_filtered(&x, &e) < 0) {
		json_decref(x.out);
		ipc_reply_error(req, &e);
	} else if (whole) {
		answer_whole(req, d, x.out);
	} else {
		ipc_reply_json(req, 200, x.out);
	}
}

void on_image_usage(struct ipc_request *req, struct image_usage *m, struct imaged *d)
{
	struct listing x = {.d = d, .out = json_array()};
	struct err e = {0};
	int64_t bytes = 0;

	(void)m;
	int rc = list_all(&x, true, &e);
	if (rc == 0)
		rc = store_query(d->store, count_row, &bytes, &e, "SELECT coalesce(sum(size), 0) FROM layer", "");
	if (rc < 0) {
		json_decref(x.out);
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply_json(req, 200,
		       json_pack("{s:I, s:o, s:[]}", "LayersSize", (json_int_t)bytes, "Images", x.out, "BuildCache"));
}
