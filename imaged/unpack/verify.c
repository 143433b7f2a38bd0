/* verify: is a layer's blob what its name says, and are the layer's files what is in it? */
#include <errno.h>
#include <stdio.h>

#include "imaged/unpack/compare.h"
#include "imaged/unpack/layer.h"
#include "imaged/unpack/worker.h"

/* The blob, by unpacking it. Without limits: it has been let in. */
static int read_blob(struct unpacking *u, const struct layer_verify *m, struct err *e)
{
	const struct layer_unpack again = {.dir = m->fresh, .digest = m->digest, .diff_id = m->diff_id};
	int rc = worker_narrow(m->fresh, m->dir, e);

	return rc < 0 ? rc : unpacking_run(u, &again, e);
}

/* What is wrong with the blob is an answer; what keeps this process from looking is a failure. */
static bool is_finding(int rc)
{
	return rc == -EBADMSG || rc == -EINVAL || rc == -EFBIG;
}

void on_layer_verify(struct ipc_request *req, struct layer_verify *m, struct worker *w)
{
	AUTO_UNPACKING struct unpacking u = {0};
	struct compare c = {.repair = m->repair};
	struct layer_verified reply = {.whole = true};
	struct err e = {0};
	const struct source_config config = {
		.fd = m->file, .blob = -1, .watch = w->watch, .hashing = true, .progress = worker_progress, .arg = req};

	source_begin(&u.source, &config);
	int rc = read_blob(&u, m, &e);
	if (rc == 0 && m->dir >= 0)
		rc = compare_trees(&c, m->dir, m->fresh, &e);
	if (rc < 0 && !is_finding(rc)) {
		ipc_reply_error(req, &e);
		return;
	}
	reply.whole = rc == 0;
	reply.differences = c.differences;
	reply.repaired = c.repaired;
	reply.problem = rc < 0 ? e.text : c.first;
	e.text[999] = '\0';
	ipc_reply(req, &reply);
}
