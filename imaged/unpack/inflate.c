#include "imaged/unpack/inflate.h"

#include <errno.h>
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "lib/util.h"

#define BUFFER	   (256u << 10)
#define RATIO_FROM (16u << 20)
#define WINDOW_LOG 27 /* 128 MiB, what zstd(1) itself accepts unasked */

void inflate_begin(struct inflate *s, struct feed from, bool hashing, uint64_t max_out, uint32_t max_ratio)
{
	*s = (struct inflate){.from = from, .hashing = hashing, .max_out = max_out, .max_ratio = max_ratio};
	if (hashing)
		digest_begin(&s->digest);
}

void inflate_free(struct inflate *s)
{
	free(s->buffer);
	free(s->gzip);
	ZSTD_freeDCtx(s->zstd);
	digest_free(&s->digest);
	s->buffer = NULL;
	s->gzip = NULL;
	s->zstd = NULL;
}

const char *inflate_name(const struct inflate *s)
{
	return s->kind == INFLATE_GZIP ? "gzip" : s->kind == INFLATE_ZSTD ? "zstd" : "none";
}

/* ---- which compression ---- */

static const struct {
	enum inflate_kind kind;
	size_t len;
	unsigned char magic[6];
	const char *refused;
} magics[] = {
	{INFLATE_GZIP, 3, {0x1f, 0x8b, 0x08}, NULL},
	{INFLATE_ZSTD, 4, {0x28, 0xb5, 0x2f, 0xfd}, NULL},
	{INFLATE_UNKNOWN, 6, {0xfd, '7', 'z', 'X', 'Z', 0x00}, "xz"},
	{INFLATE_UNKNOWN, 3, {'B', 'Z', 'h'}, "bzip2"},
};

static int more_input(struct inflate *s, struct err *e)
{
	if (s->in_ended)
		return 0;
	int rc = feed_next(&s->from, &s->in, &s->in_len, e);
	if (rc <= 0)
		s->in_len = 0;
	if (rc == 0)
		s->in_ended = true;
	if (rc > 0)
		s->in_total += s->in_len;
	return rc;
}

static int start_kind(struct inflate *s, struct err *e)
{
	s->kind = INFLATE_NONE;
	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		if (s->in_len < magics[i].len || memcmp(s->in, magics[i].magic, magics[i].len) != 0)
			continue;
		if (magics[i].refused)
			return err_set(e, -EINVAL, "%s compression is not supported: use gzip, zstd or none",
				       magics[i].refused);
		s->kind = magics[i].kind;
	}
	if (s->kind != INFLATE_NONE)
		s->buffer = xcalloc(2, BUFFER);
	else
		s->hashing = false;
	if (s->kind == INFLATE_GZIP) {
		s->gzip = XNEW(struct inflate_state);
	} else if (s->kind == INFLATE_ZSTD) {
		s->zstd = ZSTD_createDCtx();
		if (!s->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
			return err_set(e, -ENOMEM, "zstd: out of memory");
	}
	return 0;
}

/* The first bytes decide; a pipe may give them one at a time. */
static int recognise(struct inflate *s, struct err *e)
{
	int rc = more_input(s, e);

	if (rc < 0)
		return rc;
	if (s->in_len >= sizeof s->head || s->in_ended)
		return start_kind(s, e);
	while (s->head_len + s->in_len < sizeof s->head && !s->in_ended) {
		memcpy(s->head + s->head_len, s->in, s->in_len);
		s->head_len += s->in_len;
		rc = more_input(s, e);
		if (rc < 0)
			return rc;
	}
	/* Put the pieces together in memory of our own; the rest of the last one follows. */
	size_t len = s->head_len + s->in_len;
	unsigned char *joined = xcalloc(1, len);
	memcpy(joined, s->head, s->head_len);
	if (s->in_len)
		memcpy(joined + s->head_len, s->in, s->in_len);
	s->in = joined;
	s->in_len = len;
	rc = start_kind(s, e);
	if (s->kind == INFLATE_NONE || rc < 0) {
		/* Handed out as it is: `buffer` owns it. */
		s->buffer = joined;
	} else {
		unsigned char *out = xrealloc(s->buffer, 2 * BUFFER + len, 1);
		memcpy(out + 2 * BUFFER, joined, len);
		free(joined);
		s->buffer = out;
		s->in = out + 2 * BUFFER;
	}
	return rc;
}

/* ---- one step of each ---- */

static int step_gzip(struct inflate *s, size_t *out, struct err *e)
{
	if (!s->member_open) {
		/* Padding behind the last member is zeros; anything else must be another member. */
		if (s->in_total != s->in_len && s->in[0] != 0x1f) {
			for (size_t i = 0; i < s->in_len; i++)
				if (s->in[i])
					return err_set(e, -EBADMSG, "gzip: rubbish behind the end");
			s->in_len = 0;
			*out = 0;
			return 0;
		}
		isal_inflate_init(s->gzip);
		s->gzip->crc_flag = ISAL_GZIP;
		s->member_open = true;
	}
	s->gzip->next_in = (uint8_t *)(uintptr_t)s->in;
	s->gzip->avail_in = (uint32_t)s->in_len;
	s->gzip->next_out = s->out;
	s->gzip->avail_out = BUFFER;
	int rc = isal_inflate(s->gzip);
	if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT)
		return err_set(e, -EBADMSG, "gzip: the data is damaged (%d)", rc);
	s->in += s->in_len - s->gzip->avail_in;
	s->in_len = s->gzip->avail_in;
	*out = BUFFER - s->gzip->avail_out;
	if (s->gzip->block_state == ISAL_BLOCK_FINISH)
		s->member_open = false;
	return 0;
}

static int step_zstd(struct inflate *s, size_t *out, struct err *e)
{
	ZSTD_inBuffer in = {s->in, s->in_len, 0};
	ZSTD_outBuffer to = {s->out, BUFFER, 0};
	size_t rc = ZSTD_decompressStream(s->zstd, &to, &in);

	if (ZSTD_isError(rc))
		return err_set(e, -EBADMSG, "zstd: %s", ZSTD_getErrorName(rc));
	s->in += in.pos;
	s->in_len -= in.pos;
	s->member_open = rc != 0;
	*out = to.pos;
	return 0;
}

/* Does the inflater hold output that did not fit, so that it must be called without input? */
static bool holds_output(const struct inflate *s, size_t last)
{
	return s->member_open && last == BUFFER;
}

static int produce(struct inflate *s, size_t *out, struct err *e)
{
	size_t last = BUFFER; /* asks once without input: what is held from the call before comes */
	int rc = 0;

	s->second = !s->second;
	s->out = s->buffer + (s->second ? BUFFER : 0);
	*out = 0;
	while (*out == 0) {
		if (s->in_len == 0 && !holds_output(s, last)) {
			rc = more_input(s, e);
			if (rc < 0)
				return rc;
			if (rc == 0)
				return s->member_open ? err_set(e, -EBADMSG, "%s: truncated", inflate_name(s)) : 0;
		}
		rc = s->kind == INFLATE_GZIP ? step_gzip(s, out, e) : step_zstd(s, out, e);
		if (rc < 0)
			return rc;
		last = *out;
	}
	return 1;
}

/* ---- the feed ---- */

static int within_limits(struct inflate *s, struct err *e)
{
	if (s->max_out && s->out_total > s->max_out)
		return err_set(e, -EFBIG, "expands to more than the %" PRIu64 " bytes that the configuration allows",
			       s->max_out);
	if (s->max_ratio && s->out_total > RATIO_FROM && s->out_total / s->max_ratio > s->in_total)
		return err_set(e, -EFBIG, "expands to more than %" PRIu32 " times its size", s->max_ratio);
	return 0;
}

static int inflate_next(void *arg, const unsigned char **data, size_t *len, struct err *e)
{
	struct inflate *s = arg;
	int rc = s->kind == INFLATE_UNKNOWN ? recognise(s, e) : 0;
	if (rc < 0)
		return rc;
	if (s->ended)
		return 0;
	if (s->kind == INFLATE_NONE) {
		rc = s->in_len ? 1 : more_input(s, e);
		*data = s->in;
		*len = s->in_len;
		s->in_len = 0;
	} else {
		rc = produce(s, len, e);
		*data = s->out;
	}
	if (rc == 0) {
		s->ended = true;
		if (s->hashing)
			digest_text(&s->digest, s->hash);
	}
	if (rc <= 0)
		return rc;
	s->out_total += *len;
	if (s->hashing)
		digest_add(&s->digest, *data, *len);
	rc = within_limits(s, e);
	return rc < 0 ? rc : 1;
}

struct feed inflate_feed(struct inflate *s)
{
	return (struct feed){inflate_next, s};
}
