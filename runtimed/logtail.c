#include "runtimed/logtail.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"

#define BLOCK	  (64u << 10)
#define FILES_MAX 1000

void logtail_add(struct logtail *t, int take_fd)
{
	t->files = xrealloc(t->files, t->count + 1, sizeof *t->files);
	t->files[t->count++] = (struct logtail_file){.fd = take_fd};
}

static int add_compressed(struct logtail *t, int take_fd, struct err *e)
{
	gzFile file = gzdopen(take_fd, "r");

	if (!file) {
		close(take_fd);
		return err_set(e, -ENOMEM, "open a compressed log file");
	}
	gzbuffer(file, BLOCK);
	logtail_add(t, take_fd);
	t->files[t->count - 1].compressed = file;
	return 0;
}

void logtail_clean(struct logtail *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->files[i].compressed)
			gzclose(t->files[i].compressed);
		else
			fd_close(&t->files[i].fd);
	}
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

/* The same for a compressed one, which is read once for it. */
static int skip_lines(struct logtail_file *f, int64_t *lines, struct err *e)
{
	UNINITIALIZED char buf[BLOCK];
	int64_t found = 0;
	int n;

	while ((n = gzread(f->compressed, buf, sizeof buf)) > 0)
		for (const char *p = buf; (p = memchr(p, '\n', (size_t)(buf + n - p))); p++)
			found++;
	if (n < 0 || gzrewind(f->compressed) < 0)
		return err_set(e, -EIO, "a compressed log file is damaged");
	f->skip = found > *lines ? found - *lines : 0;
	*lines -= found - f->skip;
	return 0;
}

/* Of `n` bytes at `p`, those behind the lines that are not wanted, moved to the front; returns how many. */
static size_t drop_skipped(struct logtail_file *f, char *p, size_t n)
{
	size_t at = 0;

	while (f->skip && at < n) {
		const char *newline = memchr(p + at, '\n', n - at);
		at = newline ? (size_t)(newline - p) + 1 : n;
		f->skip -= newline != NULL;
	}
	memmove(p, p + at, n - at);
	return n - at;
}

ssize_t logtail_read(struct logtail *t, size_t at, char *to, size_t size)
{
	struct logtail_file *f = &t->files[at];

	if (!f->compressed)
		return read(f->fd, to, size);
	for (;;) {
		int n = gzread(f->compressed, to, (unsigned)size);
		if (n <= 0)
			return n;
		size_t left = drop_skipped(f, to, (size_t)n);
		if (left)
			return (ssize_t)left;
	}
}

static void reverse(struct logtail *t)
{
	for (size_t i = 0; i < t->count / 2; i++) {
		struct logtail_file f = t->files[i];
		t->files[i] = t->files[t->count - 1 - i];
		t->files[t->count - 1 - i] = f;
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
		if (fd >= 0 && compressed)
			rc = add_compressed(out, fd, e);
		else if (fd >= 0)
			logtail_add(out, fd);
		if (rc == 0 && !all)
			rc = compressed ? skip_lines(&out->files[out->count - 1], &lines, e) : seek_back(fd, &lines, e);
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

/* ---- following ---- */

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* The number that the file of `fd` has now, -1 when it has none: it is compressed meanwhile, or gone. */
static int number_of(struct launch *l, const char *id, int fd)
{
	for (unsigned n = 0; n < FILES_MAX; n++) {
		bool compressed;
		AUTO_CLOSE int other = launch_log_open(l, id, n, &compressed, NULL);
		if (other < 0 && n)
			break;
		if (other >= 0 && !compressed && same_file(other, fd))
			return (int)n;
	}
	return -1;
}

/* The file that is written to now; 0: there is none at the moment. */
static ino_t present(struct launch *l, const char *id)
{
	bool compressed;
	struct stat st;
	AUTO_CLOSE int fd = launch_log_open(l, id, 0, &compressed, NULL);

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* While files are renamed, from the oldest on, one number is missing below others. */
static bool rotating(struct launch *l, const char *id)
{
	bool missing = false;

	for (unsigned n = 0; n < FILES_MAX; n++) {
		bool compressed;
		AUTO_CLOSE int fd = launch_log_open(l, id, n, &compressed, NULL);
		if (missing)
			return fd >= 0;
		missing = fd < 0;
	}
	return false;
}

/* All there is, as it was at one moment; -EAGAIN when it was not. */
static int open_whole(struct launch *l, const char *id, struct logtail *out, struct err *e)
{
	ino_t before = present(l, id);
	int rc = logtail_open(l, id, -1, out, e);

	return rc == 0 && (!before || present(l, id) != before || rotating(l, id)) ? -EAGAIN : rc;
}

static int open_newer(struct launch *l, const char *id, int number, struct logtail *out, struct err *e)
{
	while (number-- > 0) {
		bool compressed;
		int fd = launch_log_open(l, id, (unsigned)number, &compressed, e);
		int rc = fd < 0 ? fd : 0;
		if (fd >= 0 && compressed)
			rc = add_compressed(out, fd, e);
		else if (fd >= 0)
			logtail_add(out, fd);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int logtail_next(struct launch *l, const char *id, struct logtail *t, struct err *e)
{
	int newest = t->count ? t->files[t->count - 1].fd : -1;
	int number = newest < 0 ? 1 : number_of(l, id, newest);
	struct logtail newer = {0};

	if (number == 0)
		return 0;
	int rc = number < 0 ? open_whole(l, id, &newer, e) : open_newer(l, id, number, &newer, e);
	/* Rotated between the look and the opening: the numbers are not what they were. */
	if (rc == 0 && number > 0 && newest >= 0 && number_of(l, id, newest) != number)
		rc = -EAGAIN;
	if (rc < 0) {
		logtail_clean(&newer);
		return rc == -ENOENT ? -EAGAIN : rc;
	}
	logtail_clean(t);
	*t = newer;
	return number < 0 ? -ESTALE : 1;
}
