#include "imaged/lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct lines {
	struct ipc_request *req;
	void (*gone_fn)(void *arg);
	void *arg;
	bool gone, started, ending;
	char *waiting; /* without credit */
	size_t len;
};

static void finish(struct lines *l)
{
	ipc_request_on_credit(l->req, NULL, NULL);
	ipc_request_on_cancel(l->req, NULL, NULL);
	ipc_reply_done(l->req);
	free(l->waiting);
	free(l);
}

static void flush(struct lines *l)
{
	while (l->len && !l->gone) {
		size_t credit = ipc_request_credit(l->req);
		size_t n = l->len < credit ? l->len : credit;
		if (n == 0)
			return;
		int rc = ipc_chunk(l->req, l->waiting, n);
		if (rc == -EAGAIN)
			return;
		if (rc < 0) {
			l->gone = true;
			break;
		}
		memmove(l->waiting, l->waiting + n, l->len - n);
		l->len -= n;
	}
	if (l->gone)
		l->len = 0;
}

static void on_credit(struct ipc_request *req, void *arg)
{
	struct lines *l = arg;

	(void)req;
	flush(l);
	if (l->ending && l->len == 0)
		finish(l);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	struct lines *l = arg;

	(void)req;
	l->gone = true;
	l->len = 0;
	if (l->ending)
		finish(l);
	else if (l->gone_fn)
		l->gone_fn(l->arg);
}

struct lines *lines_new(struct ipc_request *req, void (*gone)(void *arg), void *arg)
{
	struct lines *l = XNEW(struct lines);

	*l = (struct lines){.req = req, .gone_fn = gone, .arg = arg};
	ipc_request_on_credit(req, on_credit, l);
	ipc_request_on_cancel(req, on_cancel, l);
	return l;
}

void lines_put(struct lines *l, json_t *take_line)
{
	AUTO_FREE char *text = json_dumps(take_line, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;

	json_decref(take_line);
	if (!text || l->gone)
		return;
	l->started = true;
	l->waiting = xrealloc(l->waiting, l->len + n + 2, 1);
	memcpy(l->waiting + l->len, text, n);
	memcpy(l->waiting + l->len + n, "\r\n", 2);
	l->len += n + 2;
	flush(l);
}

void lines_hint(struct lines *l, json_t *take_line)
{
	if (l->len)
		json_decref(take_line);
	else
		lines_put(l, take_line);
}

json_t *lines_status_of(const char *id, const char *fmt, va_list ap)
{
	AUTO_FREE char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	return id ? json_pack("{s:s, s:s}", "status", text, "id", id) : json_pack("{s:s}", "status", text);
}

void lines_status(struct lines *l, const char *id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	json_t *line = lines_status_of(id, fmt, ap);
	va_end(ap);
	lines_put(l, line);
}

void lines_end(struct lines *l)
{
	flush(l);
	if (l->len == 0)
		finish(l);
	else
		l->ending = true;
}

void lines_fail(struct lines *l, const struct err *e)
{
	if (l->started) {
		lines_put(l, json_pack("{s:{s:s}, s:s}", "errorDetail", "message", e->text, "error", e->text));
		lines_end(l);
		return;
	}
	ipc_request_on_credit(l->req, NULL, NULL);
	ipc_request_on_cancel(l->req, NULL, NULL);
	ipc_reply_error(l->req, e);
	free(l->waiting);
	free(l);
}
