/* output: from the container to its clients and its log. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define LINE_PIECE (16u << 10) /* a line is logged in pieces of this size, as Docker does */
#define READ_SIZE  (64u << 10)

void output_logger(struct shim *s)
{
	if (!shim_logger_flush(&s->logger))
		control_tell(s, (struct wire_head){.type = WIRE_LOGGER_LOST}, NULL, 0, NULL, 0);
}

void output_rotated(struct shim *s, unsigned times)
{
	if (!times)
		return;
	for (struct client *c = s->clients; c; c = c->next)
		c->log_number += c->log ? times : 0;
	control_tell(s, (struct wire_head){.type = WIRE_ROTATED}, NULL, 0, NULL, 0);
}

/* To those who write them: all that waits, or what should not wait. */
static void send_lines(struct shim *s, bool all)
{
	if (all || shim_logger_due(&s->writer.lines))
		writer_flush(s);
	if (all || shim_logger_due(&s->logger))
		output_logger(s);
}

static void log_lines(struct shim *s, enum stream i, bool end)
{
	char *bytes = s->partial[i].bytes;
	size_t have = s->partial[i].have, from = 0;
	int64_t time = now_ns();

	if (s->log.fd < 0 && !s->logger.wanted) {
		s->partial[i].have = 0;
		return;
	}
	while (from < have) {
		char *newline = memchr(bytes + from, '\n', have - from);
		size_t len = newline ? (size_t)(newline - bytes) + 1 - from : have - from;
		if (len > LINE_PIECE)
			len = LINE_PIECE;
		else if (!newline && !end)
			break;
		if (s->writer.lines.wanted)
			writer_line(s, i, bytes + from, len, time);
		else
			logfile_line(&s->log, i, bytes + from, len, time);
		shim_logger_line(&s->logger, i, bytes + from, len, time);
		send_lines(s, false);
		from += len;
	}
	memmove(bytes, bytes + from, have - from);
	s->partial[i].have = have - from;
	logfile_flush(&s->log);
	output_rotated(s, s->log.rotated);
	s->log.rotated = 0;
	send_lines(s, true);
}

void output_close(struct shim *s, enum stream i)
{
	if (s->partial[i].have)
		log_lines(s, i, true);
	if (s->out[i] == s->terminal) {
		s->out[i] = -1;
		return;
	}
	fd_close(&s->out[i]);
}

bool output_read(struct shim *s, enum stream i)
{
	if (!s->partial[i].bytes)
		s->partial[i].bytes = xcalloc(1, READ_SIZE);
	char *to = s->partial[i].bytes + s->partial[i].have;
	ssize_t n = read(s->out[i], to, READ_SIZE - s->partial[i].have);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		output_close(s, i);
		return false;
	}
	for (struct client *c = s->clients; c; c = c->next)
		client_output(c, i, to, (size_t)n);
	s->partial[i].have += (size_t)n;
	log_lines(s, i, false);
	return true;
}
