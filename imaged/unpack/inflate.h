/*
 * inflate: from the bytes of a blob to those of its tar: gzip (isa-l), zstd, or neither, recognised by its first bytes.
 * A tar that was compressed is hashed, its size and the ratio bounded. Xz and bzip2 are recognised and refused by name.
 */
#ifndef POUCH_IMAGE_UNPACK_INFLATE_H
#define POUCH_IMAGE_UNPACK_INFLATE_H

#include <stdint.h>

#include "imaged/unpack/digest.h"
#include "imaged/unpack/feed.h"

enum inflate_kind { INFLATE_UNKNOWN, INFLATE_NONE, INFLATE_GZIP, INFLATE_ZSTD };

struct inflate {
	struct feed from;
	enum inflate_kind kind;
	const unsigned char *in;
	size_t in_len;
	uint64_t in_total, out_total;
	uint64_t max_out;   /* 0: no limit */
	uint32_t max_ratio; /* above 16 MiB; 0: no limit */
	bool in_ended, member_open, ended;
	unsigned char *buffer; /* two halves, which take turns; for what is not compressed the first bytes */
	unsigned char *out;    /* the half that was filled last */
	bool second;
	unsigned char head[6]; /* first bytes, when they came in pieces */
	size_t head_len;
	struct inflate_state *gzip;
	struct ZSTD_DCtx_s *zstd;
	bool hashing;
	struct digest digest;
	char hash[DIGEST_TEXT]; /* at the end, when hashing; "" for INFLATE_NONE: the digest is the bytes' */
};

void inflate_begin(struct inflate *s, struct feed from, bool hashing, uint64_t max_out, uint32_t max_ratio);
/* -EBADMSG: damaged or truncated; -EFBIG: a limit; -EINVAL: a compression that is not taken. */
struct feed inflate_feed(struct inflate *s);
/* "none", "gzip", "zstd" */
const char *inflate_name(const struct inflate *s);
void inflate_free(struct inflate *s);

#endif
