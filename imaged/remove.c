/*
 * remove: DELETE /images/{name}. A name goes, and with its last the image, unless a container or an image that was made
 * from it needs it.
 */
#include <errno.h>
#include <stdio.h>

#include "imaged/collect.h"
#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/records.h"
#include "ipc/ask.h"

struct removal {
	struct ipc_request *req;
	struct imaged *d;
	const struct image *image;
	struct reference named; /* what the request named; domain "" for an id */
	bool force;
	json_t *tags, *digests, *containers, *out;
	const json_t *running; /* of the containers */
	int64_t children;
};

static int conflict(const struct removal *x, const char *force, const char *why, struct err *e)
{
	return err_http(e, 409, "conflict: unable to delete %.12s (%s) - %s", digest_hex(x->image->id), force, why);
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
	event_image(x->d, "untag", x->image->id, NULL);
	return 0;
}

static int untag_all(struct removal *x, const json_t *names, struct err *e)
{
	json_t *name;
	size_t i;
	int rc = 0;

	json_array_foreach(names, i, name)
		if (rc == 0)
			rc = untag(x, json_string_value(name), e);
	return rc;
}

/* A repository whose last tag of the image has gone has no use for its digests. */
static int untag_digests_of(struct removal *x, const char *gone, struct err *e)
{
	char repository[REFERENCE_TEXT];
	const size_t n = strlen(reference_repository(&x->named, repository));
	json_t *name;
	size_t i;
	int rc = 0;

	json_array_foreach(x->tags, i, name) {
		const char *text = json_string_value(name);
		if (!str_eq(text, gone) && strncmp(text, repository, n) == 0 && text[n] == ':')
			return 0;
	}
	json_array_foreach(x->digests, i, name) {
		const char *text = json_string_value(name);
		if (rc == 0 && strncmp(text, repository, n) == 0 && text[n] == '@')
			rc = untag(x, text, e);
	}
	return rc;
}

/* The one name. *last: with it all names go. */
static int remove_name(struct removal *x, bool *last, struct err *e)
{
	char full[REFERENCE_TEXT], shown[REFERENCE_TEXT];
	bool digest = *x->named.digest;

	*last = json_array_size(x->tags) <= (digest ? 0 : 1);
	if (*last && json_array_size(x->containers) && !x->force)
		return err_http(e, 409,
				"conflict: unable to remove repository reference \"%s\" (must force) - container %.12s "
				"is using its referenced image %.12s",
				reference_familiar(reference_full(&x->named, full), default_registry(x->d), shown),
				json_string_value(json_array_get(x->containers, 0)), digest_hex(x->image->id));
	if (*last && digest)
		return 0;
	if (digest)
		return untag(x, reference_by_digest(&x->named, x->named.digest, full), e);
	int rc = untag(x, reference_full(&x->named, full), e);
	return rc < 0 || *last ? rc : untag_digests_of(x, full, e);
}

static int used_by(const struct removal *x, const char *force, const char *state, const json_t *container,
		   struct err *e)
{
	AUTO_FREE char *why =
		xasprintf("image is being used by %s container %.12s", state, json_string_value(container));

	return conflict(x, force, why, e);
}

/* All names. Force takes them from an image that a stopped container has; the image itself stays as long as that. */
static int remove_id(struct removal *x, struct err *e)
{
	const json_t *container = json_array_get(x->containers, 0), *running = json_array_get(x->running, 0);
	bool named = json_array_size(x->tags) + json_array_size(x->digests) > 0;

	if (x->children)
		return conflict(x, "cannot be forced", "image has dependent child images", e);
	if (running)
		return used_by(x, "cannot be forced", "running", running, e);
	if (json_array_size(x->tags) > 1 && !x->force)
		return conflict(x, "must be forced", "image is referenced in multiple repositories", e);
	if (container && !(x->force && named))
		return used_by(x, named ? "must be forced" : "cannot be forced", "stopped", container, e);
	return untag_all(x, x->tags, e);
}

static int remove_record(struct removal *x, const char *id, struct err *e)
{
	int rc = collect_image(x->d, id, x->out, e);

	if (rc == 0)
		event_image(x->d, "delete", id, NULL);
	return rc;
}

/* What it was made from goes, too, when nothing else needs it; and so on upwards. */
static int remove_parents(struct removal *x, struct err *e)
{
	const char *parent = x->image->parent ? x->image->parent : "";
	char id[DIGEST_TEXT_SIZE];
	int rc = 0;

	snprintf(id, sizeof id, "%s", parent);
	while (rc == 0 && *id) {
		AUTO_IMAGE struct image up = {0};
		int64_t needed = 1;
		if (records_image(x->d, id, &up, NULL) < 0)
			return 0;
		rc = store_number(x->d->store, 1, &needed, e,
				  "SELECT EXISTS (SELECT 1 FROM tag WHERE image = ?1) OR EXISTS (SELECT 1 FROM digest "
				  "WHERE image = ?1) OR EXISTS (SELECT 1 FROM lease WHERE image = ?1) OR EXISTS "
				  "(SELECT 1 FROM image WHERE parent = ?1)",
				  "t", id);
		if (rc < 0 || needed)
			return rc;
		rc = remove_record(x, id, e);
		snprintf(id, sizeof id, "%s", up.parent ? up.parent : "");
	}
	return rc;
}

static int remove_image(struct removal *x, bool prune, struct err *e)
{
	bool last = true;
	int rc = *x->named.domain ? remove_name(x, &last, e) : remove_id(x, e);

	if (rc == 0 && last)
		rc = untag_all(x, x->digests, e);
	if (rc < 0 || !last || json_array_size(x->containers) || x->children)
		return rc;
	rc = remove_record(x, x->image->id, e);
	return rc == 0 && prune ? remove_parents(x, e) : rc;
}

static int look(struct removal *x, struct image *image, const char *name, struct err *e)
{
	int rc = records_find(x->d, name, image, &x->named, e);

	x->image = image;
	if (rc == 0)
		rc = store_number(x->d->store, 0, &x->children, e, "SELECT count(*) FROM image WHERE parent = ?", "t",
				  image->id);
	if (rc < 0)
		return rc;
	x->tags = records_tags(x->d, image->id);
	x->digests = records_digests(x->d, image->id);
	x->containers = records_containers(x->d, image->id);
	return 0;
}

static void removal_clean(struct removal *x)
{
	json_decref(x->tags);
	json_decref(x->digests);
	json_decref(x->containers);
	json_decref(x->out);
}

/* running: the image's containers that run; NULL: it is not known that there are any. */
static void remove_now(struct ipc_request *req, struct imaged *d, const json_t *running);

/* ---- which of its containers run, runtimed knows ---- */

static void on_running(struct ipc_request *req, void *reply, void *arg)
{
	const struct containers_that_run *m = reply;

	remove_now(req, arg, m->containers.json);
}

static int ask_running(const struct removal *x, struct err *e)
{
	struct containers_running m = {.containers.json = x->containers};

	return ipc_ask(x->req, x->d->runtimed, IPC_containers_running, &m, on_running, x->d, e);
}

/* ---- the request ---- */

static void remove_now(struct ipc_request *req, struct imaged *d, const json_t *running)
{
	const struct image_remove *m = ipc_request_msg(req);
	AUTO_IMAGE struct image image = {0};
	CLEANUP(removal_clean)
	struct removal x = {.req = req, .d = d, .force = m->force, .running = running, .out = json_array()};
	struct err e = {0};
	int rc = look(&x, &image, m->name, &e);

	if (rc == 0 && !running && json_array_size(x.containers)) {
		rc = ask_running(&x, &e);
		if (rc == 0)
			return;
	}
	if (rc == 0) {
		ipc_request_object(req, "image", image.id);
		rc = remove_image(&x, !m->noprune, &e);
	}
	if (rc == 0)
		ipc_reply_json(req, 200, STEAL(x.out));
	else
		ipc_reply_error(req, &e);
}

void on_image_remove(struct ipc_request *req, struct image_remove *m, struct imaged *d)
{
	(void)m;
	remove_now(req, d, NULL);
}
