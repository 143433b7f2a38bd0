/*
 * submounts: what is mounted below a bind's source. crun 1.8.1 clones binds for a user namespace without it, so each
 * is a bind of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

/* "\040" in mountinfo is a blank. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (p[0] == '\\' && p[1] && p[2] && p[3]) {
			*to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

/* Beneath the source itself: its path may lead elsewhere by now, and a container may write in it. */
static void add(struct submounts *all, int source, const char *relative)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	int fd = (int)syscall(SYS_openat2, source, relative, &how, sizeof how);

	if (fd < 0)
		return;
	/* Mounted over what was there: the later one is what the path leads to. */
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->v[i].path, relative)) {
			close(fd);
			return;
		}
	all->v = xrealloc(all->v, all->n + 1, sizeof *all->v);
	all->v[all->n++] = (struct submount){.path = xstrdup(relative), .fd = fd};
}

int submounts_find(int source, struct submounts *out, struct err *e)
{
	char link[40], top[PATH_MAX], *line = NULL;
	size_t size = 0;

	*out = (struct submounts){.n = 0};
	snprintf(link, sizeof link, "/proc/self/fd/%d", source);
	ssize_t len = readlink(link, top, sizeof top - 1);
	if (len < 0)
		return err_sys(e, -errno, "read %s", link);
	top[len] = '\0';
	if (str_eq(top, "/"))
		len = 0;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return err_sys(e, -errno, "open /proc/self/mountinfo");
	while (getline(&line, &size, f) > 0) {
		char point[PATH_MAX];
		if (sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1)
			continue;
		unescape(point);
		if (strncmp(point, top, (size_t)len) == 0 && point[len] == '/' && point[len + 1])
			add(out, source, point + len + 1);
	}
	free(line);
	fclose(f);
	return 0;
}

void submounts_clean(struct submounts *all)
{
	for (size_t i = 0; i < all->n; i++) {
		free(all->v[i].path);
		close(all->v[i].fd);
	}
	free(all->v);
	*all = (struct submounts){.n = 0};
}
