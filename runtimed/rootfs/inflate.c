/* inflate: archives that come compressed, recognised by their first bytes as Docker does: gzip, bzip2, xz, zstd. */
#include <bzlib.h>
#include <errno.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define MEMORY_MAX  (96u << 20) /* of one decoder */
#define WINDOW_BITS 26		/* zstd's */

struct inflate {
	const struct codec *codec;
	void *state;
	bool whole; /* nothing has come behind the end of a member */
};

/* Both are moved on by what is taken and made. */
struct span {
	const char *in;
	size_t in_len;
	char *out;
	size_t out_len;
};

struct codec {
	const char *name, *magic;
	size_t magic_len;
	void *(*begin)(void);
	int (*step)(void *state, struct span *s); /* 1: the end of a member; another may follow. -EBADMSG */
	void (*end)(void *state);
};

/* ---- gzip ---- */

static void *gzip_begin(void)
{
	z_stream *z = XNEW(z_stream);

	if (inflateInit2(z, 16 + MAX_WBITS) != Z_OK)
		abort(); /* out of memory */
	return z;
}

static int gzip_step(void *state, struct span *s)
{
	z_stream *z = state;

	z->next_in = (Bytef *)(uintptr_t)s->in;
	z->avail_in = (uInt)s->in_len;
	z->next_out = (Bytef *)s->out;
	z->avail_out = (uInt)s->out_len;
	int r = inflate(z, Z_NO_FLUSH);
	s->in += s->in_len - z->avail_in;
	s->in_len = z->avail_in;
	s->out_len = z->avail_out;
	if (r == Z_STREAM_END)
		return inflateReset(z) == Z_OK ? 1 : -EBADMSG;
	return r == Z_OK || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}

static void gzip_end(void *state)
{
	inflateEnd(state);
	free(state);
}

/* ---- bzip2 ---- */

static void *bzip2_begin(void)
{
	bz_stream *b = XNEW(bz_stream);

	if (BZ2_bzDecompressInit(b, 0, 0) != BZ_OK)
		abort(); /* out of memory */
	return b;
}

static int bzip2_step(void *state, struct span *s)
{
	bz_stream *b = state;

	b->next_in = (char *)(uintptr_t)s->in;
	b->avail_in = (unsigned)s->in_len;
	b->next_out = s->out;
	b->avail_out = (unsigned)s->out_len;
	int r = BZ2_bzDecompress(b);
	s->in += s->in_len - b->avail_in;
	s->in_len = b->avail_in;
	s->out_len = b->avail_out;
	if (r != BZ_STREAM_END)
		return r == BZ_OK ? 0 : -EBADMSG;
	BZ2_bzDecompressEnd(b);
	*b = (bz_stream){0};
	return BZ2_bzDecompressInit(b, 0, 0) == BZ_OK ? 1 : -EBADMSG;
}

static void bzip2_end(void *state)
{
	BZ2_bzDecompressEnd(state);
	free(state);
}

/* ---- xz ---- */

static void *xz_begin(void)
{
	lzma_stream *x = xmemdup(&(lzma_stream)LZMA_STREAM_INIT, sizeof *x);

	if (lzma_stream_decoder(x, MEMORY_MAX, 0) != LZMA_OK)
		abort(); /* out of memory */
	return x;
}

static int xz_step(void *state, struct span *s)
{
	lzma_stream *x = state;

	x->next_in = (const uint8_t *)s->in;
	x->avail_in = s->in_len;
	x->next_out = (uint8_t *)s->out;
	x->avail_out = s->out_len;
	lzma_ret r = lzma_code(x, LZMA_RUN);
	s->in += s->in_len - x->avail_in;
	s->in_len = x->avail_in;
	s->out_len = x->avail_out;
	if (r == LZMA_STREAM_END)
		return lzma_stream_decoder(x, MEMORY_MAX, 0) == LZMA_OK ? 1 : -EBADMSG;
	return r == LZMA_OK || r == LZMA_BUF_ERROR ? 0 : -EBADMSG;
}

static void xz_end(void *state)
{
	lzma_end(state);
	free(state);
}

/* ---- zstd ---- */

static void *zstd_begin(void)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();

	if (!z)
		abort(); /* out of memory */
	ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_BITS);
	return z;
}

static int zstd_step(void *state, struct span *s)
{
	ZSTD_inBuffer in = {s->in, s->in_len, 0};
	ZSTD_outBuffer out = {s->out, s->out_len, 0};
	size_t r = ZSTD_decompressStream(state, &out, &in);

	s->in += in.pos;
	s->in_len -= in.pos;
	s->out_len -= out.pos;
	return ZSTD_isError(r) ? -EBADMSG : r == 0;
}

static void zstd_end(void *state)
{
	ZSTD_freeDCtx(state);
}

/* ---- all of them ---- */

static const struct codec codecs[] = {
	{"gzip", "\x1f\x8b", 2, gzip_begin, gzip_step, gzip_end},
	{"bzip2", "BZh", 3, bzip2_begin, bzip2_step, bzip2_end},
	{"xz",
	 "\xfd"
	 "7zXZ",
	 6, xz_begin, xz_step, xz_end},
	{"zstd", "\x28\xb5\x2f\xfd", 4, zstd_begin, zstd_step, zstd_end},
};

struct inflate *inflate_new(const char *first, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		const struct codec *c = &codecs[i];
		if (len < c->magic_len || memcmp(first, c->magic, c->magic_len) != 0)
			continue;
		struct inflate *x = XNEW(struct inflate);
		*x = (struct inflate){c, c->begin(), false};
		return x;
	}
	return NULL;
}

ssize_t inflate_some(struct inflate *x, const char **in, size_t *in_len, char *out, size_t len, struct err *e)
{
	struct span s = {*in, *in_len, out, len};
	int r = x->codec->step(x->state, &s);

	if (r > 0)
		x->whole = true;
	else if (s.in > *in || s.out_len < len)
		x->whole = false;
	*in = s.in;
	*in_len = s.in_len;
	if (r < 0)
		return err_http(e, 400, "the archive is damaged, or not %s as it says", x->codec->name);
	return (ssize_t)(len - s.out_len);
}

int inflate_end(const struct inflate *x, struct err *e)
{
	return x->whole ? 0 : err_http(e, 400, "unexpected end of the archive's %s", x->codec->name);
}

void inflate_free(struct inflate *x)
{
	if (!x)
		return;
	x->codec->end(x->state);
	free(x);
}
