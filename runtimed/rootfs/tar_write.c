/* tar_write: files to a tar: ustar, with pax headers where that cannot say it (POSIX.1-2001). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define NAME_MAX_  4096
#define COPY_BYTES (64u << 10)

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100], magic[8], uname[32],
		gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == 512, "ustar");

struct link {
	dev_t dev;
	ino_t ino;
	char *name;
};

struct writer {
	int out;
	const struct ids *ids;
	dev_t device; /* to stay on; 0: any but proc and sys */
	struct link *links;
	size_t nlinks;
	char *pax;
	size_t pax_len;
	char *buf;
};

int64_t ids_inside(const struct ids *ids, uint32_t id)
{
	if (!ids->size)
		return id;
	return id >= ids->base && id - ids->base < ids->size ? (int64_t)(id - ids->base) : 65534;
}

int64_t ids_on_disk(const struct ids *ids, int64_t id)
{
	if (!ids->size)
		return id;
	return id < (int64_t)ids->size ? (int64_t)ids->base + id : -1;
}

/* ---- headers ---- */

static void octal(char *to, size_t size, uint64_t v)
{
	for (size_t i = size - 1; i-- > 0; v >>= 3)
		to[i] = (char)('0' + (v & 7));
	to[size - 1] = '\0';
}

static void pax_add(struct writer *w, const char *key, const char *value, size_t len)
{
	size_t body = strlen(key) + len + 3, total = body + 1; /* " key=value\n" and the digits */
	char digits[24];

	while ((size_t)snprintf(digits, sizeof digits, "%zu", total) + body != total)
		total = (size_t)snprintf(digits, sizeof digits, "%zu", total) + body;
	w->pax = xrealloc(w->pax, w->pax_len + total + 1, 1);
	int n = sprintf(w->pax + w->pax_len, "%zu %s=", total, key);
	memcpy(w->pax + w->pax_len + n, value, len);
	w->pax_len += total;
	w->pax[w->pax_len - 1] = '\n';
}

static void pax_number(struct writer *w, const char *key, uint64_t v)
{
	char text[24];

	pax_add(w, key, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)v));
}

static int put_header(struct writer *w, struct header *h, struct err *e)
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
	return fd_write_all(w->out, h, sizeof *h, e);
}

static int pad(struct writer *w, uint64_t size, struct err *e)
{
	static const char zero[512];

	return size % 512 ? fd_write_all(w->out, zero, 512 - size % 512, e) : 0;
}

static int put_pax(struct writer *w, struct err *e)
{
	struct header h = {.name = "PaxHeaders", .type = 'x'};

	if (!w->pax_len)
		return 0;
	octal(h.mode, sizeof h.mode, 0644);
	octal(h.uid, sizeof h.uid, 0);
	octal(h.gid, sizeof h.gid, 0);
	octal(h.mtime, sizeof h.mtime, 0);
	octal(h.size, sizeof h.size, w->pax_len);
	int r = put_header(w, &h, e);
	if (r == 0)
		r = fd_write_all(w->out, w->pax, w->pax_len, e);
	if (r == 0)
		r = pad(w, w->pax_len, e);
	w->pax_len = 0;
	return r;
}

static void add_xattrs(struct writer *w, int at, const char *base)
{
	char list[4096], value[4096], key[300];

	/* There is no call for this that takes a directory: by name from the working directory. */
	ssize_t n = fchdir(at) < 0 ? -1 : llistxattr(base, list, sizeof list);
	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
		if (strcmp(p, "security.capability") != 0 && !str_starts(p, "user."))
			continue;
		if (str_starts(p, "user.overlay."))
			continue;
		ssize_t len = lgetxattr(base, p, value, sizeof value);
		if (len < 0 || snprintf(key, sizeof key, "SCHILY.xattr.%s", p) >= (int)sizeof key)
			continue;
		pax_add(w, key, value, (size_t)len);
	}
}

static void number(struct writer *w, char *field, size_t size, const char *key, uint64_t v)
{
	if (v >> ((size - 1) * 3)) {
		pax_number(w, key, v);
		v = 0;
	}
	octal(field, size, v);
}

static void text(struct writer *w, char *field, size_t size, const char *key, const char *v)
{
	size_t n = strlen(v);

	if (n > size)
		pax_add(w, key, v, n);
	memcpy(field, v, n > size ? size : n);
}

/* The first of several names of one file is the file, the others are links to it. */
static const char *linked(struct writer *w, const struct stat *st, const char *name)
{
	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return NULL;
	for (size_t i = 0; i < w->nlinks; i++)
		if (w->links[i].dev == st->st_dev && w->links[i].ino == st->st_ino)
			return w->links[i].name;
	w->links = xrealloc(w->links, w->nlinks + 1, sizeof *w->links);
	w->links[w->nlinks++] = (struct link){st->st_dev, st->st_ino, xstrdup(name)};
	return NULL;
}

static char type_of(mode_t mode)
{
	return S_ISDIR(mode)	? '5'
	       : S_ISLNK(mode)	? '2'
	       : S_ISCHR(mode)	? '3'
	       : S_ISBLK(mode)	? '4'
	       : S_ISFIFO(mode) ? '6'
				: '0';
}

static int copy_file(struct writer *w, int fd, uint64_t size, struct err *e)
{
	uint64_t left = size;

	/* Exactly as many bytes as the header says, also when the file changes: what is missing is zeros. */
	while (left) {
		size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		ssize_t n = read(fd, w->buf, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			n = (ssize_t)want;
			memset(w->buf, 0, want);
		}
		int r = fd_write_all(w->out, w->buf, (size_t)n, e);
		if (r < 0)
			return r;
		left -= (uint64_t)n;
	}
	return pad(w, size, e);
}

/* ---- the walk ---- */

static int put_entry(struct writer *w, int at, const char *base, const char *name, struct err *e);

static bool is_kernels(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
					 fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

static int put_directory(struct writer *w, int fd, const struct stat *st, const char *name, struct err *e)
{
	if ((w->device && st->st_dev != w->device) || is_kernels(fd))
		return 0;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int r = 0;

	if (!d) {
		fd_close(&copy);
		return err_sys(e, -errno, "read directory %s", name);
	}
	AUTO_FREE char *below = xcalloc(NAME_MAX_, 1);
	while (r == 0 && (entry = readdir(d))) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		if (snprintf(below, NAME_MAX_, "%s/%s", name, entry->d_name) < NAME_MAX_)
			r = put_entry(w, fd, entry->d_name, below, e);
	}
	closedir(d);
	return r;
}

static int put_entry(struct writer *w, int at, const char *base, const char *name, struct err *e)
{
	struct header h = {0};
	struct stat st;
	char target[4097] = "", slashed[NAME_MAX_ + 1];
	AUTO_CLOSE int fd = -1;

	if (fstatat(at, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "stat %s", name);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		fd = openat(at, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			return errno == ENOENT || errno == ELOOP ? 0 : err_sys(e, -errno, "open %s", name);
	}
	if (S_ISLNK(st.st_mode) && readlinkat(at, base, target, sizeof target - 1) < 0)
		return 0;
	const char *first = linked(w, &st, name);
	h.type = first ? '1' : type_of(st.st_mode);
	uint64_t size = h.type == '0' ? (uint64_t)st.st_size : 0;
	snprintf(slashed, sizeof slashed, "%s%s", name, h.type == '5' ? "/" : "");
	text(w, h.name, sizeof h.name, "path", slashed);
	text(w, h.link, sizeof h.link, "linkpath", first ? first : target);
	octal(h.mode, sizeof h.mode, st.st_mode & 07777);
	number(w, h.uid, sizeof h.uid, "uid", (uint64_t)ids_inside(w->ids, st.st_uid));
	number(w, h.gid, sizeof h.gid, "gid", (uint64_t)ids_inside(w->ids, st.st_gid));
	number(w, h.size, sizeof h.size, "size", size);
	octal(h.mtime, sizeof h.mtime, st.st_mtime > 0 ? (uint64_t)st.st_mtime : 0);
	octal(h.major, sizeof h.major, S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? major(st.st_rdev) : 0);
	octal(h.minor, sizeof h.minor, S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? minor(st.st_rdev) : 0);
	if (!first)
		add_xattrs(w, at, base);
	int r = put_pax(w, e);
	if (r == 0)
		r = put_header(w, &h, e);
	if (r == 0 && h.type == '0')
		r = copy_file(w, fd, size, e);
	return r == 0 && h.type == '5' ? put_directory(w, fd, &st, name, e) : r;
}

int tar_write(int out, const char *path, const char *name, bool one_filesystem, const struct ids *ids, struct err *e)
{
	struct writer w = {.out = out, .ids = ids, .buf = xcalloc(COPY_BYTES, 1)};
	static const char end[1024];
	struct stat st;

	AUTO_FREE char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	AUTO_FREE char *base = xstrdup(slash ? slash + 1 : parent);
	if (slash)
		slash[slash == parent] = '\0';
	AUTO_CLOSE int at = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = at < 0 ? err_sys(e, -errno, "open %s", parent) : 0;
	const char *entry = *base ? base : ".";
	if (r == 0 && one_filesystem && fstatat(at, entry, &st, AT_SYMLINK_NOFOLLOW) == 0)
		w.device = st.st_dev;
	if (r == 0)
		r = put_entry(&w, at, entry, name, e);
	if (r == 0)
		r = fd_write_all(out, end, sizeof end, e);
	for (size_t i = 0; i < w.nlinks; i++)
		free(w.links[i].name);
	free(w.links);
	free(w.pax);
	free(w.buf);
	return r;
}
