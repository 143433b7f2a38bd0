/* tar_unpack: a tar into a directory: ustar, GNU long names, pax. Names that would lead out are refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "lib/fd.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define META_MAX   (1u << 20) /* of a pax header or long name */
#define COPY_BYTES (64u << 10)

struct entry {
	char type;
	char *name, *link;
	int64_t size, uid, gid, mtime;
	unsigned mode, major, minor;
	struct {
		char key[256];
		char *value;
		size_t len;
	} xattrs[16];
	size_t nxattrs;
};

struct reader {
	int in, dir;
	const struct put_options *how;
	const struct ids *ids;
	char *buf;
};

static void entry_clean(struct entry *x)
{
	free(x->name);
	free(x->link);
	for (size_t i = 0; i < x->nxattrs; i++)
		free(x->xattrs[i].value);
	*x = (struct entry){.size = -1, .uid = -1, .gid = -1, .mtime = -1};
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

static int read_meta(struct reader *r, int64_t size, char **out, struct err *e)
{
	if (size < 0 || size > META_MAX)
		return err_http(e, 400, "the archive has a header of %lld bytes", (long long)size);
	size_t whole = ((size_t)size + 511) / 512 * 512;
	*out = xcalloc(whole + 1, 1);
	if (fd_read_full(r->in, *out, whole, e) != (ssize_t)whole)
		return err_http(e, 400, "unexpected end of the archive");
	(*out)[size] = '\0';
	return 0;
}

static void pax_value(struct entry *x, const char *key, const char *value, size_t len)
{
	if (str_eq(key, "path") || str_eq(key, "linkpath")) {
		char **to = str_eq(key, "path") ? &x->name : &x->link;
		free(*to);
		*to = xstrndup(value, len);
	} else if (str_eq(key, "size")) {
		x->size = strtoll(value, NULL, 10);
	} else if (str_eq(key, "uid")) {
		x->uid = strtoll(value, NULL, 10);
	} else if (str_eq(key, "gid")) {
		x->gid = strtoll(value, NULL, 10);
	} else if (str_eq(key, "mtime")) {
		x->mtime = strtoll(value, NULL, 10);
	} else if (str_starts(key, "SCHILY.xattr.") && x->nxattrs < ARRAY_LEN(x->xattrs)) {
		const char *name = key + strlen("SCHILY.xattr.");
		if (!str_eq(name, "security.capability") &&
		    (!str_starts(name, "user.") || str_starts(name, "user.overlay.")))
			return;
		snprintf(x->xattrs[x->nxattrs].key, sizeof x->xattrs[0].key, "%s", name);
		x->xattrs[x->nxattrs].value = xmemdup(value, len);
		x->xattrs[x->nxattrs++].len = len;
	}
}

static int pax_parse(struct entry *x, char *text, size_t len, struct err *e)
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
		pax_value(x, key, equals + 1, (size_t)(p + n - 1 - (equals + 1)));
		p += n;
	}
	return 0;
}

static void take_header(struct entry *x, const unsigned char *h)
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

/* Returns 1 with an entry, 0 at the end. */
static int next_entry(struct reader *r, struct entry *x, struct err *e)
{
	unsigned char h[512];

	for (;;) {
		ssize_t n = fd_read_full(r->in, h, sizeof h, e);
		char *meta = NULL;
		if (n < 0)
			return (int)n;
		if (n == 0 || h[0] == '\0')
			return 0;
		if (n != (ssize_t)sizeof h || !sum_ok(h))
			return err_http(e, 400, "this is not a tar archive, or a compressed one");
		int64_t size = number(h + 124, 12);
		if (!strchr("xgLK", h[156])) {
			take_header(x, h);
			return x->size < 0 ? err_http(e, 400, "the archive has an entry of negative size") : 1;
		}
		int rc = read_meta(r, size, &meta, e);
		if (rc == 0 && h[156] == 'x')
			rc = pax_parse(x, meta, (size_t)size, e);
		else if (rc == 0 && h[156] == 'L')
			pax_value(x, "path", meta, strlen(meta));
		else if (rc == 0 && h[156] == 'K')
			pax_value(x, "linkpath", meta, strlen(meta));
		free(meta);
		if (rc < 0)
			return rc;
	}
}

/* In place: without leading and double slashes and dots; false when it leads out. */
static bool clean(char *name)
{
	char *to = name, *from = name, *rest = NULL;

	for (char *part = strtok_r(from, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		if (str_eq(part, "."))
			continue;
		if (str_eq(part, ".."))
			return false;
		size_t n = strlen(part);
		/* Behind a part that was taken stands its slash already, or the end of what has been read. */
		if (to > name)
			*to++ = '/';
		memmove(to, part, n);
		to += n;
	}
	*to = '\0';
	return true;
}

static void make_parents(struct reader *r, char *name)
{
	for (char *p = strchr(name, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdirat(r->dir, name, 0755) == 0)
			(void)!fchownat(r->dir, name, (uid_t)ids_on_disk(r->ids, 0), (gid_t)ids_on_disk(r->ids, 0), 0);
		*p = '/';
	}
}

static int make_room(struct reader *r, const struct entry *x, struct err *e)
{
	bool dir = x->type == '5';
	struct stat st;

	if (fstatat(r->dir, x->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (dir && S_ISDIR(st.st_mode))
		return 0;
	if (r->how->keep_kinds && dir != S_ISDIR(st.st_mode))
		return err_http(e, 400,
				S_ISDIR(st.st_mode) ? "cannot overwrite directory \"%s\" with non-directory"
						    : "cannot overwrite non-directory \"%s\" with directory",
				x->name);
	return tree_remove(r->dir, x->name, NULL, e);
}

static int skip(struct reader *r, int64_t size, struct err *e)
{
	for (int64_t left = (size + 511) / 512 * 512; left > 0;) {
		size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		if (fd_read_full(r->in, r->buf, want, e) != (ssize_t)want)
			return err_http(e, 400, "unexpected end of the archive");
		left -= (int64_t)want;
	}
	return 0;
}

static int write_file(struct reader *r, const struct entry *x, struct err *e)
{
	AUTO_CLOSE int fd = openat(r->dir, x->name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, -errno, "create %s", x->name);
	for (int64_t left = x->size; left > 0;) {
		size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		if (fd_read_full(r->in, r->buf, want, e) != (ssize_t)want)
			return err_http(e, 400, "unexpected end of the archive");
		int rc = fd_write_all(fd, r->buf, want, e);
		if (rc < 0)
			return err_prefix(e, "%s", x->name);
		left -= (int64_t)want;
	}
	size_t rest = (size_t)((512 - x->size % 512) % 512);
	if (fd_read_full(r->in, r->buf, rest, e) != (ssize_t)rest)
		return err_http(e, 400, "unexpected end of the archive");
	return 0;
}

static int make(struct reader *r, const struct entry *x, struct err *e)
{
	mode_t kind = x->type == '3' ? S_IFCHR : x->type == '4' ? S_IFBLK : S_IFIFO;
	int rc = 0;

	switch (x->type) {
	case '5':
		rc = mkdirat(r->dir, x->name, 0700) < 0 && errno != EEXIST ? -errno : 0;
		break;
	case '2':
		rc = symlinkat(x->link, r->dir, x->name) < 0 ? -errno : 0;
		break;
	case '1':
		if (!clean(x->link))
			return err_http(e, 400, "the archive links %s to a place outside", x->name);
		rc = linkat(r->dir, x->link, r->dir, x->name, 0) < 0 ? -errno : 0;
		break;
	case '3':
	case '4':
	case '6':
		rc = mknodat(r->dir, x->name, kind | 0600, makedev(x->major, x->minor)) < 0 ? -errno : 0;
		break;
	case '0':
	case '7':
	case '\0':
		return write_file(r, x, e);
	default:
		return err_http(e, 400, "the archive has an entry of unknown kind '%c'", x->type);
	}
	return rc < 0 ? err_sys(e, rc, "create %s", x->name) : 0;
}

static int set_attributes(struct reader *r, const struct entry *x, struct err *e)
{
	int64_t uid = ids_on_disk(r->ids, r->how->uid >= 0 ? r->how->uid : x->uid);
	int64_t gid = ids_on_disk(r->ids, r->how->gid >= 0 ? r->how->gid : x->gid);
	const struct timespec times[2] = {{.tv_sec = x->mtime}, {.tv_sec = x->mtime}};

	if (x->type == '1')
		return 0;
	if (uid < 0 || gid < 0)
		return err_http(e, 400, "%s belongs to an id outside the container's range", x->name);
	if (fchownat(r->dir, x->name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "chown %s", x->name);
	if (x->type != '2') {
		if (fchmodat(r->dir, x->name, x->mode, 0) < 0)
			return err_sys(e, -errno, "chmod %s", x->name);
		for (size_t i = 0; i < x->nxattrs; i++)
			lsetxattr(x->name, x->xattrs[i].key, x->xattrs[i].value, x->xattrs[i].len, 0);
	}
	utimensat(r->dir, x->name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

int tar_unpack(int in, const char *path, const struct put_options *how, const struct ids *ids, struct err *e)
{
	struct reader r = {.in = in, .how = how, .ids = ids, .buf = xcalloc(COPY_BYTES, 1)};
	AUTO_FREE char *freed = r.buf;
	struct entry x = {.size = -1, .uid = -1, .gid = -1, .mtime = -1};
	int rc;

	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT	  ? err_http(e, 404, "Could not find the file %s in container", path)
		       : errno == ENOTDIR ? err_http(e, 400, "extraction point is not a directory")
					  : err_sys(e, -errno, "open %s", path);
	r.dir = dir;
	if (fchdir(dir) < 0)
		return err_sys(e, -errno, "chdir %s", path);
	while ((rc = next_entry(&r, &x, e)) > 0) {
		bool data = x.type == '0' || x.type == '7' || x.type == '\0';
		if (!clean(x.name)) {
			rc = err_http(e, 400, "the archive has a name that leads out of it");
		} else if (!*x.name || x.type == 'g') {
			rc = skip(&r, x.size, e);
		} else {
			make_parents(&r, x.name);
			rc = make_room(&r, &x, e);
			if (rc == 0)
				rc = make(&r, &x, e);
			if (rc == 0 && !data)
				rc = skip(&r, x.size, e);
			if (rc == 0)
				rc = set_attributes(&r, &x, e);
		}
		entry_clean(&x);
		if (rc < 0)
			break;
	}
	entry_clean(&x);
	return rc < 0 ? rc : 0;
}
