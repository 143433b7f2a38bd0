/* deflate: a layer that was made here, compressed as registries' clients expect layers: gzip, by isa-l. */
#include <errno.h>
#include <isa-l/igzip_lib.h>

#include "imaged/unpack/inflate.h"
#include "imaged/unpack/source.h"
#include "imaged/unpack/worker.h"
#include "lib/fd.h"

#define OUT_BUFFER (256u << 10)
#define LEVEL	   2

struct deflating {
	struct source source;
	struct isal_zstream stream;
	unsigned char *tables, *out;
	struct digest digest;
	uint64_t bytes;
};

static void deflating_free(struct deflating *x)
{
	free(x->tables);
	free(x->out);
	digest_free(&x->digest);
	source_free(&x->source);
}

/* The same tar gives the same bytes: the header has neither name nor time. */
static void begin(struct deflating *x)
{
	x->out = xcalloc(1, OUT_BUFFER);
	x->tables = xcalloc(1, ISAL_DEF_LVL2_DEFAULT);
	digest_begin(&x->digest);
	isal_deflate_init(&x->stream);
	x->stream.level = LEVEL;
	x->stream.level_buf = x->tables;
	x->stream.level_buf_size = ISAL_DEF_LVL2_DEFAULT;
	x->stream.gzip_flag = IGZIP_GZIP;
	x->stream.next_out = x->out;
	x->stream.avail_out = OUT_BUFFER;
}

static int flush(struct deflating *x, int blob, struct err *e)
{
	size_t n = OUT_BUFFER - x->stream.avail_out;

	digest_add(&x->digest, x->out, n);
	int rc = fd_write_all(blob, x->out, n, e);
	digest_wait(&x->digest);
	x->bytes += n;
	x->stream.next_out = x->out;
	x->stream.avail_out = OUT_BUFFER;
	return rc;
}

static int compress_all(struct deflating *x, int blob, struct err *e)
{
	struct feed feed = source_feed(&x->source);
	const unsigned char *data;
	size_t len;
	int more;

	do {
		more = feed_next(&feed, &data, &len, e);
		if (more < 0)
			return more;
		x->stream.next_in = (unsigned char *)(uintptr_t)data;
		x->stream.avail_in = more ? (uint32_t)len : 0;
		x->stream.end_of_stream = !more;
		do {
			if (isal_deflate(&x->stream) != COMP_OK)
				return err_set(e, -EIO, "compression failed");
			if (x->stream.avail_out == 0 || !more) {
				int rc = flush(x, blob, e);
				if (rc < 0)
					return rc;
			}
		} while (x->stream.avail_in || (!more && x->stream.internal_state.state != ZSTATE_END));
	} while (more);
	return 0;
}

void on_layer_compress(struct ipc_request *req, struct layer_compress *m, struct worker *w)
{
	CLEANUP(deflating_free) struct deflating x = {0};
	char digest[DIGEST_TEXT];
	struct err e = {0};
	const struct source_config source = {
		.fd = m->file, .blob = -1, .watch = w->watch, .progress = worker_progress, .arg = req};

	source_begin(&x.source, &source);
	begin(&x);
	if (worker_narrow(-1, -1, &e) < 0 || compress_all(&x, m->blob, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	digest_text(&x.digest, digest);
	ipc_reply(req, &(struct layer_compressed){.digest = digest, .size = x.bytes});
}
