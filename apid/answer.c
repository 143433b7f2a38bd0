/* What goes to the client: heads, whole answers, errors. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "apid/dialect.h"
#include "apid/exchange.h"
#include "apid/stats.h"
#include "lib/util.h"

#define JSON_TYPE "application/json"

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{200, "OK"},		      {201, "Created"},
		{202, "Accepted"},	      {204, "No Content"},
		{304, "Not Modified"},	      {400, "Bad Request"},
		{401, "Unauthorized"},	      {403, "Forbidden"},
		{404, "Not Found"},	      {405, "Method Not Allowed"},
		{406, "Not Acceptable"},      {408, "Request Timeout"},
		{409, "Conflict"},	      {413, "Content Too Large"},
		{416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
		{429, "Too Many Requests"},   {431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"}, {501, "Not Implemented"},
		{502, "Bad Gateway"},	      {503, "Service Unavailable"},
		{504, "Gateway Timeout"},     {507, "Insufficient Storage"},
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

static void add_text(struct evbuffer *out, const char *text)
{
	evbuffer_add(out, text, strlen(text));
}

/* Status line and the headers that every answer has. */
static void begin_head(struct evbuffer *out, const struct apid *a, int status, bool close, bool old)
{
	char line[256];

	int n = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s", status, reason_of(status), date_now(),
			 close ? "Connection: close\r\n" : old ? "Connection: keep-alive\r\n" : "");
	evbuffer_add(out, line, (size_t)n);
	add_text(out, a->common_headers);
}

static void add_header(struct evbuffer *out, const char *name, const char *value)
{
	struct evbuffer_iovec parts[4] = {
		{(void *)(uintptr_t)name, strlen(name)},
		{(void *)(uintptr_t) ": ", 2},
		{(void *)(uintptr_t)value, strlen(value)},
		{(void *)(uintptr_t) "\r\n", 2},
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		evbuffer_add(out, parts[i].iov_base, parts[i].iov_len);
}

static bool has_body(int status)
{
	return status != 204 && status != 304;
}

static void write_whole(struct evbuffer *out, const char *content_type, const char *headers, const char *text,
			size_t len, bool head_only)
{
	char line[64];

	if (len)
		add_header(out, "Content-Type", content_type ? content_type : JSON_TYPE);
	if (headers)
		add_text(out, headers);
	evbuffer_add(out, line, (size_t)snprintf(line, sizeof line, "Content-Length: %zu\r\n\r\n", len));
	if (!head_only)
		evbuffer_add(out, text, len);
}

void answer_text(struct exchange *x, int status, const char *content_type, const char *headers, const char *text,
		 size_t len)
{
	struct evbuffer *out = connection_out(x->conn);
	bool head_only = str_eq(x->head.method, "HEAD");
	AUTO_FREE char *rewritten = NULL;

	if (status < 400 && dialect_rewrite(x, &status, text, len, &rewritten)) {
		text = rewritten;
		len = rewritten ? strlen(rewritten) : 0;
	}
	x->status = status;
	begin_head(out, x->apid, status, !x->keep, x->head.minor == 0);
	if (has_body(status)) {
		write_whole(out, content_type, headers, text, len, head_only);
	} else {
		if (headers)
			add_text(out, headers);
		add_text(out, "\r\n");
	}
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
	struct evbuffer *out = connection_out(c);

	begin_head(out, c->apid, err_status(e), true, false);
	write_whole(out, NULL, NULL, text, strlen(text), false);
	stats_count(c->apid->stats, NULL, err_status(e), 0);
	connection_next(c, false);
}

void answer_continue(struct exchange *x)
{
	add_text(connection_out(x->conn), "HTTP/1.1 100 Continue\r\n\r\n");
}

void answer_begin_stream(struct exchange *x, const char *content_type)
{
	struct evbuffer *out = connection_out(x->conn);

	x->status = 200;
	x->chunked = x->head.minor == 1;
	x->keep &= x->chunked;
	begin_head(out, x->apid, 200, !x->keep, false);
	add_header(out, "Content-Type", content_type ? dialect_stream_type(x, content_type) : JSON_TYPE);
	if (x->chunked)
		add_header(out, "Transfer-Encoding", "chunked");
	add_text(out, "\r\n");
}

void answer_begin_hijack(struct exchange *x, const char *content_type)
{
	struct evbuffer *out = connection_out(x->conn);

	if (x->ws) {
		x->status = 101;
		add_text(out, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
		add_header(out, "Sec-WebSocket-Accept", x->ws_accept);
		add_text(out, "\r\n");
		return;
	}
	x->status = x->head.upgrade ? 101 : 200;
	if (!content_type)
		content_type = "application/vnd.docker.raw-stream";
	content_type = dialect_stream_type(x, content_type);
	add_text(out, x->head.upgrade ? "HTTP/1.1 101 UPGRADED\r\n" : "HTTP/1.1 200 OK\r\n");
	add_text(out, x->apid->common_headers);
	add_header(out, "Content-Type", content_type);
	add_text(out, x->head.upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" : "\r\n");
}
