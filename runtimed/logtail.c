#include "runtimed/logtail.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"

#define BLOCK	  (64u << 10)
#define FILES_MAX 1000
#define TURNS	  20

static void logtail_add(struct logtail *t, int take_fd)
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

static void close_last(struct logtail *t)
{
	struct logtail_file *f = &t->files[--t->count];

	if (f->compressed)
		gzclose(f->compressed);
	else
		fd_close(&f->fd);
}

void logtail_clean(struct logtail *t)
{
	while (t->count)
		close_last(t);
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

/* ---- opening ---- */

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static int add_number(struct launch *l, const char *id, unsigned n, struct logtail *out, struct err *e)
{
	bool compressed = false;
	int fd = launch_log_open(l, id, n, &compressed, e);

	if (fd < 0 || compressed)
		return fd < 0 ? fd : add_compressed(out, fd, e);
	logtail_add(out, fd);
	return 0;
}

static bool is_number(struct launch *l, const char *id, unsigned n, int fd)
{
	bool compressed;
	AUTO_CLOSE int other = launch_log_open(l, id, n, &compressed, NULL);

	return other >= 0 && same_file(other, fd);
}

static bool has_number(struct launch *l, const char *id, unsigned n)
{
	bool compressed;
	AUTO_CLOSE int fd = launch_log_open(l, id, n, &compressed, NULL);

	return fd >= 0;
}

/* The number, not less than `n`, that the file of `fd` has now, -1 when it has none: it is compressed, or gone. */
static int number_of(struct launch *l, const char *id, int fd, unsigned n)
{
	/* While files are renamed, from the oldest on, one number is missing below others. */
	for (; n < FILES_MAX && (has_number(l, id, n) || has_number(l, id, n + 1)); n++)
		if (is_number(l, id, n, fd))
			return (int)n;
	return -1;
}

/*
 * Add the file before the last one in *t, the newest when there is none. Files move on to higher numbers at any moment:
 * what stood behind a file that has the same number before and after is the one before it. 0: there is no more.
 * -EAGAIN: it is not known where the last one is, or what is before it has no number at the moment.
 */
static int add_older(struct launch *l, const char *id, struct logtail *t, struct err *e)
{
	int newer = t->count ? t->files[t->count - 1].fd : -1, number = -1;

	for (unsigned turns = 0; turns < TURNS; turns++) {
		number = newer < 0 ? -1 : number_of(l, id, newer, number < 0 ? 0 : (unsigned)number);
		if (newer >= 0 && number < 0)
			return -EAGAIN;
		int rc = add_number(l, id, (unsigned)(number + 1), t, e);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		bool more = rc == 0 || has_number(l, id, (unsigned)(number + 2));
		if (newer < 0 || is_number(l, id, (unsigned)number, newer)) {
			if (rc == 0 || !more)
				return rc == 0;
		} else if (rc == 0) {
			close_last(t);
		}
	}
	return -EAGAIN;
}

/* Newest first, as far as the last *lines lines reach. */
static int open_files(struct launch *l, const char *id, int64_t lines, struct logtail *out, struct err *e)
{
	bool all = lines < 0;
	int rc;

	while ((rc = add_older(l, id, out, e)) > 0) {
		struct logtail_file *f = &out->files[out->count - 1];
		rc = all ? 0 : f->compressed ? skip_lines(f, &lines, e) : seek_back(f->fd, &lines, e);
		if (rc < 0 || (!all && lines <= 0))
			break;
	}
	return rc;
}

int logtail_open(struct launch *l, const char *id, int64_t lines, struct logtail *out, struct err *e)
{
	int rc = -EAGAIN;

	*out = (struct logtail){0};
	for (unsigned turns = 0; turns < TURNS && rc == -EAGAIN; turns++) {
		logtail_clean(out);
		rc = open_files(l, id, lines, out, e);
	}
	if (rc < 0 && rc != -EAGAIN)
		logtail_clean(out);
	reverse(out);
	return rc;
}

/* ---- following ---- */

static int open_newer(struct launch *l, const char *id, int number, struct logtail *out, struct err *e)
{
	int rc = 0;

	while (rc == 0 && number-- > 0)
		rc = add_number(l, id, (unsigned)number, out, e);
	return rc;
}

int logtail_next(struct launch *l, const char *id, struct logtail *t, struct err *e)
{
	int newest = t->count ? t->files[t->count - 1].fd : -1;
	int number = newest < 0 ? 1 : number_of(l, id, newest, 0);
	struct logtail newer = {0};

	if (number == 0)
		return 0;
	int rc = number < 0 ? logtail_open(l, id, -1, &newer, e) : open_newer(l, id, number, &newer, e);
	/* Rotated between the look and the opening: the numbers are not what they were. */
	if (rc == 0 && (newer.count == 0 || (number > 0 && newest >= 0 && !is_number(l, id, (unsigned)number, newest))))
		rc = -EAGAIN;
	if (rc < 0) {
		logtail_clean(&newer);
		return rc == -ENOENT ? -EAGAIN : rc;
	}
	logtail_clean(t);
	*t = newer;
	return number < 0 ? -ESTALE : 1;
}
