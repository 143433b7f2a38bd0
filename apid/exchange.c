#include "apid/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "apid/dialect.h"
#include "apid/gather.h"
#include "apid/listener.h"
#include "apid/pump.h"
#include "apid/stats.h"
#include "apid/tls.h"
#include "ipc/codec.h"
#include "lib/guard.h"
#include "lib/log.h"
#include "lib/text.h"
#include "lib/util.h"

/* Of a body sent to an operation that has none: some clients repeat the query there. */
#define IGNORED_MAX (64u << 10)
#define DRAIN_MAX   (256u << 10) /* of a body that nobody wants, so that the connection can stay */

/* ---- life ---- */

static uint64_t us_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - t->tv_sec) * 1000000 + (now.tv_nsec - t->tv_nsec) / 1000);
}

static void exchange_free(struct exchange *x)
{
	gather_cancel(x);
	forward_cancel(x);
	stream_clean(x);
	upload_clean(x);
	pump_clean(x);
	websocket_free(x->ws);
	if (x->json)
		evbuffer_free(x->json);
	fill_clean(&x->fill);
	target_clean(&x->target);
	http_head_clean(&x->head);
	free(x->msg);
	x->msg = NULL;
	x->apid->nexchanges--;
	apid_discard(x->apid, &x->garbage, x);
}

static void end(struct exchange *x)
{
	struct connection *c = STEAL(x->conn);
	bool keep = x->keep && x->body_done;

	exchange_free(x);
	if (c)
		connection_next(c, keep);
}

bool exchange_keeps(const struct exchange *x)
{
	return x->keep && (x->body_done || x->body.framing == FRAMED_CHUNKED || x->body.left <= DRAIN_MAX);
}

void exchange_answered(struct exchange *x)
{
	uint64_t us = us_since(&x->began);

	x->answered = true;
	stats_count(x->apid->stats, x->route, x->status, us);
	log_debug("%s %s %s: %d in %llu us", x->audit_id, x->head.method ? x->head.method : "-",
		  x->route ? x->route->pattern : "-", x->status, (unsigned long long)us);
	forward_cancel(x);
	if (!x->body_done) {
		upload_clean(x);
		x->sink = SINK_DISCARD;
		x->body.max = x->body.total + DRAIN_MAX;
		if (exchange_keeps(x)) {
			connection_flush(x->conn);
			return;
		}
	}
	end(x);
}

void exchange_cut(struct exchange *x)
{
	struct connection *c = x->conn;

	stats_count(x->apid->stats, x->route, c ? 500 : x->status, us_since(&x->began));
	if (c)
		connection_close(c);
	else
		exchange_free(x);
}

void exchange_abandon(struct exchange *x)
{
	x->conn = NULL;
	/* CANCEL goes out before the pipe of an upload is closed: its end is no good end. */
	forward_cancel(x);
	exchange_free(x);
}

void exchange_stalled(struct exchange *x)
{
	struct err e;

	if (x->status) {
		exchange_cut(x);
		return;
	}
	forward_cancel(x);
	x->keep = false;
	err_http(&e, 408, "the request's body did not come in time");
	answer_error(x, &e);
}

void exchange_drained(struct exchange *x)
{
	if (x->conn->state == CONN_PUMP)
		pump_drained(x);
	else if (!x->answered)
		stream_drained(x);
}

/* ---- begin ---- */

static int choose_sink(struct exchange *x, struct err *e)
{
	const struct config *config = x->apid->config;
	const struct ipc_message *m = x->route->message;
	bool upload = fill_row(m, W_UPLOAD) && x->head.framing != FRAMED_NONE;
	bool json = fill_row(m, W_BODY);
	uint64_t max = upload ? config->limits_upload : json ? config->limits_json_body : IGNORED_MAX;

	x->sink = upload ? SINK_UPLOAD : json ? SINK_JSON : SINK_DISCARD;
	http_body_init(&x->body, x->head.framing, x->head.length, max);
	if (x->head.framing == FRAMED_LENGTH && x->head.length > max)
		return err_http(e, 413, "the body is larger than %llu bytes", (unsigned long long)max);
	return 0;
}

static void name_request(struct exchange *x)
{
	char *p = text_put_hex(x->audit_id, x->apid->boot, 8);

	*p++ = '-';
	*text_put_hex(p, ++x->apid->next_request, 1) = '\0';
}

static int fill_asker(struct exchange *x, struct err *e)
{
	struct ipc_asker *asker = x->msg;
	struct connection *c = x->conn;

	if (!c->local && !c->attested)
		c->attested = c->transport.ssl ? tls_names(c->transport.ssl) : xstrdup("");
	if (!c->local && !c->attested)
		return err_http(e, 403, "the names in the client's certificate cannot be used");

	asker->caller = x->conn->local ? x->conn->transport.fd : -1;
	asker->attested = x->conn->attested;
	asker->listener = x->conn->listener->index;
	asker->audit_id = x->audit_id;
	return 0;
}

/* The client's permission, as far as it can be told here; the owner decides again, and finally. */
static int decide(struct exchange *x, struct err *e)
{
	struct connection *c = x->conn;
	const struct ipc_message *m = x->route->message;

	if (!x->apid->guard)
		return 0;
	if (!c->caller) {
		struct caller *caller = XNEW(struct caller);
		int r = caller_read(x->msg, -1, x->apid->config->ids_base, caller, e);
		if (r < 0) {
			free(caller);
			return r;
		}
		fd_close(&caller->pidfd); /* an idle connection costs one descriptor */
		c->caller = caller;
	}
	return guard_check(x->apid->guard, c->caller, &c->known, m, x->msg, x->audit_id,
			   MSG_OWNER(m->number) == PROC_apid, e);
}

/* Everything that can be said before the body. */
static int understand(struct exchange *x, const char *head, size_t len, char *allow, size_t allow_size, struct err *e)
{
	int r = http_head_parse(head, len, &x->head, e);

	if (r < 0) {
		x->keep = false;
		return r;
	}
	x->keep = x->head.keep_alive;
	http_body_init(&x->body, x->head.framing, x->head.length, UINT64_MAX);
	x->body_done = x->body.done;
	if ((r = target_parse(x->head.target, &x->target, e)) < 0)
		return r;
	x->route = route_find(x->head.method, &x->target, allow, allow_size, e);
	if (!x->route)
		return e->code;
	if (x->apid->nexchanges > x->apid->config->limits_requests)
		return err_http(e, 503, "busy: too many requests are being worked on");
	if (!x->route->message)
		return x->route->status >= 400 ? err_http(e, x->route->status, "%s", x->route->text) : 0;
	x->msg = xcalloc(1, x->route->message->size);
	ipc_init(x->route->message->number, x->msg);
	/* Filled before the decision, whose record names what was asked for; told after it, to who may ask. */
	struct err bad;
	int filled = fill_from_head(x->route, &x->target, &x->head, x->msg, &x->fill, &bad);
	if ((r = fill_asker(x, e)) < 0 || (r = decide(x, e)) < 0)
		return r;
	if (filled < 0) {
		*e = bad;
		return filled;
	}
	if (x->route->message->number == IPC_container_attach_ws) {
		if ((r = websocket_handshake(&x->head, x->ws_accept, e)) < 0)
			return r;
		x->ws = websocket_new();
	}
	return choose_sink(x, e);
}

/* The request is complete, but for an upload. */
static void use_body(struct exchange *x)
{
	size_t len = x->json ? evbuffer_get_length(x->json) : 0;
	const char *text = len ? (const char *)evbuffer_pullup(x->json, -1) : "";
	struct err e = {0};

	int r = fill_from_body(x->route->message, &x->target, &x->head, text, len, x->msg, &x->fill, &e);
	if (r == 0)
		r = dialect_request(x, &e);
	if (r < 0)
		answer_error(x, &e);
	else
		forward(x);
}

/* The body may come now; whoever takes an upload starts at once. */
static void begin_body(struct exchange *x)
{
	x->conn->state = CONN_BODY;
	if (x->head.expect_continue)
		answer_continue(x);
	if (x->sink == SINK_UPLOAD)
		forward(x);
}

void exchange_new(struct connection *c, const char *head, size_t len)
{
	struct exchange *x = XNEW(struct exchange);
	char allow[128] = "";
	struct err e = {0};

	x->apid = c->apid;
	x->conn = c;
	x->upload.fd = x->source.fd = x->pump.fd = -1;
	c->exchange = x;
	c->state = CONN_WAIT;
	c->apid->nexchanges++;
	clock_gettime(CLOCK_MONOTONIC, &x->began);
	name_request(x);
	int r = understand(x, head, len, allow, sizeof allow, &e);
	if (r < 0) {
		/* A client that waits for 100 sends no body now, and may not later. */
		if (x->head.expect_continue)
			x->keep = false;
		if (!x->body_done && x->keep)
			c->state = CONN_BODY;
		if (e.status == 405)
			answer_not_allowed(x, allow, &e);
		else
			answer_error(x, &e);
		return;
	}
	if (!x->route->message) {
		if (!x->body_done)
			c->state = CONN_BODY;
		answer_text(x, x->route->status, NULL, NULL, x->route->text, strlen(x->route->text));
	} else if (x->body_done) {
		use_body(x);
	} else {
		begin_body(x);
	}
}

/* ---- the body ---- */

static void take_piece(struct exchange *x, const char *piece, size_t len)
{
	if (!len)
		return;
	if (x->sink == SINK_UPLOAD) {
		upload_piece(x, piece, len);
	} else if (x->sink == SINK_JSON) {
		if (!x->json)
			x->json = evbuffer_new();
		evbuffer_add(x->json, piece, len);
	}
}

static void body_ended(struct exchange *x)
{
	x->body_done = true;
	if (x->answered) {
		end(x);
		return;
	}
	connection_body_done(x->conn);
	if (x->sink == SINK_UPLOAD)
		upload_end(x);
	else
		use_body(x);
}

/* The rest of the stream cannot be told from the next request: nothing more is read from it. */
static void body_failed(struct exchange *x, const struct err *e)
{
	x->keep = false;
	forward_cancel(x);
	if (x->answered)
		end(x);
	else if (x->status)
		exchange_cut(x);
	else
		answer_error(x, e);
}

size_t exchange_body(struct exchange *x, const char *data, size_t len)
{
	struct connection *c = x->conn;
	size_t at = 0;

	while (at < len && c->state == CONN_BODY && upload_ready(x)) {
		const char *piece;
		size_t used, piece_len;
		struct err e = {0};
		int r = http_body_feed(&x->body, data + at, len - at, &used, &piece, &piece_len, &e);
		at += used;
		if (r < 0) {
			body_failed(x, &e);
			break;
		}
		take_piece(x, piece, piece_len);
		if (c->state == CONN_BODY && x->body.done) {
			body_ended(x);
			break;
		}
	}
	return at;
}
