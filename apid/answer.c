/* What goes to the client: heads, whole answers, errors. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "apid/dialect.h"
#include "apid/exchange.h"
#include "apid/stats.h"
#include "lib/text.h"
#include "lib/util.h"

#define JSON_TYPE "application/json"

struct answer {
	int status;
	const char *content_type; /* NULL: JSON */
	const char *headers;	  /* further ones, as lines; NULL without */
	const char *text;
	size_t len;
	bool close;	/* the connection ends behind it */
	bool old;	/* to HTTP/1.0 */
	bool head_only; /* HEAD */
};

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{304, "Not Modified"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{413, "Content Too Large"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{507, "Insufficient Storage"},
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

static const char *date_now(void)
{
	static char text[64];
	static time_t of;
	time_t now = time(NULL);
	struct tm tm;

	if (now != of && gmtime_r(&now, &tm)) {
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		of = now;
	}
	return text;
}

/* Room for what put_head() and put_header() write, beside the texts that they are given. */
#define HEAD_ROOM 512

/* Room in the connection's output for a head with these texts and `len` bytes behind it. */
static char *begin(struct connection *c, const char *type, const char *headers, size_t len, struct evbuffer_iovec *room)
{
	size_t size = HEAD_ROOM + strlen(c->apid->common_headers) + strlen(type) + strlen(headers) + len;

	if (evbuffer_reserve_space(connection_out(c), (ev_ssize_t)size, room, 1) != 1)
		abort();
	return room->iov_base;
}

static void commit(struct connection *c, struct evbuffer_iovec *room, const char *end)
{
	room->iov_len = (size_t)(end - (const char *)room->iov_base);
	if (evbuffer_commit_space(connection_out(c), room, 1) < 0)
		abort();
}

/* Status line and the headers that every answer has. */
static char *put_head(char *p, const struct apid *a, int status, bool close, bool old)
{
	p = text_put_number(text_put(p, "HTTP/1.1 "), (uint64_t)status);
	p = text_put(text_put(p, " "), reason_of(status));
	p = text_put(text_put(p, "\r\nDate: "), date_now());
	p = text_put(p, close ? "\r\nConnection: close\r\n" : old ? "\r\nConnection: keep-alive\r\n" : "\r\n");
	return text_put(p, a->common_headers);
}

static char *put_header(char *p, const char *name, const char *value)
{
	return text_put(text_put(text_put(text_put(p, name), ": "), value), "\r\n");
}

static bool has_body(int status)
{
	return status != 204 && status != 304;
}

/* A whole answer: the head, and its body unless only the head was asked for. */
static void write_whole(struct connection *c, const struct answer *answer)
{
	struct evbuffer_iovec room;
	const char *type = answer->content_type ? answer->content_type : JSON_TYPE;
	const char *headers = answer->headers ? answer->headers : "";
	bool body = has_body(answer->status);
	char *p = begin(c, type, headers, answer->len, &room);

	p = put_head(p, c->apid, answer->status, answer->close, answer->old);
	if (body && answer->len)
		p = put_header(p, "Content-Type", type);
	p = text_put(p, headers);
	if (body)
		p = text_put(text_put_number(text_put(p, "Content-Length: "), answer->len), "\r\n");
	p = text_put(p, "\r\n");
	if (body && !answer->head_only)
		p = text_put_bytes(p, answer->text, answer->len);
	commit(c, &room, p);
}

void answer_text(struct exchange *x, int status, const char *content_type, const char *headers, const char *text,
		 size_t len)
{
	AUTO_FREE char *rewritten = NULL;

	if (status < 400 && dialect_rewrite(x, &status, text, len, &rewritten)) {
		text = rewritten;
		len = rewritten ? strlen(rewritten) : 0;
	}
	x->status = status;
	const struct answer answer = {
		.status = status,
		.content_type = content_type,
		.headers = headers,
		.text = text,
		.len = len,
		.close = !exchange_keeps(x),
		.old = x->head.minor == 0,
		.head_only = str_eq(x->head.method, "HEAD"),
	};
	write_whole(x->conn, &answer);
	exchange_answered(x);
}

void answer_json(struct exchange *x, int status, struct json_t *take_json)
{
	AUTO_FREE char *text = json_dumps(take_json, JSON_COMPACT);

	json_decref(take_json);
	answer_text(x, status, NULL, NULL, text, text ? strlen(text) : 0);
}

static char *error_text(const struct err *e)
{
	json_t *message = json_string(e->text);
	json_t *o = json_pack("{s:o}", "message", message ? message : json_string("(no text)"));
	char *line = json_dumps(o, JSON_COMPACT);
	char *text = xasprintf("%s\n", line);

	free(line);
	json_decref(o);
	return text;
}

void answer_error(struct exchange *x, const struct err *e)
{
	AUTO_FREE char *text = error_text(e);

	answer_text(x, err_status(e), NULL, NULL, text, strlen(text));
}

void answer_not_allowed(struct exchange *x, const char *allow, const struct err *e)
{
	AUTO_FREE char *text = error_text(e);
	AUTO_FREE char *header = xasprintf("Allow: %s\r\n", allow);

	answer_text(x, 405, NULL, header, text, strlen(text));
}

void exchange_refuse(struct connection *c, const struct err *e)
{
	AUTO_FREE char *text = error_text(e);
	const struct answer answer = {.status = err_status(e), .text = text, .len = strlen(text), .close = true};

	write_whole(c, &answer);
	stats_count(c->apid->stats, NULL, err_status(e), 0);
	connection_next(c, false);
}

void answer_continue(struct exchange *x)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	evbuffer_add(connection_out(x->conn), text, sizeof text - 1);
}

void answer_begin_stream(struct exchange *x, const char *content_type, const char *headers)
{
	const char *type = content_type ? dialect_stream_type(x, content_type) : JSON_TYPE;
	struct evbuffer_iovec room;

	x->status = 200;
	x->chunked = x->head.minor == 1;
	x->keep &= x->chunked;
	const char *more = headers ? headers : "";
	char *p = put_head(begin(x->conn, type, more, 0, &room), x->apid, 200, !x->keep, false);
	p = put_header(p, "Content-Type", type);
	if (x->chunked)
		p = put_header(p, "Transfer-Encoding", "chunked");
	p = text_put(p, more);
	commit(x->conn, &room, text_put(p, "\r\n"));
}

static char *put_upgrade(char *p, const char *protocol)
{
	return put_header(put_header(p, "Connection", "Upgrade"), "Upgrade", protocol);
}

void answer_begin_hijack(struct exchange *x, const char *content_type)
{
	const char *type = dialect_stream_type(x, content_type ? content_type : "application/vnd.docker.raw-stream");
	struct evbuffer_iovec room;
	char *p = begin(x->conn, type, x->ws_accept, 0, &room);

	x->status = x->ws || x->head.upgrade ? 101 : 200;
	if (x->ws) {
		p = put_upgrade(text_put(p, "HTTP/1.1 101 Switching Protocols\r\n"), "websocket");
		p = put_header(p, "Sec-WebSocket-Accept", x->ws_accept);
	} else {
		p = text_put(p, x->head.upgrade ? "HTTP/1.1 101 UPGRADED\r\n" : "HTTP/1.1 200 OK\r\n");
		p = put_header(text_put(p, x->apid->common_headers), "Content-Type", type);
		if (x->head.upgrade)
			p = put_upgrade(p, "tcp");
	}
	commit(x->conn, &room, text_put(p, "\r\n"));
}
