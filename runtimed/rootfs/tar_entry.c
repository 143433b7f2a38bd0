/* tar_entry: one file as an entry: ustar, with pax headers where that cannot say it (POSIX.1-2001). */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8], uname[32],
		gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == 512, "ustar");

/* ---- fields ---- */

static void octal(char *to, size_t size, uint64_t v)
{
	for (size_t i = size - 1; i-- > 0; v >>= 3)
		to[i] = (char)('0' + (v & 7));
	to[size - 1] = '\0';
}

static void pax_add(struct tar *t, const char *key, const void *value, size_t len)
{
	size_t body = strlen(key) + len + 3, total = body + 1; /* " key=value\n" and the digits */
	char digits[24];

	while ((size_t)snprintf(digits, sizeof digits, "%zu", total) + body != total)
		total = (size_t)snprintf(digits, sizeof digits, "%zu", total) + body;
	if (t->pax_len + total + 1 > t->pax_size) {
		t->pax_size = (t->pax_len + total + 1) * 2;
		t->pax = xrealloc(t->pax, t->pax_size, 1);
	}
	int n = sprintf(t->pax + t->pax_len, "%zu %s=", total, key);
	memcpy(t->pax + t->pax_len + n, value, len);
	t->pax_len += total;
	t->pax[t->pax_len - 1] = '\n';
}

static void number(struct tar *t, char *field, size_t size, const char *key, uint64_t v)
{
	char text[24];

	if (v >> ((size - 1) * 3)) {
		pax_add(t, key, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)v));
		v = 0;
	}
	octal(field, size, v);
}

static void text(struct tar *t, char *field, size_t size, const char *key, const char *v)
{
	size_t n = strlen(v);

	if (n > size)
		pax_add(t, key, v, n);
	memcpy(field, v, n > size ? size : n);
}

static int add_attr(void *arg, const char *name, const void *value, size_t len)
{
	char key[ATTR_NAME + 16];

	if (snprintf(key, sizeof key, "SCHILY.xattr.%s", name) < (int)sizeof key)
		pax_add(arg, key, value, len);
	return 0;
}

/* ---- headers ---- */

static int put_header(struct tar *t, struct header *h, struct err *e)
{
	unsigned sum = 0;

	memcpy(h->magic,
	       "ustar\0"
	       "00",
	       8);
	memset(h->sum, ' ', sizeof h->sum);
	for (size_t i = 0; i < sizeof *h; i++)
		sum += ((unsigned char *)h)[i];
	snprintf(h->sum, sizeof h->sum, "%06o", sum);
	return stream_put(&t->out, h, sizeof *h, e);
}

static int pad(struct tar *t, uint64_t size, struct err *e)
{
	static const char zero[512];

	return size % 512 ? stream_put(&t->out, zero, 512 - size % 512, e) : 0;
}

static int put_pax(struct tar *t, struct err *e)
{
	struct header h = {.name = "PaxHeaders", .type = 'x'};

	if (!t->pax_len)
		return 0;
	octal(h.mode, sizeof h.mode, 0644);
	octal(h.uid, sizeof h.uid, 0);
	octal(h.gid, sizeof h.gid, 0);
	octal(h.mtime, sizeof h.mtime, 0);
	octal(h.size, sizeof h.size, t->pax_len);
	int r = put_header(t, &h, e);
	if (r == 0)
		r = stream_put(&t->out, t->pax, t->pax_len, e);
	if (r == 0)
		r = pad(t, t->pax_len, e);
	t->pax_len = 0;
	return r;
}

/* ---- hard links ---- */

struct link {
	dev_t dev;
	ino_t ino;
	nlink_t left; /* names that may still come; with none of them the file is forgotten */
	char *name;
};

static int compare(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void link_free(void *p)
{
	struct link *l = p;

	free(l->name);
	free(l);
}

/* The first of several names of one file is the file, the others are links to it. The name is the caller's to free. */
static char *linked(struct tar *t, const struct stat *st, const char *name)
{
	struct link key = {.dev = st->st_dev, .ino = st->st_ino};

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return NULL;
	struct link **found = tfind(&key, &t->links, compare);
	if (!found) {
		struct link *l = XNEW(struct link);
		*l = (struct link){st->st_dev, st->st_ino, st->st_nlink - 1, xstrdup(name)};
		tsearch(l, &t->links, compare);
		return NULL;
	}
	struct link *l = *found;
	char *first = xstrdup(l->name);
	if (--l->left == 0) {
		tdelete(l, &t->links, compare);
		link_free(l);
	}
	return first;
}

/* ---- entries ---- */

static char type_of(mode_t mode)
{
	return S_ISDIR(mode)	? '5'
	       : S_ISLNK(mode)	? '2'
	       : S_ISCHR(mode)	? '3'
	       : S_ISBLK(mode)	? '4'
	       : S_ISFIFO(mode) ? '6'
				: '0';
}

int tar_put(struct tar *t, const struct tar_entry *x, struct err *e)
{
	const struct stat *st = x->st;
	const bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
	AUTO_FREE char *first = linked(t, st, x->name);
	struct header h = {.type = first ? '1' : type_of(st->st_mode)};
	uint64_t size = h.type == '0' ? (uint64_t)st->st_size : 0;
	size_t len = strlen(x->name);
	AUTO_FREE char *name =
		xasprintf("%s%s", x->name, h.type == '5' && (!len || x->name[len - 1] != '/') ? "/" : "");

	text(t, h.name, sizeof h.name, "path", name);
	text(t, h.link, sizeof h.link, "linkpath", first ? first : x->target ? x->target : "");
	octal(h.mode, sizeof h.mode, st->st_mode & 07777);
	number(t, h.uid, sizeof h.uid, "uid", (uint64_t)ids_inside(&t->task->ids, st->st_uid));
	number(t, h.gid, sizeof h.gid, "gid", (uint64_t)ids_inside(&t->task->ids, st->st_gid));
	number(t, h.size, sizeof h.size, "size", size);
	number(t, h.mtime, sizeof h.mtime, "mtime", st->st_mtime > 0 ? (uint64_t)st->st_mtime : 0);
	octal(h.major, sizeof h.major, device ? major(st->st_rdev) : 0);
	octal(h.minor, sizeof h.minor, device ? minor(st->st_rdev) : 0);
	if (!first)
		attr_each(x->at, x->base, add_attr, t);
	int r = put_pax(t, e);
	if (r == 0)
		r = put_header(t, &h, e);
	if (r == 0 && h.type == '0')
		r = x->fd >= 0 ? stream_put_file(&t->out, x->fd, size, e) : 0;
	return r == 0 ? pad(t, size, e) : r;
}

int tar_put_mark(struct tar *t, const char *name, struct err *e)
{
	const struct stat st = {.st_mode = S_IFREG | 0600, .st_nlink = 1};
	const struct tar_entry x = {.at = -1, .fd = -1, .base = "", .name = name, .st = &st};

	return tar_put(t, &x, e);
}

int tar_begin(struct tar *t, int out, const struct task *task, struct err *e)
{
	*t = (struct tar){.task = task};
	return stream_begin(&t->out, out, task, e);
}

int tar_end(struct tar *t, struct err *e)
{
	static const char end[1024];
	int r = stream_put(&t->out, end, sizeof end, e);

	return r == 0 ? stream_flush(&t->out, e) : r;
}

void tar_clean(struct tar *t)
{
	tdestroy(t->links, link_free);
	stream_clean(&t->out);
	free(t->pax);
}
