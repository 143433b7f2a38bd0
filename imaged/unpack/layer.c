#include "imaged/unpack/layer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "imaged/unpack/worker.h"

void unpacking_free(struct unpacking *u)
{
	place_free(u->place);
	tar_free(&u->tar);
	inflate_free(&u->inflate);
	source_free(&u->source);
}

const char *unpacking_diff_id(const struct unpacking *u)
{
	return u->inflate.kind == INFLATE_NONE ? u->source.hash : u->inflate.hash;
}

/* An archive that does not name its root gets what directories get that are not named. */
static int prepare_root(int dir, struct err *e)
{
	if (fchown(dir, 0, 0) < 0 || fchmod(dir, 0755) < 0)
		return err_sys(e, -errno, "the layer's directory");
	return 0;
}

static int each_entry(struct unpacking *u, struct err *e)
{
	const struct tar_entry *x;
	int rc;

	while ((rc = tar_next(&u->tar, &x, e)) > 0) {
		rc = place_entry(u->place, &u->tar, x, e);
		if (rc < 0)
			return rc;
	}
	if (rc == 0)
		rc = tar_drain(&u->tar, e);
	return rc < 0 ? rc : place_finish(u->place, e);
}

static int check_digests(const struct unpacking *u, const struct layer_unpack *m, struct err *e)
{
	if (m->digest && !str_eq(m->digest, u->source.hash))
		return err_set(e, -EBADMSG, "wrong content: the bytes are %s, not %s", u->source.hash, m->digest);
	if (m->diff_id && !str_eq(m->diff_id, unpacking_diff_id(u)))
		return err_set(e, -EBADMSG, "wrong content: the layer's tar is %s, not %s as the image's config says",
			       unpacking_diff_id(u), m->diff_id);
	return 0;
}

int unpacking_run(struct unpacking *u, const struct layer_unpack *m, struct err *e)
{
	const struct place_config place = {.dir = m->dir, .max_entries = m->max_entries, .min_free = m->min_free};

	inflate_begin(&u->inflate, source_feed(&u->source), true, m->max_expanded, m->max_ratio);
	tar_begin(&u->tar, inflate_feed(&u->inflate), m->max_path ? m->max_path : 4095);
	place_begin(&u->place, &place);
	int rc = prepare_root(m->dir, e);
	if (rc == 0)
		rc = each_entry(u, e);
	return rc < 0 ? rc : check_digests(u, m, e);
}

void on_layer_unpack(struct ipc_request *req, struct layer_unpack *m, struct worker *w)
{
	AUTO_UNPACKING struct unpacking u = {0};
	struct err e = {0};
	const struct source_config source = {
		.fd = m->pipe >= 0 ? m->pipe : m->file,
		.blob = m->blob,
		.watch = w->watch,
		.size = m->size,
		.max_bytes = m->max_bytes,
		.stall_ms = m->stall_ms,
		.hashing = !m->known,
		.progress = worker_progress,
		.arg = req,
	};

	if ((m->pipe >= 0) == (m->file >= 0)) {
		ipc_fail(req, 400, "a layer comes from a pipe or a file");
		return;
	}
	source_begin(&u.source, &source);
	if (m->known)
		snprintf(u.source.hash, sizeof u.source.hash, "%s", m->known);
	if (worker_narrow(m->dir, -1, &e) < 0 || unpacking_run(&u, m, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply(req, &(struct layer_unpacked){
			       .digest = u.source.hash,
			       .diff_id = unpacking_diff_id(&u),
			       .size = u.source.bytes,
			       .expanded = place_bytes(u.place),
			       .entries = place_entries(u.place),
			       .compression = inflate_name(&u.inflate),
		       });
}
