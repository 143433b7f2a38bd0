/*
 * writer: with mode=non-blocking a process of its own writes the log file, so that a disk that hangs keeps neither the
 * container nor its clients waiting. Lines go to it as they go to a log worker; those beyond max-buffer-size are
 * dropped and counted. It lives as long as the shim's end of their socket, and what it has got by then is written.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

#define BATCH	  (64u << 10)
#define FINISH_MS 10000 /* dockerd's loggers have as long */

/* What the writer says when it has written what it had got. */
struct told {
	uint64_t written; /* bytes of lines and their heads, so far */
	uint64_t rotated; /* times, so far */
};

/* ---- in the writer ---- */

/* The whole lines among `n` bytes; returns how many bytes they are. bytes[n] may be written to. */
static size_t write_lines(struct logfile *l, char *bytes, size_t n)
{
	struct wire_line head;
	size_t at = 0;

	while (n - at >= sizeof head) {
		memcpy(&head, bytes + at, sizeof head);
		if (n - at - sizeof head < head.len)
			break;
		char *text = bytes + at + sizeof head, behind = text[head.len];
		text[head.len] = '\n';
		logfile_line(l, head.is_err ? STREAM_ERR : STREAM_OUT, text, head.len + !head.partial, head.time);
		text[head.len] = behind;
		at += sizeof head + head.len;
	}
	logfile_flush(l);
	return at;
}

static _Noreturn void writer_run(struct logfile *l, int sock)
{
	static char bytes[BATCH + 1];
	struct told told = {0};
	size_t have = 0;

	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		if (poll(&p, 1, compression_step(l) ? 0 : -1) <= 0)
			continue;
		ssize_t n = recv(sock, bytes + have, BATCH - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
		size_t done = write_lines(l, bytes, have);
		memmove(bytes, bytes + done, have - done);
		have -= done;
		told.written += done;
		told.rotated += l->rotated;
		l->rotated = 0;
		if (done)
			(void)!send(sock, &told, sizeof told, MSG_NOSIGNAL);
	}
	compression_stop(l);
	_exit(0);
}

/* ---- in the shim ---- */

void writer_start(struct shim *s)
{
	int pair[2], keep[3];

	/* For want of descriptors or memory the shim writes the file itself, as without the mode. */
	if (!s->args.log_buffer || s->log.fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	s->writer.pid = fork();
	if (s->writer.pid == 0) {
		keep[0] = pair[1];
		keep[1] = s->log.fd;
		keep[2] = s->log.dir;
		privileges_drop(s->args.uid, s->args.filter, keep, ARRAY_LEN(keep));
		writer_run(&s->log, pair[1]);
	}
	close(pair[1]);
	if (s->writer.pid < 0) {
		close(pair[0]);
		return;
	}
	s->writer.lines =
		(struct shim_logger){.fd = pair[0], .wanted = true, .drops = true, .limit = s->args.log_buffer};
}

static void replay_due(struct shim *s)
{
	for (struct client *c = s->clients; c; c = c->next)
		if (c->log_due)
			control_replay(s, c);
}

/* Somebody has ended it: the shim goes on in its place, with what it had not got yet. */
static void writer_lost(struct shim *s)
{
	struct shim_logger *g = &s->writer.lines;

	shim_logger_lose(g);
	g->wanted = false;
	logfile_reopen(&s->log);
	if (g->from < g->to) {
		char *rest = xcalloc(g->to - g->from + 1, 1);
		memcpy(rest, g->bytes + g->from, g->to - g->from);
		write_lines(&s->log, rest, g->to - g->from);
		free(rest);
	}
	free(STEAL(g->bytes));
	g->from = g->to = g->capacity = 0;
	replay_due(s);
}

void writer_line(struct shim *s, enum stream stream, const char *text, size_t len, int64_t time)
{
	struct shim_logger *g = &s->writer.lines;
	uint64_t dropped = g->total_dropped;
	size_t before = g->to - g->from;

	shim_logger_line(g, stream, text, len, time);
	s->writer.handed += g->to - g->from - before;
	/* Ever more rarely: it may be every line. */
	if (g->total_dropped != dropped && (g->total_dropped & dropped) == 0)
		control_tell(s, (struct wire_head){.type = WIRE_LINES_DROPPED, .time = (int64_t)g->total_dropped}, NULL,
			     0, NULL, 0);
}

void writer_flush(struct shim *s)
{
	if (s->writer.lines.wanted && !shim_logger_flush(&s->writer.lines))
		writer_lost(s);
}

void writer_serve(struct shim *s)
{
	struct told told;
	ssize_t n;

	while ((n = recv(s->writer.lines.fd, &told, sizeof told, MSG_DONTWAIT)) == sizeof told) {
		s->writer.written = told.written;
		output_rotated(s, (unsigned)(told.rotated - s->writer.rotated));
		s->writer.rotated = told.rotated;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		writer_lost(s);
		return;
	}
	writer_flush(s);
	if (!writer_behind(s))
		replay_due(s);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

void writer_finish(struct shim *s)
{
	struct shim_logger *g = &s->writer.lines;
	int64_t end = now_ms() + FINISH_MS, left = FINISH_MS;

	if (!g->wanted)
		return;
	while (writer_behind(s) && left > 0) {
		struct pollfd p = {.fd = g->fd, .events = (short)(POLLIN | (g->from < g->to ? POLLOUT : 0))};
		poll(&p, 1, (int)left);
		writer_serve(s);
		left = end - now_ms();
	}
	if (g->total_dropped)
		control_tell(
			s,
			(struct wire_head){.type = WIRE_LINES_DROPPED, .flags = 1, .time = (int64_t)g->total_dropped},
			NULL, 0, NULL, 0);
	/* It ends by that; one that still waits for its disk is left. */
	fd_close(&g->fd);
	if (g->wanted && !writer_behind(s))
		waitpid(s->writer.pid, NULL, 0);
	g->wanted = false;
}
