#include "imaged/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "imaged/collect.h"
#include "imaged/handlers.h"
#include "imaged/stage.h"
#include "imaged/worker.h"

#define FOUND_MAX 10000

void check_found(struct check *x, const char *kind, const char *id, bool repaired, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	if (json_array_size(x->damaged) >= FOUND_MAX)
		return;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	json_array_append_new(x->damaged, json_pack("{s:s, s:s, s:s, s:b}", "Kind", kind, "Id", id, "Problem", text,
						    "Repaired", repaired));
}

/* While a worker looks at it. */
static void hold_layer(struct check *x, int by)
{
	collect_hold(x->d, x->layer.diff_id, by);
	collect_hold(x->d, x->layer.blob, by);
}

static void check_free(struct check *x)
{
	if (x->work)
		hold_layer(x, -1);
	worker_cancel(x->work);
	stage_drop_layer(x->d, x->fresh);
	event_free(x->turn);
	json_decref(x->blobs);
	json_decref(x->layers);
	json_decref(x->images);
	json_decref(x->damaged);
	x->d->check = NULL;
	free(x);
}

static void check_end(struct check *x)
{
	json_t *report = json_pack("{s:I, s:I, s:I, s:O}", "Blobs",
				   (json_int_t)(json_array_size(x->blobs) + json_array_size(x->layers)), "Layers",
				   (json_int_t)json_array_size(x->layers), "Images",
				   (json_int_t)json_array_size(x->images), "Damaged", x->damaged);
	struct image_checked reply = {.report.json = report};

	ipc_reply(x->req, &reply);
	json_decref(report);
	check_free(x);
}

static void check_fail(struct check *x, const struct err *e)
{
	ipc_reply_error(x->req, e);
	check_free(x);
}

static void on_gone(struct ipc_request *req, void *arg)
{
	(void)req;
	check_fail(arg, &(struct err){.code = -ECANCELED, .text = "nobody waits for the check any more"});
}

/* ---- a layer, by a worker ---- */

static void lost_blob(struct check *x, const char *what, const char *why)
{
	if (x->repair)
		stage_remove_blob(x->d, x->layer.blob);
	check_found(x, "blob", x->layer.blob, false, "%s%s%s", what, why,
		    x->repair ? "; it is put out of the way: pull or load its image again" : "");
}

static void judge_layer(struct check *x, const struct layer_verified *m)
{
	struct err e = {0};
	bool repaired = x->repair && m->repaired == m->differences;

	if (!m->whole) {
		lost_blob(x, "wrong content: ", m->problem);
	} else if (x->missing) {
		repaired = x->repair && stage_keep_layer(x->d, x->fresh, x->layer.diff_id, &e) == 0 &&
			   stage_sync_names(x->d, &e) == 0;
		if (repaired)
			*x->fresh = '\0';
	} else if (m->differences) {
		check_found(x, "layer", x->layer.diff_id, repaired, "%u files differ from the blob's, the first: %s",
			    m->differences, m->problem);
	}
	if (x->missing)
		check_found(x, "layer", x->layer.diff_id, repaired, "its directory is missing");
}

static void on_verified(void *arg, void *reply, const struct err *e)
{
	struct check *x = arg;

	x->work = NULL;
	if (e)
		check_found(x, "layer", x->layer.diff_id, false, "it could not be looked at: %s", e->text);
	else
		judge_layer(x, reply);
	stage_drop_layer(x->d, x->fresh);
	hold_layer(x, -1);
	event_active(x->turn, EV_TIMEOUT, 0);
}

static const struct worker_events verify_events = {.done = on_verified};

static int verify_layer(struct check *x, struct err *e)
{
	AUTO_CLOSE int file = stage_open_blob(x->d, x->layer.blob, e);
	AUTO_CLOSE int dir = stage_open_layer(x->d, x->layer.diff_id);
	struct layer_verify m;

	x->missing = dir < 0;
	if (file < 0 || stage_check_space(x->d, e) < 0)
		return e->code;
	AUTO_CLOSE int fresh = stage_layer(x->d, x->fresh, e);
	if (fresh < 0)
		return fresh;
	ipc_init(IPC_layer_verify, &m);
	m.file = file;
	m.dir = dir;
	m.fresh = fresh;
	m.digest = x->layer.blob;
	m.diff_id = x->layer.diff_id;
	m.repair = x->repair;
	x->work = worker_call(x->d, IPC_layer_verify, &m, &verify_events, x, e);
	return x->work ? 0 : e->code;
}

/* True: a worker is at it, and goes on. */
static bool check_layer(struct check *x, const char *diff_id)
{
	struct err e = {0};

	/* It may have gone since the list was made. */
	if (records_layer(x->d, diff_id, &x->layer, &e) < 0)
		return false;
	int rc = verify_layer(x, &e);
	if (rc == 0) {
		hold_layer(x, 1);
		return true;
	}
	stage_drop_layer(x->d, x->fresh);
	if (rc == -ENOENT)
		lost_blob(x, "it is missing", "");
	else
		check_found(x, "layer", diff_id, false, "it could not be looked at: %s", e.text);
	if (x->missing)
		check_found(x, "layer", diff_id, false, "its directory is missing");
	return false;
}

/* ---- one after the other ---- */

static const char *nth(const struct check *x, const json_t **of)
{
	const json_t *lists[] = {x->blobs, x->images, x->layers};
	size_t at = x->at;

	for (size_t i = 0; i < ARRAY_LEN(lists); at -= json_array_size(lists[i++])) {
		*of = lists[i];
		if (at < json_array_size(lists[i]))
			return json_string_value(json_array_get(lists[i], at));
	}
	return NULL;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct check *x = arg;
	const json_t *of = NULL;
	const char *name = nth(x, &of);

	(void)fd;
	(void)what;
	if (!name) {
		check_end(x);
		return;
	}
	x->at++;
	if (of == x->blobs)
		check_blob(x, name);
	else if (of == x->images)
		check_image(x, name);
	else if (check_layer(x, name))
		return;
	event_active(x->turn, EV_TIMEOUT, 0);
}

static int name_row(void *arg, struct store_row *r)
{
	json_array_append_new(arg, json_string(store_text(r, 0)));
	return 0;
}

static int check_begin(struct check *x, struct err *e)
{
	int rc = check_strays(x, e);

	if (rc == 0)
		rc = store_query(x->d->store, name_row, x->blobs, e,
				 "SELECT digest FROM blob WHERE digest NOT IN (SELECT blob FROM layer)", "");
	if (rc == 0)
		rc = store_query(x->d->store, name_row, x->images, e, "SELECT id FROM image", "");
	return rc < 0 ? rc : store_query(x->d->store, name_row, x->layers, e, "SELECT diff_id FROM layer", "");
}

void on_image_check(struct ipc_request *req, struct image_check *m, struct imaged *d)
{
	struct err e = {0};

	if (d->check) {
		ipc_fail(req, 409, "a check is running already");
		return;
	}
	struct check *x = XNEW(struct check);
	*x = (struct check){.d = d,
			    .req = req,
			    .repair = m->repair,
			    .blobs = json_array(),
			    .layers = json_array(),
			    .images = json_array(),
			    .damaged = json_array()};
	x->turn = event_new(d->daemon.base, -1, 0, on_turn, x);
	d->check = x;
	if (check_begin(x, &e) < 0) {
		check_fail(x, &e);
		return;
	}
	ipc_request_on_cancel(req, on_gone, x);
	event_active(x->turn, EV_TIMEOUT, 0);
}
