/* lease: root file systems for containers. */
#include <errno.h>
#include <stdio.h>

#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/records.h"
#include "imaged/stage.h"
#include "imaged/verified.h"
#include "lib/times.h"

/* Everything that rootfs_leased says. */
struct described {
	struct image image;
	struct reference named;
	json_t *config, *layers;
	char name[REFERENCE_TEXT];
};

static void described_clean(struct described *x)
{
	image_clean(&x->image);
	json_decref(x->config);
	json_decref(x->layers);
}

static bool fits_platform(const struct image *i, const char *platform)
{
	AUTO_FREE char *copy = xstrdup(platform);
	char *state = NULL;
	const char *os = strtok_r(copy, "/", &state), *arch = strtok_r(NULL, "/", &state),
		   *variant = strtok_r(NULL, "/", &state);

	if (os && !arch && !str_eq(os, "linux") && !str_eq(os, "windows")) {
		arch = os; /* an architecture alone is a platform, too */
		os = NULL;
	}
	return (!os || str_eq(os, i->os)) && (!arch || str_eq(arch, i->architecture)) &&
	       (!variant || !*i->variant || str_eq(variant, i->variant));
}

static int describe(struct imaged *d, const char *text, const char *platform, struct described *out, struct err *e)
{
	AUTO_FREE struct image_layer *layers = NULL;
	json_t *config = NULL;
	int rc = records_find(d, text, &out->image, &out->named, e);

	if (rc < 0)
		return rc;
	if (platform && *platform && !fits_platform(&out->image, platform))
		return err_http(e, 404,
				"image with reference %s was found but does not match the specified platform: wanted "
				"%s, actual: %s/%s",
				text, platform, out->image.os, out->image.architecture);
	ssize_t n = records_layers(d, out->image.id, &layers, e);
	if (n < 0)
		return (int)n;
	out->layers = json_array();
	for (ssize_t i = 0; i < n; i++) {
		if (!stage_has_layer(d, layers[i].diff_id))
			return err_http(e, 500, "layer %s is missing from the store; pouchd ctl image check repairs it",
					layers[i].diff_id);
		json_array_append_new(out->layers, json_string(digest_hex(layers[i].diff_id)));
	}
	rc = imageconf_load(d, out->image.id, &config, e);
	if (rc < 0)
		return rc;
	json_t *inner = imageconf_config(config);
	out->config = inner ? json_incref(inner) : json_object();
	json_decref(config);
	if (*out->named.domain)
		reference_full(&out->named, out->name);
	return 0;
}

static void answer(struct ipc_request *req, const struct described *x)
{
	struct rootfs_leased reply;

	ipc_init(IPC_rootfs_leased, &reply);
	reply.image = x->image.id;
	reply.name = *x->name ? x->name : NULL;
	/* An id names its content, as a digest does. */
	reply.by_digest = !*x->named.domain || *x->named.digest;
	reply.config.json = x->config;
	reply.layers.json = x->layers;
	reply.size = (uint64_t)x->image.size;
	ipc_reply(req, &reply);
}

void on_rootfs_lease(struct ipc_request *req, struct rootfs_lease *m, struct imaged *d)
{
	CLEANUP(described_clean) struct described x = {0};
	struct err e = {0};
	int rc = describe(d, m->image, m->platform, &x, &e);

	if (rc == 0)
		rc = verified_run(d, x.image.id, &x.named, &e);
	if (rc == 0)
		rc = store_exec(d->store, &e,
				"INSERT INTO lease VALUES (?, ?, ?) ON CONFLICT (container) DO UPDATE SET image = "
				"excluded.image",
				"tti", m->container, x.image.id, time_now());
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		answer(req, &x);
}

void on_image_resolve(struct ipc_request *req, struct image_resolve *m, struct imaged *d)
{
	CLEANUP(described_clean) struct described x = {0};
	struct err e = {0};

	if (describe(d, m->image, m->platform, &x, &e) < 0)
		ipc_reply_error(req, &e);
	else
		answer(req, &x);
}

void on_rootfs_release(struct ipc_request *req, struct rootfs_release *m, struct imaged *d)
{
	struct err e = {0};

	/* One that a power failure brings back goes with the next rootfs_reconcile: not worth waiting for the disk. */
	store_wait(d->store, false);
	int rc = store_exec(d->store, &e, "DELETE FROM lease WHERE container = ?", "t", m->container);
	store_wait(d->store, true);
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}

struct stale {
	json_t *alive, *list;
};

static int stale_row(void *arg, struct store_row *r)
{
	struct stale *s = arg;

	if (!json_object_get(s->alive, store_text(r, 0)))
		json_array_append_new(s->list, json_string(store_text(r, 0)));
	return 0;
}

void on_rootfs_reconcile(struct ipc_request *req, struct rootfs_reconcile *m, struct imaged *d)
{
	struct stale s = {.alive = m->containers.json, .list = json_array()};
	struct err e = {0};
	json_t *id;
	size_t i;
	int rc = store_query(d->store, stale_row, &s, &e, "SELECT container FROM lease", "");

	json_array_foreach(s.list, i, id)
		if (rc == 0)
			rc = store_exec(d->store, &e, "DELETE FROM lease WHERE container = ?", "t",
					json_string_value(id));
	json_decref(s.list);
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}
