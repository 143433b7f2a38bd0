/* pax: what the extended headers in front of an entry say (PAX records, GNU long names). */
#ifndef POUCH_IMAGE_UNPACK_PAX_H
#define POUCH_IMAGE_UNPACK_PAX_H

#include "imaged/unpack/tar.h"

#define PAX_HEADER_MAX (1u << 20) /* bytes of one extended header */

struct tar_pax {
	char *path, *link;
	char *sparse_name;
	bool has_size, has_uid, has_gid, has_mtime, has_sparse_size;
	uint64_t size, uid, gid, sparse_size;
	struct timespec mtime;
	unsigned sparse_major, sparse_minor;
	struct tar_piece *pieces; /* sparse 0.0 and 0.1 */
	size_t npieces;
	bool offset_open; /* 0.0: an offset whose length has not come yet */
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	size_t nxattrs;
};

/* The records "LENGTH key=value\n" of one header. Unknown keys are no error. -EBADMSG. */
int pax_parse(struct tar_pax *p, const char *text, size_t len, struct err *e);
/* Forget everything. */
void pax_clear(struct tar_pax *p);
void tar_xattrs_free(struct tar_xattr *x, size_t n);

/* Decimal digits only, the whole text. */
bool pax_number(const char *text, size_t len, uint64_t *out);
/* Another piece; in order and without overlap, or -EBADMSG. */
int pax_piece(struct tar_piece **pieces, size_t *n, uint64_t offset, uint64_t len, struct err *e);

#endif
