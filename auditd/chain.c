#include "auditd/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/util.h"

/* How much of a file's end is looked through for its last record. */
#define TAIL (4 * (size_t)AUDIT_LINE_MAX)

struct chain {
	int dir_fd;
	int fd; /* append only */
	uint64_t size, rotate_size;
	unsigned rotate_count;
	bool dirty;
	struct audit_head head;
	/* Bytes behind the last record that are no record: what torn writes have left. */
	char *torn;
	size_t torn_len;
};

/* ---- opening ---- */

static int open_file(struct chain *c, uint64_t first, struct err *e)
{
	char name[AUDIT_NAME_MAX];
	struct stat st;

	audit_file_name(first, name);
	AUTO_CLOSE int fd = openat(c->dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", name);
	if (fsync(c->dir_fd) < 0)
		return err_sys(e, -errno, "sync the directory of the audit log");
	fd_close(&c->fd);
	c->fd = STEAL_FD(fd);
	c->size = (uint64_t)st.st_size;
	return 0;
}

static void torn_add(struct chain *c, const char *bytes, size_t len)
{
	if (!len)
		return;
	c->torn = xrealloc(c->torn, c->torn_len + len, 1);
	memcpy(c->torn + c->torn_len, bytes, len);
	c->torn_len += len;
}

/* The last record in `text` (a file's tail): sets the head, returns where its line ends; 0 when there is none. */
static size_t last_record(struct chain *c, const char *text, size_t len)
{
	size_t end = len;

	while (end > 0) {
		const char *newline = memrchr(text, '\n', end);
		if (!newline)
			break;
		const char *before = memrchr(text, '\n', (size_t)(newline - text));
		const char *line = before ? before + 1 : text;
		size_t n = (size_t)(newline - line);
		json_auto_t *record = audit_record(line, n);
		if (record) {
			c->head.sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
			audit_line_hash(line, n, c->head.hash);
			return (size_t)(newline - text) + 1;
		}
		end = (size_t)(newline - text);
	}
	return 0;
}

/* 1 when a last record was found, 0 when the file has none. What stands behind it is torn. */
static int read_tail(struct chain *c, uint64_t first, struct err *e)
{
	char name[AUDIT_NAME_MAX];
	struct stat st;

	audit_file_name(first, name);
	AUTO_CLOSE int fd = openat(c->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "%s", name);
	off_t from = st.st_size > (off_t)TAIL ? st.st_size - (off_t)TAIL : 0;
	size_t len = (size_t)(st.st_size - from);
	AUTO_FREE char *text = xcalloc(len + 1, 1);
	if (pread(fd, text, len, from) != (ssize_t)len)
		return err_sys(e, -EIO, "read %s", name);
	size_t end = last_record(c, text, len);
	if ((end == 0 && from > 0) || len - end > AUDIT_LINE_MAX)
		return err_set(e, -EBADMSG, "%s does not end in a record: see pouchd ctl audit verify", name);
	torn_add(c, text + end, len - end);
	return end > 0;
}

static int find_end(struct chain *c, struct err *e)
{
	struct audit_files files;
	int r = audit_files(c->dir_fd, &files, e);

	/* Only the newest file can have been made without a record getting into it. */
	for (size_t i = files.n; r == 0 && i > 0 && i + 2 > files.n; i--)
		r = read_tail(c, files.first[i - 1], e);
	if (r == 0 && files.n > 0 && c->head.sequence == 0 && files.first[0] != 1)
		r = err_set(e, -EBADMSG, "the newest files of the audit log have no record");
	if (r >= 0)
		r = open_file(c, files.n ? files.first[files.n - 1] : 1, e);
	audit_files_clean(&files);
	return r;
}

int chain_open(int dir_fd, uint64_t rotate_size, unsigned rotate_count, struct chain **out, struct err *e)
{
	struct chain *c = XNEW(struct chain);

	c->dir_fd = dir_fd;
	c->fd = -1;
	c->head = (struct audit_head){.hash = AUDIT_GENESIS};
	chain_set_limits(c, rotate_size, rotate_count);
	int r = find_end(c, e);
	if (r < 0) {
		chain_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void chain_free(struct chain *c)
{
	if (!c)
		return;
	if (c->dirty)
		chain_sync(c, NULL);
	fd_close(&c->fd);
	free(c->torn);
	free(c);
}

void chain_set_limits(struct chain *c, uint64_t rotate_size, unsigned rotate_count)
{
	c->rotate_size = rotate_size;
	c->rotate_count = rotate_count;
}

/* ---- appending ---- */

static json_t *timestamp(void)
{
	struct timespec now;
	struct tm tm;
	char text[64], date[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof text, "%s.%06ldZ", date, now.tv_nsec / 1000);
	return json_string(text);
}

/* The whole line with its newline, and in front a newline that ends what was torn. */
static char *line_of(const struct chain *c, const json_t *record, size_t *start)
{
	json_auto_t *whole = json_object();

	json_object_set_new(whole, "seq", json_integer((json_int_t)(c->head.sequence + 1)));
	json_object_set_new(whole, "time", timestamp());
	json_object_set_new(whole, "prev", json_string(c->head.hash));
	json_object_update_missing(whole, (json_t *)record);
	AUTO_FREE char *text = json_dumps(whole, JSON_COMPACT);
	*start = c->torn_len && c->torn[c->torn_len - 1] != '\n';
	return text ? xasprintf("%s%s\n", *start ? "\n" : "", text) : NULL;
}

static int write_line(struct chain *c, const json_t *record, char **out, struct err *e)
{
	size_t start, done = 0;
	AUTO_FREE char *text = line_of(c, record, &start);
	size_t len = text ? strlen(text) : 0;

	if (!text || len > AUDIT_LINE_MAX)
		return err_set(e, -EMSGSIZE, "the record is too long or no text");
	c->dirty = true;
	while (done < len) {
		ssize_t n = write(c->fd, text + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int code = n < 0 ? -errno : -ENOSPC;
			torn_add(c, text, done);
			c->size += done;
			return err_sys(e, code, "write the audit log");
		}
		done += (size_t)n;
	}
	c->size += len;
	c->head.sequence++;
	audit_line_hash(text + start, len - start - 1, c->head.hash);
	if (out)
		*out = xstrndup(text + start, len - start - 1);
	return 0;
}

static void forget_torn(struct chain *c)
{
	free(STEAL(c->torn));
	c->torn_len = 0;
}

/* What is torn may be the next record but for its newline: then it is in the chain. 1 when it was. */
static int adopt_torn(struct chain *c, struct err *e)
{
	json_auto_t *record = audit_record(c->torn, c->torn_len);

	if (!record || json_integer_value(json_object_get(record, "seq")) != (json_int_t)(c->head.sequence + 1) ||
	    !str_eq(json_string_value(json_object_get(record, "prev")), c->head.hash))
		return 0;
	if (write(c->fd, "\n", 1) != 1)
		return err_sys(e, -errno, "write the audit log");
	c->size++;
	c->dirty = true;
	c->head.sequence++;
	audit_line_hash(c->torn, c->torn_len, c->head.hash);
	forget_torn(c);
	return 1;
}

/* The record that accounts for bytes which a torn write has left. */
static int account_for_torn(struct chain *c, struct err *e)
{
	char hex[SHA256_HEX];
	int r = c->torn_len ? adopt_torn(c, e) : 1;

	if (r != 0)
		return r < 0 ? r : 0;
	if (c->torn_len > AUDIT_LINE_MAX)
		return err_set(e, -EBADMSG, "too many torn writes in a row in the audit log");
	audit_line_hash(c->torn, c->torn_len, hex);
	json_auto_t *record = json_pack("{s:s,s:s,s:{s:I,s:s}}", "daemon", "auditd", "stage", "recovered", "torn",
					"bytes", (json_int_t)c->torn_len, "sha256", hex);
	r = write_line(c, record, NULL, e);
	if (r == 0)
		forget_torn(c);
	return r;
}

/* Files beyond the count go, oldest first; the new file's first record has said so and is on the disk. */
static void retire(struct chain *c, const struct audit_files *files, size_t gone)
{
	char name[AUDIT_NAME_MAX];

	for (size_t i = 0; i < gone; i++) {
		audit_file_name(files->first[i], name);
		unlinkat(c->dir_fd, name, 0);
	}
}

static int rotate(struct chain *c, struct err *e)
{
	struct audit_files files;
	int r = chain_sync(c, e);

	if (r == 0)
		r = open_file(c, c->head.sequence + 1, e);
	if (r == 0)
		r = audit_files(c->dir_fd, &files, e);
	if (r < 0)
		return r;
	size_t gone = files.n > c->rotate_count ? files.n - c->rotate_count : 0;
	json_auto_t *record = json_pack("{s:s,s:s,s:I}", "daemon", "auditd", "stage", "rotated", "retired",
					(json_int_t)(files.first[gone] - 1));
	r = write_line(c, record, NULL, e);
	if (r == 0)
		r = chain_sync(c, e);
	if (r == 0)
		retire(c, &files, gone);
	audit_files_clean(&files);
	return r;
}

int chain_append(struct chain *c, const json_t *record, char **line, struct err *e)
{
	int r = account_for_torn(c, e);

	if (r == 0 && c->size >= c->rotate_size && c->head.sequence > 0)
		r = rotate(c, e);
	return r < 0 ? r : write_line(c, record, line, e);
}

int chain_sync(struct chain *c, struct err *e)
{
	if (fdatasync(c->fd) < 0)
		return err_sys(e, -errno, "sync the audit log");
	c->dirty = false;
	return 0;
}

struct audit_head chain_head(const struct chain *c)
{
	return c->head;
}
