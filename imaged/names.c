/* names: giving names to images, and taking them; an image without names or containers goes. */
#include <errno.h>
#include <stdio.h>

#include "imaged/collect.h"
#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/records.h"
#include "imaged/verified.h"

void on_image_tag(struct ipc_request *req, struct image_tag *m, struct imaged *d)
{
	AUTO_IMAGE struct image image = {0};
	char full[REFERENCE_TEXT], before[DIGEST_TEXT_SIZE];
	struct reference r;
	struct err e = {0};
	int rc = records_find(d, m->name, &image, NULL, &e);

	if (rc == 0)
		rc = reference_parse(m->repo ? m->repo : "", default_registry(d), &r, &e);
	if (rc == 0 && *r.digest)
		rc = err_http(&e, 400, "refusing to create a tag with a digest reference");
	if (rc == 0 && m->tag && *m->tag)
		snprintf(r.tag, sizeof r.tag, "%s", m->tag);
	if (rc == 0)
		rc = guard_admit_image(req, reference_full(&r, full), false, &e);
	if (rc == 0)
		rc = verified_name(d, full, image.id, &e);
	if (rc == 0)
		rc = store_begin(d->store, &e);
	if (rc == 0) {
		rc = records_put_tag(d, full, image.id, before, &e);
		if (rc == 0)
			rc = store_commit(d->store, &e);
		if (rc < 0)
			store_rollback(d->store);
	}
	if (rc < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_request_object(req, "image", image.id);
	event_image(d, "tag", image.id, full);
	ipc_reply_json(req, 201, NULL);
}

/* ---- removing ---- */

struct removal {
	struct ipc_request *req;
	struct imaged *d;
	const struct image *image;
	struct reference named; /* what the request named; domain "" for an id */
	bool force;
	json_t *tags, *containers, *out;
};

static int conflict(const struct removal *x, struct err *e)
{
	const char *container = json_string_value(json_array_get(x->containers, 0));

	return err_http(e, 409,
			"conflict: unable to delete %.12s (cannot be forced) - image is being used by container %.12s",
			digest_hex(x->image->id), container ? container : "");
}

static int untag(struct removal *x, const char *full, struct err *e)
{
	char buf[REFERENCE_TEXT];
	bool digest = strchr(full, '@');
	int rc = digest ? store_exec(x->d->store, e, "DELETE FROM digest WHERE name = ? AND image = ?", "tt", full,
				     x->image->id)
			: store_exec(x->d->store, e, "DELETE FROM tag WHERE name = ?", "t", full);

	if (rc < 0)
		return rc;
	json_array_append_new(x->out,
			      json_pack("{s:s}", "Untagged", reference_familiar(full, default_registry(x->d), buf)));
	event_image(x->d, "untag", x->image->id, x->image->id);
	return 0;
}

/* The one name; the image goes with its last, unless a container has it. */
static int remove_name(struct removal *x, bool *last, struct err *e)
{
	char full[REFERENCE_TEXT], shown[REFERENCE_TEXT];
	bool digest = *x->named.digest;

	*last = json_array_size(x->tags) <= (digest ? 0 : 1);
	if (*last && json_array_size(x->containers)) {
		if (!x->force)
			return err_http(
				e, 409,
				"conflict: unable to remove repository reference \"%s\" (must force) - container %.12s "
				"is using "
				"its referenced image %.12s",
				reference_familiar(reference_full(&x->named, full), default_registry(x->d), shown),
				json_string_value(json_array_get(x->containers, 0)), digest_hex(x->image->id));
		*last = false;
	}
	return digest ? untag(x, reference_by_digest(&x->named, x->named.digest, full), e)
		      : untag(x, reference_full(&x->named, full), e);
}

static int remove_id(struct removal *x, struct err *e)
{
	json_t *name;
	size_t i;
	int rc = 0;

	if (json_array_size(x->containers))
		return conflict(x, e);
	if (json_array_size(x->tags) > 1 && !x->force)
		return err_http(e, 409,
				"conflict: unable to delete %.12s (must be forced) - image is referenced in multiple "
				"repositories",
				digest_hex(x->image->id));
	json_array_foreach(x->tags, i, name) if (rc == 0) rc = untag(x, json_string_value(name), e);
	return rc;
}

static int remove_image(struct removal *x, struct err *e)
{
	bool last = true;
	int rc = *x->named.domain ? remove_name(x, &last, e) : remove_id(x, e);

	if (rc < 0 || !last)
		return rc;
	json_t *digests = records_digests(x->d, x->image->id), *name;
	size_t i;
	json_array_foreach(digests, i, name) if (rc == 0) rc = untag(x, json_string_value(name), e);
	json_decref(digests);
	if (rc == 0)
		rc = collect_image(x->d, x->image->id, x->out, e);
	if (rc == 0)
		event_image(x->d, "delete", x->image->id, x->image->id);
	return rc;
}

void on_image_remove(struct ipc_request *req, struct image_remove *m, struct imaged *d)
{
	AUTO_IMAGE struct image image = {0};
	struct removal x = {.req = req, .d = d, .image = &image, .force = m->force, .out = json_array()};
	struct err e = {0};
	int rc = records_find(d, m->name, &image, &x.named, &e);

	if (rc == 0) {
		x.tags = records_tags(d, image.id);
		x.containers = records_containers(d, image.id);
		ipc_request_object(req, "image", image.id);
		rc = remove_image(&x, &e);
	}
	json_decref(x.tags);
	json_decref(x.containers);
	if (rc == 0) {
		ipc_reply_json(req, 200, x.out);
		return;
	}
	json_decref(x.out);
	ipc_reply_error(req, &e);
}
