/*
 * source: the bytes of a layer or archive as they come, from a pipe or a file: counted, hashed, kept in a blob, bounded
 * in size and in time without progress, given up when nobody waits for them any more.
 */
#ifndef POUCH_IMAGE_UNPACK_SOURCE_H
#define POUCH_IMAGE_UNPACK_SOURCE_H

#include <stdint.h>

#include "imaged/unpack/digest.h"
#include "imaged/unpack/feed.h"

struct source_config {
	int fd;					     /* borrowed: pipe or file */
	int blob;				     /* borrowed: where the bytes are kept, -1 */
	int watch;				     /* borrowed: anything from there, or its end, cancels; -1 */
	uint64_t size;				     /* that they must have, 0: not known */
	uint64_t max_bytes;			     /* 0: no limit */
	uint32_t stall_ms;			     /* 0: no limit */
	bool hashing;				     /* their digest is wanted */
	void (*progress)(void *arg, uint64_t bytes); /* now and then; may be NULL */
	void *arg;
};

struct source {
	struct source_config config;
	unsigned char *buffer; /* two halves, which take turns */
	bool second;
	uint64_t bytes;
	uint64_t told;
	uint64_t written; /* to the blob, not yet on its way to the disk */
	struct digest digest;
	char hash[DIGEST_TEXT]; /* at the end, when hashing */
	bool ended;
};

void source_begin(struct source *s, const struct source_config *config);
/* -ETIME: stalled; -EFBIG: too long; -ECANCELED: nobody waits; -EBADMSG: not `size` bytes. */
struct feed source_feed(struct source *s);
void source_free(struct source *s);

#endif
