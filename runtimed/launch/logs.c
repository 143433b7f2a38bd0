/* logs: the bytes of all containers' log files together, held below the configured bound. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

struct rotated {
	char path[2 * ID_CHARS + 64]; /* below the state directory */
	uint64_t size;
	struct timespec modified;
};

struct rotated_list {
	struct rotated *v;
	size_t n;
	uint64_t total; /* of all files, the present ones too */
};

/* The log files of one container: only rotated ones may go. */
static void gather(const struct launch *l, const char *id, struct rotated_list *out)
{
	char path[ID_CHARS + sizeof "/log"];
	struct dirent *entry;
	struct stat st;

	snprintf(path, sizeof path, "%.*s/log", ID_CHARS, id);
	int fd = openat(l->c.state_dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (entry = readdir(d))) {
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		out->total += (uint64_t)st.st_blocks * 512;
		if (!strstr(entry->d_name, ".log.") || strlen(entry->d_name) > ID_CHARS + 24)
			continue;
		out->v = xrealloc(out->v, out->n + 1, sizeof *out->v);
		struct rotated *r = &out->v[out->n++];
		*r = (struct rotated){.size = (uint64_t)st.st_blocks * 512, .modified = st.st_mtim};
		snprintf(r->path, sizeof r->path, "%.*s/log/%.*s", ID_CHARS, id, ID_CHARS + 24, entry->d_name);
	}
	if (d)
		closedir(d);
}

static int by_age(const void *a, const void *b)
{
	const struct timespec *x = &((const struct rotated *)a)->modified, *y = &((const struct rotated *)b)->modified;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

void logs_hold_quota(const struct launch *l)
{
	DIR *d = fdopendir(openat(l->c.state_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct rotated_list list = {0};
	struct dirent *entry;
	size_t gone = 0;

	while (l->c.log_quota && d && (entry = readdir(d)))
		if (id_valid(entry->d_name))
			gather(l, entry->d_name, &list);
	if (d)
		closedir(d);
	if (list.n)
		qsort(list.v, list.n, sizeof *list.v, by_age);
	for (; gone < list.n && list.total > l->c.log_quota; gone++) {
		unlinkat(l->c.state_dir, list.v[gone].path, 0);
		list.total -= list.v[gone].size;
	}
	if (gone)
		log_warn("log-driver.quota: the %zu oldest rotated log files are removed", gone);
	free(list.v);
}
