/* logs: GET /containers/{id}/logs, and what a client gets that attaches to a container that does not run. */
#include "runtimed/logs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "runtimed/logsetup.h"
#include "runtimed/logtail.h"
#include "runtimed/runtimed.h"
#include "lib/times.h"

/* Read, formatted and handed on before other requests get their turn. */
#define TURN	  (1u << 20)
#define BLOCK	  (128u << 10)
#define PIPE	  (256u << 10) /* between here and apid, where the kernel allows it */
#define LINE_MAX_ (4u << 20)
#define HEAD	  8 /* bytes */
/* Then a file that is missing was removed by hand. */
#define TRIES 50

struct reader {
	struct waiter waiter; /* first: the exit of a followed container */
	struct container *container;
	struct ipc_request *req; /* NULL: for a client that attaches */
	struct logtail tail;	 /* the files still to be read, the newest last */
	size_t at;		 /* the file being read */
	bool out, errors, timestamps, details, follow, tty;
	int64_t since, until, lines;
	unsigned tries;	      /* to open the files amid a rotation; 0: they are open */
	bool ended;	      /* followed: the container's process has ended */
	bool past;	      /* a line behind `until` came */
	char last[TIME_TEXT]; /* time of the last line read */
	unsigned same, seen;  /* lines read that have it; of them, read again */
	bool again;	      /* what is read now has been read in part: up to there */
	struct event *turn;   /* go on in the next turn of the loop */
	struct event *grown;  /* inotify */
	int inotify, watch;
	char *in; /* bytes read, lines not complete yet */
	size_t in_len, in_size;
	char *text; /* answer not sent yet */
	size_t text_len, text_size, text_sent;
	int pipe; /* the answer goes there, to apid: many bytes, and a message's are copied more often; or the stream */
	struct event *room;
	bool lost; /* nobody reads the stream any more */
	void (*done)(void *arg, int stream);
	void *arg;
};

static void reader_free(struct reader *r)
{
	waiter_cancel(&r->waiter);
	logtail_clean(&r->tail);
	if (r->turn)
		event_free(r->turn);
	if (r->grown)
		event_free(r->grown);
	if (r->room)
		event_free(r->room);
	fd_close(&r->pipe);
	fd_close(&r->inotify);
	container_unref(r->container);
	free(r->in);
	free(r->text);
	free(r);
}

static void finish(struct reader *r)
{
	struct ipc_request *req = r->req;
	void (*done)(void *arg, int stream) = r->done;
	void *arg = r->arg;
	const int stream = done && !r->lost ? STEAL_FD(r->pipe) : -1;

	if (req)
		ipc_request_on_cancel(req, NULL, NULL);
	reader_free(r);
	if (req)
		ipc_reply_done(req);
	else
		done(arg, stream);
}

/* ---- lines to answer ---- */

/* Where the next `len` bytes of the answer are to be written. */
static char *room(struct reader *r, size_t len)
{
	if (r->text_len + len > r->text_size) {
		r->text_size = (r->text_len + len) * 2 + 4096;
		r->text = xrealloc(r->text, r->text_size, 1);
	}
	r->text_len += len;
	return r->text + r->text_len - len;
}

static void put(struct reader *r, const void *data, size_t len)
{
	memcpy(room(r, len), data, len);
}

/* "env=prod,tier=web ": what --details shows. */
static void put_details(struct reader *r, const struct log_line *line)
{
	json_t *attrs = line->attrs ? json_loadb(line->attrs, line->attrs_len, 0, NULL) : NULL, *value;
	const char *key, *comma = "";

	json_object_foreach(attrs, key, value) {
		put(r, comma, strlen(comma));
		put(r, key, strlen(key));
		put(r, "=", 1);
		put(r, json_string_value(value), json_string_length(value));
		comma = ",";
	}
	put(r, " ", 1);
	json_decref(attrs);
}

static bool wanted(struct reader *r, const struct log_line *line)
{
	int64_t time;

	if (!(line->is_stderr ? r->errors : r->out))
		return false;
	if (!r->since && !r->until)
		return true;
	if (time_parse_rfc3339(line->time, line->time_len, &time) < 0)
		return false;
	r->past = r->until && time > r->until;
	return time >= r->since && !r->past;
}

/* Has the line been read before? Times are of one length and in order; many lines may have the same. */
static bool known(struct reader *r, const struct log_line *line)
{
	if (line->time_len >= sizeof r->last)
		return false;
	int order = strncmp(line->time, r->last, line->time_len);

	if (r->again) {
		if (order < 0 || (order == 0 && r->seen++ < r->same))
			return true;
		r->again = false;
		r->seen = 0;
	}
	r->same = order == 0 ? r->same + 1 : 1;
	memcpy(r->last, line->time, line->time_len);
	r->last[line->time_len] = '\0';
	return false;
}

/* Before a piece of a stream, without a terminal: which one, and how many bytes. */
static void put_head(char *to, bool is_stderr, size_t len)
{
	uint32_t head[HEAD / 4] = {htonl(is_stderr ? 2u << 24 : 1u << 24), htonl((uint32_t)len)};

	memcpy(to, head, HEAD);
}

static void put_line(struct reader *r, char *text, size_t len)
{
	struct log_line line;

	if (!log_line_parse(text, len, &line) || (r->follow && known(r, &line)) || !wanted(r, &line))
		return;
	size_t start = r->text_len;
	if (!r->tty)
		room(r, HEAD);
	if (r->timestamps) {
		put(r, line.time, line.time_len);
		put(r, " ", 1);
	}
	if (r->details)
		put_details(r, &line);
	put(r, line.text, line.len);
	if (!r->tty)
		put_head(r->text + start, line.is_stderr, r->text_len - start - HEAD);
}

static void put_lines(struct reader *r)
{
	char *p = r->in, *end = r->in + r->in_len, *newline;

	while (!r->past && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		*newline = '\0';
		put_line(r, p, (size_t)(newline - p));
		p = newline + 1;
	}
	r->in_len = (size_t)(end - p);
	memmove(r->in, p, r->in_len);
	/* No line of ours is that long: the file is not a log. */
	if (r->in_len > LINE_MAX_)
		r->in_len = 0;
}

/* ---- sending ---- */

/* true: all of it has gone. Otherwise on_turn goes on, or the client has gone: then the request is cancelled. */
static bool send_text(struct reader *r)
{
	while (r->text_sent < r->text_len) {
		ssize_t n = write(r->pipe, r->text + r->text_sent, r->text_len - r->text_sent);
		if (n < 0) {
			if (errno == EAGAIN)
				event_add(r->room, NULL);
			else
				r->lost = true;
			return false;
		}
		r->text_sent += (size_t)n;
	}
	r->text_sent = r->text_len = 0;
	return true;
}

/* ---- reading ---- */

static ssize_t read_block(struct reader *r)
{
	if (r->in_len + BLOCK > r->in_size) {
		r->in_size = r->in_len + BLOCK;
		r->in = xrealloc(r->in, r->in_size, 1);
	}
	ssize_t n = logtail_read(&r->tail, r->at, r->in + r->in_len, BLOCK);
	if (n > 0)
		r->in_len += (size_t)n;
	return n;
}

static void watch_newest(struct reader *r)
{
	char path[32];

	if (r->watch >= 0)
		inotify_rm_watch(r->inotify, r->watch);
	snprintf(path, sizeof path, "/proc/self/fd/%d", r->tail.files[r->tail.count - 1].fd);
	r->watch = inotify_add_watch(r->inotify, path, IN_MODIFY | IN_MOVE_SELF | IN_ATTRIB);
}

static const struct timeval rotation = {.tv_usec = 20000};

static int open_log(struct reader *r, struct err *e)
{
	logtail_clean(&r->tail);
	int rc = logtail_open(r->container->rt->launch, r->container->id, r->lines, &r->tail, e);
	if (rc == -EAGAIN && r->tries < TRIES) {
		r->tries++;
		return rc;
	}
	r->tries = 0;
	return rc == -EAGAIN ? 0 : rc;
}

/* At the end of a file: go on with the next one. true: there is one, `at` is it. */
static bool next_file(struct reader *r)
{
	if (r->at + 1 < r->tail.count) {
		r->at++;
		return true;
	}
	if (!r->follow)
		return false;
	int rc = logtail_next(r->container->rt->launch, r->container->id, &r->tail, NULL);
	if (rc == -EAGAIN && r->tail.count && !r->ended)
		event_add(r->turn, &rotation);
	if ((rc != 1 && rc != -ESTALE) || r->tail.count == 0)
		return false;
	r->again = rc == -ESTALE;
	watch_newest(r);
	r->at = 0;
	return true;
}

static void pump(struct reader *r)
{
	static const struct timeval now = {0};
	size_t done = 0;

	if (r->tries && open_log(r, NULL) == -EAGAIN) {
		event_add(r->turn, &rotation);
		return;
	}
	if (r->follow && r->watch < 0 && r->tail.count)
		watch_newest(r);
	for (;;) {
		if (!send_text(r)) {
			if (r->lost && !r->req)
				break;
			return;
		}
		if (r->past)
			break;
		if (done > TURN) {
			event_add(r->turn, &now);
			return;
		}
		bool ended = r->ended; /* before the read: what is written by the exit is read */
		ssize_t n = r->at < r->tail.count ? read_block(r) : 0;
		if (n > 0) {
			done += (size_t)n;
			put_lines(r);
			continue;
		}
		if (next_file(r))
			continue;
		if (!r->follow || ended)
			break;
		return; /* inotify, or an event of the container */
	}
	finish(r);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

static void on_grown(evutil_socket_t fd, short what, void *arg)
{
	char buf[4096];

	(void)what;
	while (read(fd, buf, sizeof buf) > 0)
		;
	pump(arg);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	finish(arg);
}

#define FOLLOWED (CE_STARTED | CE_SETTLED | CE_EXIT | CE_GIVEN_UP | CE_REMOVED)

static void on_event(struct waiter *w, struct container *c, uint32_t event)
{
	struct reader *r = (struct reader *)w;

	if (!(event & CE_REMOVED) && (container_running(c) || c->starting))
		container_wait(c, w, FOLLOWED, on_event);
	else
		r->ended = true;
	pump(r);
}

/* ---- the operation ---- */

static int follow(struct reader *r, struct err *e)
{
	struct container *c = r->container;

	r->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (r->inotify < 0)
		return err_sys(e, -errno, "follow the log");
	r->grown = event_new(c->rt->d.base, r->inotify, EV_READ | EV_PERSIST, on_grown, r);
	event_add(r->grown, NULL);
	container_wait(c, &r->waiter, FOLLOWED, on_event);
	return 0;
}

static int open_pipe(struct reader *r, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe2");
	AUTO_CLOSE int theirs = ends[0];
	r->pipe = ends[1];
	fcntl(r->pipe, F_SETPIPE_SZ, PIPE);
	int rc = fd_set_nonblock(r->pipe, e);
	if (rc < 0)
		return rc;
	r->room = event_new(r->container->rt->d.base, r->pipe, EV_WRITE, on_turn, r);
	rc = ipc_chunk_pipe(r->req, theirs,
			    r->tty ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream",
			    NULL);
	return rc < 0 ? err_sys(e, rc, "answer by a pipe") : 0;
}

static int read_request(struct reader *r, const struct container_logs *m, struct err *e)
{
	int64_t now = time_now();
	char *end;

	if (!m->out && !m->errors)
		return err_http(e, 400, "Bad parameters: you must choose at least one stream");
	r->lines = -1;
	if (m->tail && *m->tail && !str_eq(m->tail, "all")) {
		r->lines = strtoll(m->tail, &end, 10);
		if (*end)
			r->lines = -1; /* Docker shows everything then */
	}
	int rc = time_parse(m->since, now, &r->since, e);
	if (rc == 0)
		rc = time_parse(m->until, now, &r->until, e);
	if (rc == 0)
		rc = open_log(r, e);
	return rc == -EAGAIN ? 0 : rc;
}

void logs_to_client(struct container *c, const struct launch_attach *how, int take_stream,
		    void (*done)(void *arg, int stream), void *arg)
{
	struct reader *r = XNEW(struct reader);

	*r = (struct reader){.container = container_ref(c),
			     .inotify = -1,
			     .pipe = take_stream,
			     .watch = -1,
			     .out = how->out,
			     .errors = how->err,
			     .lines = -1,
			     .tty = how->raw || json_true_at(c->config, "Tty"),
			     .done = done,
			     .arg = arg};
	r->turn = evtimer_new(c->rt->d.base, on_turn, r);
	r->room = event_new(c->rt->d.base, r->pipe, EV_WRITE, on_turn, r);
	if (!logsetup_readable(c) || fd_set_nonblock(r->pipe, NULL) < 0) {
		finish(r);
		return;
	}
	open_log(r, NULL);
	pump(r);
}

void on_container_logs(struct ipc_request *req, struct container_logs *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	if (!logsetup_readable(c)) {
		ipc_fail(req, 501, "configured logging driver does not support reading");
		return;
	}
	struct reader *r = XNEW(struct reader);
	*r = (struct reader){.container = container_ref(c),
			     .req = req,
			     .inotify = -1,
			     .pipe = -1,
			     .watch = -1,
			     .out = m->out,
			     .errors = m->errors,
			     .timestamps = m->timestamps,
			     .details = m->details,
			     .tty = json_true_at(c->config, "Tty")};
	r->follow = m->follow && (container_alive(c) || c->starting || c->state.status == CT_RESTARTING);
	int rc = read_request(r, m, &e);
	if (rc == 0 && r->follow)
		rc = follow(r, &e);
	if (rc == 0)
		rc = open_pipe(r, &e);
	if (rc < 0) {
		reader_free(r);
		ipc_reply_error(req, &e);
		return;
	}
	r->turn = evtimer_new(rt->d.base, on_turn, r);
	ipc_request_on_cancel(req, on_cancel, r);
	pump(r);
}
