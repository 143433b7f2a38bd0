#include "imaged/unpack/pax.h"

#include <errno.h>

#define PIECES_MAX (1u << 20)

void tar_xattrs_free(struct tar_xattr *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(x[i].name);
		free(x[i].value);
	}
}

void pax_clear(struct tar_pax *p)
{
	free(p->path);
	free(p->link);
	free(p->sparse_name);
	free(p->pieces);
	tar_xattrs_free(p->xattrs, p->nxattrs);
	*p = (struct tar_pax){0};
}

bool pax_number(const char *text, size_t len, uint64_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return false;
	}
	*out = n;
	return len > 0;
}

/* "[-]seconds[.fraction]" */
static bool pax_time(const char *text, size_t len, struct timespec *out)
{
	bool negative = len > 0 && text[0] == '-';
	uint64_t seconds;
	long nanos = 0, unit = 100000000;

	text += negative;
	len -= negative;
	const char *dot = memchr(text, '.', len);
	size_t whole = dot ? (size_t)(dot - text) : len;
	if (!pax_number(text, whole, &seconds) || seconds > INT64_MAX / 2)
		return false;
	for (size_t i = whole + 1; i < len; i++, unit /= 10) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		nanos += (text[i] - '0') * unit;
	}
	out->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
	out->tv_nsec = nanos;
	if (negative && nanos) {
		out->tv_sec--;
		out->tv_nsec = 1000000000 - nanos;
	}
	return true;
}

int pax_piece(struct tar_piece **pieces, size_t *n, uint64_t offset, uint64_t len, struct err *e)
{
	uint64_t end;

	if (__builtin_add_overflow(offset, len, &end) || end > INT64_MAX ||
	    (*n && (*pieces)[*n - 1].offset + (*pieces)[*n - 1].len > offset))
		return err_set(e, -EBADMSG, "tar: a sparse file's map is out of order");
	if (*n >= PIECES_MAX)
		return err_set(e, -EBADMSG, "tar: a sparse file has more than %u pieces", PIECES_MAX);
	if ((*n & (*n - 1)) == 0)
		*pieces = xrealloc(*pieces, *n ? 2 * *n : 1, sizeof **pieces);
	(*pieces)[(*n)++] = (struct tar_piece){offset, len};
	return 0;
}

static int text_value(char **out, const char *value, size_t len, struct err *e)
{
	if (memchr(value, '\0', len))
		return err_set(e, -EBADMSG, "tar: a name contains NUL");
	free(*out);
	*out = xstrndup(value, len);
	return 0;
}

static int xattr_value(struct tar_pax *p, const char *name, size_t name_len, const char *value, size_t len,
		       struct err *e)
{
	if (name_len == 0 || name_len > 255 || memchr(name, '\0', name_len))
		return err_set(e, -EBADMSG, "tar: bad name of an extended attribute");
	if (p->nxattrs == TAR_XATTRS_MAX)
		return err_set(e, -EFBIG, "tar: an entry with more than %d extended attributes", TAR_XATTRS_MAX);
	p->xattrs[p->nxattrs++] = (struct tar_xattr){xstrndup(name, name_len), xmemdup(value, len), len};
	return 0;
}

/* GNU.sparse.map: "offset,length,offset,length…" (0.1) */
static int sparse_map(struct tar_pax *p, const char *value, size_t len, struct err *e)
{
	uint64_t pair[2];
	unsigned have = 0;

	while (len) {
		const char *comma = memchr(value, ',', len);
		size_t n = comma ? (size_t)(comma - value) : len;
		if (!pax_number(value, n, &pair[have++]))
			return err_set(e, -EBADMSG, "tar: bad map of a sparse file");
		value += n + (comma != NULL);
		len -= n + (comma != NULL);
		if (have == 2) {
			int rc = pax_piece(&p->pieces, &p->npieces, pair[0], pair[1], e);
			if (rc < 0)
				return rc;
			have = 0;
		}
	}
	return have ? err_set(e, -EBADMSG, "tar: bad map of a sparse file") : 0;
}

/* GNU.sparse.offset, then GNU.sparse.numbytes, again and again (0.0) */
static int sparse_pair(struct tar_pax *p, bool offset, uint64_t n, struct err *e)
{
	if (offset == p->offset_open)
		return err_set(e, -EBADMSG, "tar: bad map of a sparse file");
	if (offset) {
		int rc = pax_piece(&p->pieces, &p->npieces, n, 0, e);
		p->offset_open = rc == 0;
		return rc;
	}
	p->offset_open = false;
	struct tar_piece *last = &p->pieces[p->npieces - 1];
	if (n > INT64_MAX - last->offset)
		return err_set(e, -EBADMSG, "tar: bad map of a sparse file");
	last->len = n;
	return 0;
}

static const char xattr_prefix[] = "SCHILY.xattr.";

static int number_record(struct tar_pax *p, const char *key, const char *value, size_t len, struct err *e)
{
	uint64_t n = 0;
	bool digits = pax_number(value, len, &n);

	if (str_eq(key, "GNU.sparse.offset") || str_eq(key, "GNU.sparse.numbytes"))
		return digits ? sparse_pair(p, str_eq(key, "GNU.sparse.offset"), n, e)
			      : err_set(e, -EBADMSG, "tar: bad map of a sparse file");
	struct {
		const char *key;
		uint64_t *number;
		bool *has;
	} rows[] = {
		{"size", &p->size, &p->has_size},
		{"uid", &p->uid, &p->has_uid},
		{"gid", &p->gid, &p->has_gid},
		{"GNU.sparse.size", &p->sparse_size, &p->has_sparse_size},
		{"GNU.sparse.realsize", &p->sparse_size, &p->has_sparse_size},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!str_eq(key, rows[i].key))
			continue;
		if (!digits)
			return err_set(e, -EBADMSG, "tar: extended header: %s is not a number", rows[i].key);
		*rows[i].number = n;
		*rows[i].has = true;
	}
	if (str_eq(key, "GNU.sparse.major"))
		p->sparse_major = digits && n < 100 ? (unsigned)n : 99;
	if (str_eq(key, "GNU.sparse.minor"))
		p->sparse_minor = digits && n < 100 ? (unsigned)n : 99;
	return 0;
}

static int record(struct tar_pax *p, const char *key, size_t key_len, const char *value, size_t len, struct err *e)
{
	char name[64];

	if (key_len > strlen(xattr_prefix) && memcmp(key, xattr_prefix, strlen(xattr_prefix)) == 0)
		return xattr_value(p, key + strlen(xattr_prefix), key_len - strlen(xattr_prefix), value, len, e);
	if (key_len >= sizeof name || memchr(key, '\0', key_len))
		return 0;
	memcpy(name, key, key_len);
	name[key_len] = '\0';
	if (str_eq(name, "path"))
		return text_value(&p->path, value, len, e);
	if (str_eq(name, "linkpath"))
		return text_value(&p->link, value, len, e);
	if (str_eq(name, "GNU.sparse.name"))
		return text_value(&p->sparse_name, value, len, e);
	if (str_eq(name, "GNU.sparse.map"))
		return sparse_map(p, value, len, e);
	if (str_eq(name, "mtime")) {
		p->has_mtime = pax_time(value, len, &p->mtime);
		return p->has_mtime ? 0 : err_set(e, -EBADMSG, "tar: extended header: bad mtime");
	}
	return number_record(p, name, value, len, e);
}

int pax_parse(struct tar_pax *p, const char *text, size_t len, struct err *e)
{
	while (len) {
		uint64_t size;
		const char *space = memchr(text, ' ', len < 20 ? len : 20);
		if (!space || !pax_number(text, (size_t)(space - text), &size) || size > len ||
		    size < (size_t)(space - text) + 3 || text[size - 1] != '\n')
			return err_set(e, -EBADMSG, "tar: damaged extended header");
		const char *key = space + 1;
		const char *end = text + size - 1;
		const char *equals = memchr(key, '=', (size_t)(end - key));
		if (!equals || equals == key)
			return err_set(e, -EBADMSG, "tar: damaged extended header");
		int rc = record(p, key, (size_t)(equals - key), equals + 1, (size_t)(end - equals - 1), e);
		if (rc < 0)
			return rc;
		text += size;
		len -= size;
	}
	return 0;
}
