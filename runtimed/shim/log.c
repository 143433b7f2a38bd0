/*
 * log: the container's log file: one JSON object a line, as Docker's json-file driver writes them. Rotated by size;
 * the directory is the shim's own. A full disk loses lines, never the container.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/words.h"
#include "runtimed/shim/shim.h"

#define BUFFER (64u << 10)
#define ROOM   4096 /* free in the buffer before more is put into it */
#define STAMP  30   /* characters of a time */

static char buffer[BUFFER];
static size_t have;

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

void logfile_open(struct logfile *l, const struct shim_args *a)
{
	struct stat st;

	*l = (struct logfile){.dir = a->log_dir,
			      .fd = -1,
			      .name = a->log_name,
			      .limit = a->log_size,
			      .compress = a->log_compress,
			      .attributes = a->log_attributes,
			      .attributes_len = strlen(a->log_attributes),
			      .files = a->log_files ? a->log_files : 1};
	if (l->dir < 0)
		return;
	l->fd = openat(l->dir, l->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (l->fd < 0)
		return;
	/* Read again, for compression and replay, when root's power is gone. */
	(void)!fchown(l->fd, a->uid, a->uid);
	if (fstat(l->fd, &st) == 0)
		l->size = (uint64_t)st.st_size;
}

void logfile_reopen(struct logfile *l)
{
	struct stat st;
	int fd = openat(l->dir, l->name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return;
	close(l->fd);
	l->fd = fd;
	if (fstat(fd, &st) == 0)
		l->size = (uint64_t)st.st_size;
}

static bool broken; /* the file ends within a line: the disk was full */

static void drain(struct logfile *l)
{
	size_t done = 0;

	if (broken && write(l->fd, "\n", 1) == 1)
		broken = false;
	while (done < have && !broken) {
		ssize_t n = write(l->fd, buffer + done, have - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		done += (size_t)n;
	}
	broken = broken || done < have;
	l->size += done;
	have = 0;
}

void logfile_flush(struct logfile *l)
{
	if (l->fd < 0 || have == 0)
		return;
	drain(l);
	if (l->limit && l->size >= l->limit)
		logfile_rotate(l);
}

static void put(const char *text, size_t len)
{
	// cppcheck-suppress uninitvar ; every caller has filled it
	memcpy(buffer + have, text, len);
	have += len;
}

/* Bytes of the UTF-8 character at `s`, 0 when there is none (RFC 3629). */
static size_t utf8(const unsigned char *s, size_t len)
{
	size_t n = s[0] >= 0xf0 && s[0] <= 0xf4	 ? 4
		   : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		   : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
						 : 0;

	if (n == 0 || len < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/*
 * How many bytes at `s` stand in a JSON text as they are: no control character, quotation mark or backslash, nothing
 * beyond ASCII. Sixteen at a time: most of a container's output is such text, and this is what its speed rests on.
 */
static size_t plain(const unsigned char *s, size_t len)
{
	size_t n = 0;

	for (; n + sizeof(words) <= len; n += sizeof(words)) {
		words w = words_load(s + n);
		size_t first = words_first((words)((w < 0x20) | (w >= 0x80) | (w == '"') | (w == '\\')));
		if (first < sizeof(words))
			return n + first;
	}
	while (n < len && s[n] >= 0x20 && s[n] < 0x80 && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

/* One character that is not plain; returns its bytes. */
static size_t escape_one(const unsigned char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c = s[0];
	size_t n = c >= 0x80 ? utf8(s, len) : 1;

	if (n == 0)
		put("\\ufffd", 6);
	else if (n > 1)
		put((const char *)s, n);
	else if (c == '"' || c == '\\')
		put((const char[]){'\\', (char)c}, 2);
	else if (c == '\n' || c == '\r' || c == '\t')
		put((const char[]){'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'}, 2);
	else
		put((const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
	return n ? n : 1;
}

static void escape(struct logfile *l, const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		if (have + ROOM > BUFFER)
			drain(l);
		size_t run = plain(s + i, len - i < ROOM / 2 ? len - i : ROOM / 2);
		put((const char *)s + i, run);
		i += run;
		if (i < len && run < ROOM / 2)
			i += escape_one(s + i, len - i);
	}
}

/* "2024-05-01T10:00:00.123456789Z"; many lines have the same. */
static const char *stamp(int64_t time)
{
	static char text[STAMP + 1] = "";
	static int64_t of = -1;
	static time_t second = -1;
	time_t s = (time_t)(time / 1000000000);
	long fraction = (long)(time % 1000000000);
	struct tm tm;

	if (time == of)
		return text;
	of = time;
	if (s != second) {
		gmtime_r(&s, &tm);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &tm);
		second = s;
	}
	for (size_t i = 9; i > 0; i--, fraction /= 10)
		text[19 + i] = (char)('0' + fraction % 10);
	text[29] = 'Z';
	return text;
}

/* May be longer than the buffer's free room. */
static void put_attributes(struct logfile *l)
{
	for (size_t done = 0; done < l->attributes_len;) {
		size_t n = l->attributes_len - done;
		if (have + ROOM > BUFFER)
			drain(l);
		n = n < ROOM / 2 ? n : ROOM / 2;
		put(l->attributes + done, n);
		done += n;
	}
	if (have + ROOM > BUFFER)
		drain(l);
}

void logfile_line(struct logfile *l, enum stream stream, const char *text, size_t len, int64_t time)
{
	static const char names[][21] = {"\",\"stream\":\"stdout\",", "\",\"stream\":\"stderr\","};

	if (l->fd < 0)
		return;
	if (l->limit && l->size + have >= l->limit)
		logfile_flush(l);
	if (have + ROOM > BUFFER)
		drain(l);
	put("{\"log\":\"", 8);
	escape(l, (const unsigned char *)text, len);
	put(names[stream], sizeof names[stream] - 1);
	put_attributes(l);
	put("\"time\":\"", 8);
	put(stamp(time), STAMP);
	put("\"}\n", 3);
}
