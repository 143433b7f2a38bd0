#include "imaged/unpack/tar.h"

#include <errno.h>
#include <inttypes.h>

#include "imaged/unpack/pax.h"

#define BLOCK 512

/* POSIX.1-2017, pax, "ustar Interchange Format"; the GNU form differs behind `prefix`. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

struct gnu_sparse {
	char offset[12], len[12];
};

/* GNU header of type 'S', behind the common fields at 345. */
#define GNU_SPARSE_AT	 386
#define GNU_SPARSE_COUNT 4
#define GNU_EXTENDED_AT	 482
#define GNU_REALSIZE_AT	 483
#define GNU_BLOCK_COUNT	 21

void tar_begin(struct tar *t, struct feed from, size_t max_path)
{
	*t = (struct tar){.from = from, .max_path = max_path, .pax = XNEW(struct tar_pax)};
}

static void entry_clear(struct tar_entry *x)
{
	free(x->path);
	free(x->link);
	free(x->pieces);
	tar_xattrs_free(x->xattrs, x->nxattrs);
	*x = (struct tar_entry){0};
}

void tar_free(struct tar *t)
{
	entry_clear(&t->entry);
	if (t->pax)
		pax_clear(t->pax);
	free(t->pax);
	t->pax = NULL;
}

/* ---- bytes ---- */

static int fill(struct tar *t, struct err *e)
{
	return t->in_len ? 1 : feed_next(&t->from, &t->in, &t->in_len, e);
}

/* Read `len` bytes. 1; 0 when the feed ends before the first; -EBADMSG when it ends within. */
static int take(struct tar *t, void *to, size_t len, struct err *e)
{
	size_t have = 0;

	while (have < len) {
		int rc = fill(t, e);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return have ? err_set(e, -EBADMSG, "tar: truncated") : 0;
		size_t n = t->in_len < len - have ? t->in_len : len - have;
		memcpy((char *)to + have, t->in, n);
		t->in += n;
		t->in_len -= n;
		have += n;
	}
	return 1;
}

static int skip(struct tar *t, uint64_t len, struct err *e)
{
	while (len) {
		int rc = fill(t, e);
		if (rc <= 0)
			return rc < 0 ? rc : err_set(e, -EBADMSG, "tar: truncated");
		size_t n = t->in_len < len ? t->in_len : (size_t)len;
		t->in += n;
		t->in_len -= n;
		len -= n;
	}
	return 0;
}

int tar_data(struct tar *t, uint64_t max, const unsigned char **data, size_t *len, struct err *e)
{
	if (t->left == 0)
		return 0;
	int rc = fill(t, e);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(e, -EBADMSG, "tar: truncated");
	if (max > t->left)
		max = t->left;
	size_t n = t->in_len < max ? t->in_len : (size_t)max;
	*data = t->in;
	*len = n;
	t->in += n;
	t->in_len -= n;
	t->left -= n;
	return 1;
}

int tar_drain(struct tar *t, struct err *e)
{
	int rc;

	do {
		t->in_len = 0;
		rc = fill(t, e);
	} while (rc > 0);
	return rc;
}

/* ---- numbers and names of a header ---- */

/* Octal, ended by a blank or NUL, or big-endian base 256 with the first bit set (GNU). Negative ones only as times. */
static int number(const char *field, size_t len, int64_t *out, struct err *e)
{
	const unsigned char *p = (const unsigned char *)field;
	uint64_t n = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		bool negative = p[0] & 0x40;
		n = negative ? UINT64_MAX : 0;
		for (; i < len; i++) {
			unsigned char byte = i == 0 ? (unsigned char)((p[0] & 0x3f) | (negative ? 0xc0 : 0)) : p[i];
			if (len - i > 8 && byte != (negative ? 0xff : 0))
				return err_set(e, -EBADMSG, "tar: a number of a header is too large");
			n = n << 8 | byte;
		}
		*out = (int64_t)n;
		return (*out < 0) == negative ? 0 : err_set(e, -EBADMSG, "tar: a number of a header is too large");
	}
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
		n = n << 3 | (uint64_t)(p[i] - '0');
	for (; i < len; i++)
		if (p[i] != ' ' && p[i] != '\0')
			return err_set(e, -EBADMSG, "tar: a number of a header is damaged");
	*out = (int64_t)n;
	return 0;
}

static int positive(const char *field, size_t len, int64_t max, uint64_t *out, struct err *e)
{
	int64_t n;
	int rc = number(field, len, &n, e);

	if (rc < 0)
		return rc;
	if (n < 0 || n > max)
		return err_set(e, -EBADMSG, "tar: a number of a header is out of range");
	*out = (uint64_t)n;
	return 0;
}

static bool checksum_right(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	int64_t want, sum = 0, signed_sum = 0;
	struct err ignored;

	if (number(h->checksum, sizeof h->checksum, &want, &ignored) < 0)
		return false;
	for (size_t i = 0; i < BLOCK; i++) {
		bool blank = i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);
		sum += blank ? ' ' : p[i];
		signed_sum += blank ? ' ' : (signed char)p[i];
	}
	return want == sum || want == signed_sum;
}

static bool is_zero(const struct header *h)
{
	static const char zeros[BLOCK];

	return memcmp(h, zeros, BLOCK) == 0;
}

static char *joined_name(const struct header *h)
{
	size_t prefix = memcmp(h->magic, "ustar\0", 6) == 0 ? strnlen(h->prefix, sizeof h->prefix) : 0;
	size_t name = strnlen(h->name, sizeof h->name);

	if (!prefix)
		return xstrndup(h->name, name);
	return xasprintf("%.*s/%.*s", (int)prefix, h->prefix, (int)name, h->name);
}

/* ---- extended headers ---- */

static int read_extended(struct tar *t, uint64_t size, char **out, struct err *e)
{
	if (size > PAX_HEADER_MAX)
		return err_set(e, -EFBIG, "tar: an extended header of %" PRIu64 " bytes", size);
	AUTO_FREE char *text = xcalloc(1, (size_t)size + 1);
	int rc = size ? take(t, text, (size_t)size, e) : 1;
	if (rc <= 0)
		return rc < 0 ? rc : err_set(e, -EBADMSG, "tar: truncated");
	rc = skip(t, (BLOCK - size % BLOCK) % BLOCK, e);
	if (rc == 0)
		*out = STEAL(text);
	return rc;
}

/* 1: the header was an extended one and has been taken in; 0: it is an entry's own. */
static int extended(struct tar *t, const struct header *h, struct err *e)
{
	AUTO_FREE char *text = NULL;
	uint64_t size = 0;

	if (!h->type || !strchr("xgLK", h->type))
		return 0;
	int rc = positive(h->size, sizeof h->size, INT64_MAX, &size, e);
	if (rc == 0)
		rc = read_extended(t, size, &text, e);
	if (rc < 0)
		return rc;
	switch (h->type) {
	case 'x':
		rc = pax_parse(t->pax, text, (size_t)size, e);
		break;
	case 'L':
		free(t->pax->path);
		t->pax->path = STEAL(text);
		break;
	case 'K':
		free(t->pax->link);
		t->pax->link = STEAL(text);
		break;
	default: /* 'g': defaults for all entries (git's commit id, mostly); nothing that a layer needs */
		break;
	}
	return rc < 0 ? rc : 1;
}

/* ---- sparse files ---- */

static int gnu_pieces(struct tar_entry *x, const char *at, unsigned count, struct err *e)
{
	for (unsigned i = 0; i < count; i++, at += sizeof(struct gnu_sparse)) {
		uint64_t offset, len;
		if (*at == '\0')
			return 0;
		int rc = positive(at, 12, INT64_MAX, &offset, e);
		if (rc == 0)
			rc = positive(at + 12, 12, INT64_MAX, &len, e);
		if (rc == 0)
			rc = pax_piece(&x->pieces, &x->npieces, offset, len, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int gnu_sparse(struct tar *t, const struct header *h, struct err *e)
{
	const char *raw = (const char *)h;
	struct tar_entry *x = &t->entry;
	char block[BLOCK];
	bool again = raw[GNU_EXTENDED_AT] == 1;

	int rc = positive(raw + GNU_REALSIZE_AT, 12, INT64_MAX, &x->real_size, e);
	x->pieces = XNEW(struct tar_piece);
	x->npieces = 0;
	if (rc == 0)
		rc = gnu_pieces(x, raw + GNU_SPARSE_AT, GNU_SPARSE_COUNT, e);
	while (rc == 0 && again) {
		rc = take(t, block, sizeof block, e);
		if (rc <= 0)
			return rc < 0 ? rc : err_set(e, -EBADMSG, "tar: truncated");
		rc = gnu_pieces(x, block, GNU_BLOCK_COUNT, e);
		again = block[sizeof(struct gnu_sparse) * GNU_BLOCK_COUNT] == 1;
	}
	return rc;
}

/* One decimal line of the map that stands before the data of a PAX 1.0 sparse file. */
static int map_line(struct tar *t, uint64_t *out, struct err *e)
{
	char line[24];
	size_t n = 0;

	do {
		const unsigned char *byte;
		if (t->left == 0 || n == sizeof line)
			return err_set(e, -EBADMSG, "tar: bad map of a sparse file");
		int rc = fill(t, e);
		if (rc <= 0)
			return rc < 0 ? rc : err_set(e, -EBADMSG, "tar: truncated");
		byte = t->in++;
		t->in_len--;
		t->left--;
		line[n++] = (char)*byte;
	} while (line[n - 1] != '\n');
	return pax_number(line, n - 1, out) ? 0 : err_set(e, -EBADMSG, "tar: bad map of a sparse file");
}

static int pax_sparse_1_0(struct tar *t, struct err *e)
{
	struct tar_entry *x = &t->entry;
	uint64_t count, begin = t->left;
	int rc = map_line(t, &count, e);

	x->pieces = XNEW(struct tar_piece);
	for (uint64_t i = 0; rc == 0 && i < count; i++) {
		uint64_t offset, len;
		rc = map_line(t, &offset, e);
		if (rc == 0)
			rc = map_line(t, &len, e);
		if (rc == 0)
			rc = pax_piece(&x->pieces, &x->npieces, offset, len, e);
	}
	if (rc < 0)
		return rc;
	uint64_t pad = (BLOCK - (begin - t->left) % BLOCK) % BLOCK;
	if (pad > t->left)
		return err_set(e, -EBADMSG, "tar: bad map of a sparse file");
	t->left -= pad;
	x->size = t->left;
	return skip(t, pad, e);
}

static int check_pieces(const struct tar_entry *x, struct err *e)
{
	uint64_t sum = 0;

	if (!x->pieces)
		return 0;
	for (size_t i = 0; i < x->npieces; i++) {
		if (x->pieces[i].offset + x->pieces[i].len > x->real_size)
			return err_set(e, -EBADMSG, "tar: a sparse file's map leads behind its end");
		sum += x->pieces[i].len;
	}
	return sum == x->size ? 0 : err_set(e, -EBADMSG, "tar: a sparse file's map and its data differ");
}

static int sparse(struct tar *t, const struct header *h, struct err *e)
{
	struct tar_entry *x = &t->entry;
	struct tar_pax *p = t->pax;
	int rc = 0;

	x->real_size = x->size;
	if (h->type == 'S') {
		rc = gnu_sparse(t, h, e);
	} else if (p->sparse_major == 1 && p->sparse_minor == 0) {
		x->real_size = p->has_sparse_size ? p->sparse_size : 0;
		rc = pax_sparse_1_0(t, e);
	} else if (p->sparse_major > 1 || (p->sparse_major == 1 && p->sparse_minor)) {
		rc = err_set(e, -EBADMSG, "tar: unknown form of a sparse file");
	} else if (p->has_sparse_size) {
		x->real_size = p->sparse_size;
		x->npieces = p->npieces;
		x->pieces = p->pieces ? STEAL(p->pieces) : XNEW(struct tar_piece);
	}
	return rc < 0 ? rc : check_pieces(x, e);
}

/* ---- an entry ---- */

static int type_of(const struct header *h, const char *path, enum tar_type *out, struct err *e)
{
	static const char letters[] = "0123456"; /* in the order of enum tar_type */
	const char *at = h->type ? strchr(letters, h->type) : NULL;
	size_t n = strlen(path);

	if (at)
		*out = (enum tar_type)(at - letters);
	else if (h->type == '\0' || h->type == '7' || h->type == 'S')
		*out = TAR_FILE;
	else
		return err_set(e, -EBADMSG, "tar: entry of unknown type %d", h->type);
	/* As the version 7 format tells directories. */
	if (h->type != 'S' && *out == TAR_FILE && n && path[n - 1] == '/')
		*out = TAR_DIR;
	return 0;
}

static int ids_and_times(struct tar *t, const struct header *h, struct err *e)
{
	struct tar_entry *x = &t->entry;
	const struct tar_pax *p = t->pax;
	uint64_t uid = p->uid, gid = p->gid, mode = 0;
	int64_t mtime = 0;
	int rc = p->has_uid ? 0 : positive(h->uid, sizeof h->uid, INT64_MAX, &uid, e);

	if (rc == 0 && !p->has_gid)
		rc = positive(h->gid, sizeof h->gid, INT64_MAX, &gid, e);
	if (rc == 0)
		rc = positive(h->mode, sizeof h->mode, INT64_MAX, &mode, e);
	if (rc == 0)
		rc = number(h->mtime, sizeof h->mtime, &mtime, e);
	if (rc < 0)
		return rc;
	/* The last one means "none" to the kernel. */
	if (uid >= UINT32_MAX || gid >= UINT32_MAX)
		return err_set(e, -EBADMSG, "tar: owner %" PRIu64 ":%" PRIu64 " is out of range", uid, gid);
	x->uid = (uint32_t)uid;
	x->gid = (uint32_t)gid;
	x->mode = (uint32_t)mode & 07777;
	x->mtime = p->has_mtime ? p->mtime : (struct timespec){.tv_sec = mtime};
	return 0;
}

static int names(struct tar *t, const struct header *h, struct err *e)
{
	struct tar_entry *x = &t->entry;
	struct tar_pax *p = t->pax;

	x->path = p->sparse_name ? STEAL(p->sparse_name) : p->path ? STEAL(p->path) : joined_name(h);
	if (!*x->path)
		return err_set(e, -EBADMSG, "tar: an entry without a name");
	int rc = type_of(h, x->path, &x->type, e);
	if (rc < 0)
		return rc;
	if (x->type == TAR_HARDLINK || x->type == TAR_SYMLINK) {
		x->link = p->link ? STEAL(p->link) : xstrndup(h->link, strnlen(h->link, sizeof h->link));
		if (!*x->link)
			return err_set(e, -EBADMSG, "tar: a link without a target");
	}
	if (strlen(x->path) > t->max_path || (x->link && strlen(x->link) > t->max_path))
		return err_set(e, -EFBIG, "tar: a name of more than %zu bytes", t->max_path);
	return 0;
}

static int parse(struct tar *t, const struct header *h, struct err *e)
{
	struct tar_entry *x = &t->entry;
	struct tar_pax *p = t->pax;
	uint64_t major = 0, minor = 0;
	int rc = names(t, h, e);

	if (rc == 0)
		rc = ids_and_times(t, h, e);
	x->size = p->size;
	if (rc == 0 && !p->has_size)
		rc = positive(h->size, sizeof h->size, INT64_MAX - BLOCK, &x->size, e);
	if (rc == 0 && x->size > INT64_MAX - BLOCK)
		rc = err_set(e, -EBADMSG, "tar: a number of a header is out of range");
	if (rc == 0 && (x->type == TAR_CHAR || x->type == TAR_BLOCK)) {
		rc = positive(h->major, sizeof h->major, 0xfff, &major, e);
		if (rc == 0)
			rc = positive(h->minor, sizeof h->minor, 0xfffff, &minor, e);
	}
	if (rc < 0)
		return rc;
	x->major = (uint32_t)major;
	x->minor = (uint32_t)minor;
	/* Some writers repeat the target's size in links, without data. */
	if (x->type != TAR_FILE)
		x->size = 0;
	t->left = x->size;
	t->pad = (BLOCK - x->size % BLOCK) % BLOCK;
	memcpy(x->xattrs, p->xattrs, sizeof x->xattrs);
	x->nxattrs = p->nxattrs;
	p->nxattrs = 0;
	return x->type == TAR_FILE ? sparse(t, h, e) : 0;
}

int tar_next(struct tar *t, const struct tar_entry **out, struct err *e)
{
	struct header h;

	if (t->ended)
		return 0;
	int rc = skip(t, t->left, e);
	if (rc == 0)
		rc = skip(t, t->pad, e);
	t->left = t->pad = 0;
	entry_clear(&t->entry);
	pax_clear(t->pax);
	for (;;) {
		if (rc < 0)
			return rc;
		rc = take(t, &h, sizeof h, e);
		/* Some writers leave the two blocks of zeros away. */
		if (rc <= 0 || is_zero(&h)) {
			t->ended = rc >= 0;
			return rc < 0 ? rc : 0;
		}
		if (!checksum_right(&h))
			return err_set(e, -EBADMSG, "not a tar archive, or a damaged one: wrong checksum of a header");
		rc = extended(t, &h, e);
		if (rc == 0)
			break;
	}
	rc = parse(t, &h, e);
	*out = &t->entry;
	return rc < 0 ? rc : 1;
}
