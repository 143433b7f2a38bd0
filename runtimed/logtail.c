#include "runtimed/logtail.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"

#define BLOCK	  (64u << 10)
#define FILES_MAX 1000

void logtail_add(struct logtail *t, int take_fd)
{
	t->files = xrealloc(t->files, t->count + 1, sizeof *t->files);
	t->files[t->count++] = take_fd;
}

void logtail_clean(struct logtail *t)
{
	for (size_t i = 0; i < t->count; i++)
		fd_close(&t->files[i]);
	free(t->files);
	*t = (struct logtail){0};
}

/* Position `fd` where its last *lines lines begin; *lines becomes what is missing, 0 when there were enough. */
static int seek_back(int fd, int64_t *lines, struct err *e)
{
	UNINITIALIZED char buf[BLOCK];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "stat a log file");
	off_t end = st.st_size;
	/* The newline that ends the last line is not the end of the line before it. */
	int64_t found = -1;
	while (end > 0) {
		size_t part = end > BLOCK ? BLOCK : (size_t)end;
		ssize_t n = pread(fd, buf, part, end - (off_t)part);
		if (n < 0)
			return err_sys(e, -errno, "read a log file");
		for (ssize_t i = n - 1; i >= 0; i--) {
			if (buf[i] != '\n' || ++found < *lines)
				continue;
			lseek(fd, end - (off_t)part + i + 1, SEEK_SET);
			*lines = 0;
			return 0;
		}
		end -= (off_t)part;
	}
	if (st.st_size > 0)
		*lines -= found + 1;
	lseek(fd, 0, SEEK_SET);
	return 0;
}

static void reverse(struct logtail *t)
{
	for (size_t i = 0; i < t->count / 2; i++) {
		int fd = t->files[i];
		t->files[i] = t->files[t->count - 1 - i];
		t->files[t->count - 1 - i] = fd;
	}
}

int logtail_open(struct launch *l, const char *id, int64_t lines, struct logtail *out, struct err *e)
{
	bool all = lines < 0;

	*out = (struct logtail){0};
	for (unsigned n = 0; n < FILES_MAX; n++) {
		bool compressed = false;
		int fd = launch_log_open(l, id, n, &compressed, e);
		if (fd == -ENOENT)
			break;
		int rc = fd < 0 ? fd : 0;
		if (fd >= 0)
			logtail_add(out, fd);
		if (rc == 0 && compressed)
			rc = err_http(e, 501, "reading compressed log files is not supported");
		if (rc == 0 && !all)
			rc = seek_back(fd, &lines, e);
		if (rc < 0) {
			logtail_clean(out);
			return rc;
		}
		if (!all && lines <= 0)
			break;
	}
	reverse(out);
	return 0;
}
