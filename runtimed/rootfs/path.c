/* path: what a client's path means in the container. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

#define LINKS_MAX 40 /* path_resolution(7) */

int path_open(int dir, const char *path, int flags)
{
	struct open_how how = {.flags = (__u64)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);

	return fd < 0 ? -errno : fd;
}

/* ---- texts ---- */

/* Append a component to an absolute path; "" stands for "/". */
static void push(char *path, const char *part, size_t len)
{
	size_t n = strlen(path);

	path[n] = '/';
	memcpy(path + n + 1, part, len);
	path[n + 1 + len] = '\0';
}

static void pop(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

static bool is_part(const char *part, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(part, text, len) == 0;
}

/* Without "." and "..", beginning with "/"; a trailing "/" or "/." stays. */
static char *clean(const char *path)
{
	size_t len = strlen(path);
	char *out = xcalloc(len + 4, 1);

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		if (is_part(p, n, ".."))
			pop(out);
		else if (n && !is_part(p, n, "."))
			push(out, p, n);
		p += n + (p[n] == '/');
	}
	if ((len && path[len - 1] == '/') || !*out)
		strcat(out, "/");
	else if (str_eq(path, ".") || (len > 1 && str_eq(path + len - 2, "/.")))
		strcat(out, "/.");
	return out;
}

/*
 * Where the symbolic links of an absolute path lead, as a text; the last part need not be there. What the container
 * changes meanwhile makes the text wrong and no more: nothing is opened by it.
 */
static char *resolve(const char *path, struct err *e)
{
	AUTO_FREE char *rest = xstrdup(path);
	AUTO_FREE char *out = xcalloc(PATH_MAX, 1);
	unsigned links = 0;

	for (char *p = rest; *p;) {
		char target[PATH_MAX];
		size_t n = strcspn(p, "/");
		char *next = p + n + (p[n] == '/');
		if (is_part(p, n, "..")) {
			pop(out);
		} else if (n && !is_part(p, n, ".")) {
			if (strlen(out) + n + 2 > PATH_MAX)
				return err_sys(e, -ENAMETOOLONG, "follow %s", path), NULL;
			push(out, p, n);
			ssize_t len = readlink(out, target, sizeof target - 1);
			if (len > 0) {
				if (++links > LINKS_MAX)
					return err_sys(e, -ELOOP, "follow %s", path), NULL;
				target[len] = '\0';
				pop(out);
				if (*target == '/')
					*out = '\0';
				char *joined = xasprintf("%s/%s", target, next);
				free(rest);
				rest = next = joined;
			}
		}
		p = next;
	}
	return *out ? STEAL(out) : xstrdup("/");
}

/* ---- places ---- */

static int not_there(int code, const char *path, struct err *e)
{
	if (code == -ENOENT)
		return err_http(e, 404, "Could not find the file %s in container", path);
	if (code == -ENOTDIR)
		return err_http(e, 400, "not a directory: a part of the path %s", path);
	return err_sys(e, code, "stat %s", path);
}

int place_find(const char *path, struct place *out, struct err *e)
{
	*out = (struct place){.path = clean(path), .dir = -1};
	char *slash = strrchr(out->path, '/'), *base = slash + 1;
	AUTO_FREE char *parent = xstrndup(out->path, (size_t)(base - out->path));

	out->base = *base ? base : ".";
	out->dir = path_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY);
	if (out->dir < 0)
		return not_there(out->dir, out->path, e);
	out->name = out->base;
	/* "/dir/": what the link or directory is called, not what it leads to. */
	if (!*base && slash > out->path) {
		*slash = '\0';
		out->name = strrchr(out->path, '/') + 1;
	} else if (!*base) {
		out->name = "/";
	}
	return 0;
}

void place_clean(struct place *p)
{
	free(p->path);
	fd_close(&p->dir);
}

/* Go's os.FileMode. */
static int64_t go_mode(mode_t m)
{
	int64_t v = m & 0777;

	v |= S_ISDIR(m) ? 1ll << 31 : S_ISLNK(m) ? 1ll << 27 : S_ISFIFO(m) ? 1ll << 25 : S_ISSOCK(m) ? 1ll << 24 : 0;
	v |= S_ISBLK(m) ? 1ll << 26 : S_ISCHR(m) ? 1ll << 26 | 1ll << 21 : 0;
	return v | (m & S_ISUID ? 1ll << 23 : 0) | (m & S_ISGID ? 1ll << 22 : 0) | (m & S_ISVTX ? 1ll << 20 : 0);
}

/* RFC 3339 with as many digits of the second as there are. */
static void time_text(const struct timespec *t, char out[64])
{
	struct tm tm;
	size_t n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", gmtime_r(&t->tv_sec, &tm));

	if (t->tv_nsec) {
		n += (size_t)snprintf(out + n, 64 - n, ".%09ld", t->tv_nsec);
		while (out[n - 1] == '0')
			n--;
	}
	snprintf(out + n, 64 - n, "Z");
}

int place_stat(const struct place *p, json_t **out, struct err *e)
{
	AUTO_FREE char *target = NULL;
	char when[64];
	struct stat st;

	if (fstatat(p->dir, p->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return not_there(-errno, p->path, e);
	if (S_ISLNK(st.st_mode) && !(target = resolve(p->path, e)))
		return e->code;
	time_text(&st.st_mtim, when);
	*out = json_pack("{s:s, s:I, s:I, s:s, s:s}", "name", p->name, "size", (json_int_t)st.st_size, "mode",
			 (json_int_t)go_mode(st.st_mode), "mtime", when, "linkTarget", target ? target : "");
	return *out ? 0 : err_http(e, 400, "the name of %zu bytes is not UTF-8", strlen(p->name));
}
