/* verify: is a blob what its name says? */
#include <errno.h>

#include "imaged/unpack/inflate.h"
#include "imaged/unpack/source.h"
#include "imaged/unpack/worker.h"

static int read_through(struct inflate *inflate, struct err *e)
{
	const struct feed feed = inflate_feed(inflate);
	const unsigned char *data;
	size_t len;
	int rc;

	do
		rc = feed_next(&feed, &data, &len, e);
	while (rc > 0);
	return rc;
}

static int verify(struct source *source, struct inflate *inflate, const struct layer_verify *m, struct err *e)
{
	inflate_begin(inflate, source_feed(source), true, 0, 0);
	int rc = worker_narrow(m->dir, e);
	if (rc == 0)
		rc = read_through(inflate, e);
	if (rc < 0)
		return rc;
	if (!str_eq(source->hash, m->digest))
		return err_set(e, -EBADMSG, "the content is %s", source->hash);
	if (m->diff_id && !str_eq(inflate->hash, m->diff_id))
		return err_set(e, -EBADMSG, "the tar in it is %s", inflate->hash);
	return 0;
}

void on_layer_verify(struct ipc_request *req, struct layer_verify *m, struct worker *w)
{
	AUTO_SOURCE struct source source = {0};
	AUTO_INFLATE struct inflate inflate = {0};
	struct err e = {0};
	const struct source_config config = {
		.fd = m->file, .blob = -1, .watch = w->watch, .progress = worker_progress, .arg = req};

	source_begin(&source, &config);
	int rc = verify(&source, &inflate, m, &e);
	if (rc < 0 && rc != -EBADMSG && rc != -EINVAL) {
		ipc_reply_error(req, &e);
		return;
	}
	e.text[999] = '\0';
	ipc_reply(req, &(struct layer_verified){.problem = e.text});
}
