/* replay: what was logged so far, for a client that asks for it before what comes. Reads what log.c has written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define LINE_BYTES (128u << 10) /* of a logged piece of 16 KiB with every byte escaped */
#define READ_BYTES (32u << 10)

static gzFile open_file(const struct client *c, const char *name)
{
	int fd = openat(c->log_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	gzFile file = fd < 0 ? NULL : gzdopen(fd, "r");

	if (!file)
		fd_close(&fd);
	return file;
}

/* The next file that exists, from the oldest to the present one; NULL behind the last. */
static gzFile next_file(struct client *c)
{
	char name[256];

	while (c->log_number > 0) {
		unsigned n = --c->log_number;
		if (n)
			snprintf(name, sizeof name, "%s.%u", c->log_name, n);
		else
			snprintf(name, sizeof name, "%s", c->log_name);
		gzFile file = open_file(c, name);
		if (!file && n) {
			snprintf(name, sizeof name, "%s.%u.gz", c->log_name, n);
			file = open_file(c, name);
		}
		if (file)
			return file;
	}
	return NULL;
}

void client_replay(struct client *c, int dir, const char *name, unsigned files)
{
	c->log_dir = dir;
	c->log_name = name;
	c->log_number = dir >= 0 ? (files ? files : 1) : 0;
	c->log = next_file(c);
	c->line_have = 0;
}

static size_t put_utf8(char *to, unsigned long v)
{
	if (v < 0x80) {
		to[0] = (char)v;
		return 1;
	}
	if (v < 0x800) {
		to[0] = (char)(0xc0 | v >> 6);
		to[1] = (char)(0x80 | (v & 0x3f));
		return 2;
	}
	to[0] = (char)(0xe0 | v >> 12);
	to[1] = (char)(0x80 | (v >> 6 & 0x3f));
	to[2] = (char)(0x80 | (v & 0x3f));
	return 3;
}

/* Decode the JSON text at `from`, in place, up to its quotation mark. Returns what stands behind it, NULL for nonsense.
 */
static char *unescape(char *from, char *end, size_t *len)
{
	char *to = from, *start = from, hex[5] = "";

	for (; from < end && *from != '"'; from++) {
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		if (++from == end)
			return NULL;
		switch (*from) {
		case 'n':
			*to++ = '\n';
			break;
		case 'r':
			*to++ = '\r';
			break;
		case 't':
			*to++ = '\t';
			break;
		case 'u':
			if (end - from < 5)
				return NULL;
			memcpy(hex, from + 1, 4);
			to += put_utf8(to, strtoul(hex, NULL, 16));
			from += 4;
			break;
		default:
			*to++ = *from;
		}
	}
	*len = (size_t)(to - start);
	return from < end ? from + 1 : NULL;
}

static void send_line(struct client *c, char *line, size_t len)
{
	static const char head[] = "{\"log\":\"";
	size_t n;

	if (len < sizeof head || memcmp(line, head, sizeof head - 1) != 0)
		return;
	char *text = line + sizeof head - 1;
	char *rest = unescape(text, line + len, &n);
	if (!rest || !n)
		return;
	bool is_err = memmem(rest, (size_t)(line + len - rest), "\"stderr\"", 8) != NULL;
	client_send(c, is_err ? STREAM_ERR : STREAM_OUT, text, n);
}

bool client_replay_more(struct client *c)
{
	if (!c->line)
		c->line = xcalloc(1, LINE_BYTES);
	size_t room = LINE_BYTES - c->line_have;
	int n = gzread(c->log, c->line + c->line_have, (unsigned)(room < READ_BYTES ? room : READ_BYTES));
	if (n <= 0) {
		gzclose(STEAL(c->log));
		c->line_have = 0;
		c->log = next_file(c);
		if (c->log)
			return true;
		free(STEAL(c->line));
		return c->flags & WIRE_STREAM;
	}
	c->line_have += (size_t)n;
	size_t from = 0;
	char *newline;
	while ((newline = memchr(c->line + from, '\n', c->line_have - from))) {
		send_line(c, c->line + from, (size_t)(newline - c->line) - from);
		from = (size_t)(newline - c->line) + 1;
	}
	memmove(c->line, c->line + from, c->line_have - from);
	c->line_have -= from;
	if (c->line_have == LINE_BYTES)
		c->line_have = 0;
	return true;
}
