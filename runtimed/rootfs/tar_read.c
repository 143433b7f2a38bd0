/* tar_read: what an archive says of its next file: ustar, GNU long names, pax. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define META_MAX (1u << 20) /* of a pax header or long name */

void tar_header_clean(struct tar_header *x)
{
	free(x->name);
	free(x->link);
	for (size_t i = 0; i < x->nattrs; i++)
		free(x->attrs[i].value);
	*x = (struct tar_header){.size = -1, .uid = -1, .gid = -1, .mtime = -1};
}

/* Octal, or base 256 with the first bit set; -1 for nonsense. */
static int64_t number(const unsigned char *field, size_t size)
{
	int64_t v = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		v = field[0] & 0x3f;
		for (i = 1; i < size; i++) {
			if (v >> 54)
				return -1;
			v = v << 8 | field[i];
		}
		return v;
	}
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		v = v << 3 | (field[i] - '0');
	return i == size || field[i] == '\0' || field[i] == ' ' ? v : -1;
}

static bool sum_ok(const unsigned char *h)
{
	int64_t sum = 0;

	for (size_t i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? ' ' : h[i];
	return number(h + 148, 8) == sum;
}

static int cut(ssize_t n, struct err *e)
{
	return n < 0 ? (int)n : err_http(e, 400, "unexpected end of the archive");
}

static int read_meta(struct stream *in, int64_t size, char **out, struct err *e)
{
	if (size < 0 || size > META_MAX)
		return err_http(e, 400, "the archive has a header of %lld bytes", (long long)size);
	size_t whole = ((size_t)size + 511) / 512 * 512;
	*out = xcalloc(whole + 1, 1);
	ssize_t n = stream_get(in, *out, whole, e);
	if (n != (ssize_t)whole)
		return cut(n, e);
	(*out)[size] = '\0';
	return 0;
}

static void add_attr(struct tar_header *x, const char *name, const char *value, size_t len)
{
	if (!attr_carried(name) || strlen(name) >= ATTR_NAME || x->nattrs == ARRAY_LEN(x->attrs))
		return;
	struct tar_attr *a = &x->attrs[x->nattrs++];
	snprintf(a->key, sizeof a->key, "%s", name);
	a->value = xmemdup(value, len);
	a->len = len;
}

static int pax_value(struct tar_header *x, const char *key, const char *value, size_t len, struct err *e)
{
	static const struct {
		const char *key;
		size_t offset;
	} numbers[] = {
		{"size", offsetof(struct tar_header, size)},
		{"uid", offsetof(struct tar_header, uid)},
		{"gid", offsetof(struct tar_header, gid)},
		{"mtime", offsetof(struct tar_header, mtime)},
	};

	if (str_eq(key, "path") || str_eq(key, "linkpath")) {
		char **to = str_eq(key, "path") ? &x->name : &x->link;
		free(*to);
		*to = xstrndup(value, len);
	} else if (str_starts(key, "SCHILY.xattr.")) {
		add_attr(x, key + strlen("SCHILY.xattr."), value, len);
	} else if (str_starts(key, "GNU.sparse.")) {
		return err_http(e, 400, "the archive has a sparse file, which is not supported");
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (str_eq(key, numbers[i].key))
			*(int64_t *)(void *)((char *)x + numbers[i].offset) = strtoll(value, NULL, 10);
	return 0;
}

static int pax_parse(struct tar_header *x, char *text, size_t len, struct err *e)
{
	for (char *p = text, *end = text + len; p < end;) {
		char *key;
		unsigned long n = strtoul(p, &key, 10);
		if (n < 5 || n > (size_t)(end - p) || *key != ' ' || p[n - 1] != '\n')
			return err_http(e, 400, "the archive has an invalid pax header");
		key++;
		char *equals = memchr(key, '=', (size_t)(p + n - key));
		if (!equals)
			return err_http(e, 400, "the archive has an invalid pax header");
		*equals = '\0';
		p[n - 1] = '\0';
		int r = pax_value(x, key, equals + 1, (size_t)(p + n - 1 - (equals + 1)), e);
		if (r < 0)
			return r;
		p += n;
	}
	return 0;
}

static void take_header(struct tar_header *x, const unsigned char *h)
{
	char name[260], prefix[156];

	snprintf(prefix, sizeof prefix, "%.155s", (const char *)h + 345);
	bool ustar = memcmp(h + 257, "ustar\0", 6) == 0 && *prefix;
	snprintf(name, sizeof name, "%s%s%.100s", ustar ? prefix : "", ustar ? "/" : "", (const char *)h);
	if (!x->name)
		x->name = xstrdup(name);
	if (!x->link)
		x->link = xstrndup((const char *)h + 157, 100);
	x->type = (char)h[156];
	x->mode = (unsigned)number(h + 100, 8) & 07777;
	x->uid = x->uid < 0 ? number(h + 108, 8) : x->uid;
	x->gid = x->gid < 0 ? number(h + 116, 8) : x->gid;
	x->size = x->size < 0 ? number(h + 124, 12) : x->size;
	x->mtime = x->mtime < 0 ? number(h + 136, 12) : x->mtime;
	x->major = (unsigned)number(h + 329, 8);
	x->minor = (unsigned)number(h + 337, 8);
}

/* A header that speaks of the file behind it. */
static int take_meta(struct stream *in, struct tar_header *x, const unsigned char *h, struct err *e)
{
	AUTO_FREE char *meta = NULL;
	int64_t size = number(h + 124, 12);
	int r = read_meta(in, size, &meta, e);

	if (r < 0)
		return r;
	switch (h[156]) {
	case 'x':
		return pax_parse(x, meta, (size_t)size, e);
	case 'L':
		return pax_value(x, "path", meta, strlen(meta), e);
	case 'K':
		return pax_value(x, "linkpath", meta, strlen(meta), e);
	default:
		return 0; /* 'g': defaults for all files, mostly a comment */
	}
}

int tar_next(struct stream *in, struct tar_header *x, struct err *e)
{
	unsigned char h[512];

	for (;;) {
		ssize_t n = stream_get(in, h, sizeof h, e);
		if (n < 0)
			return (int)n;
		if (n == 0 || h[0] == '\0')
			return 0;
		if (n != (ssize_t)sizeof h || !sum_ok(h))
			return err_http(e, 400, "this is not a tar archive");
		if (!strchr("xgLK", h[156])) {
			take_header(x, h);
			return x->size < 0 ? err_http(e, 400, "the archive has an entry of negative size") : 1;
		}
		int r = take_meta(in, x, h, e);
		if (r < 0)
			return r;
	}
}
