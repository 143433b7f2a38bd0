/*
 * The front's reading of a connection against plain llhttp's: whatever the guard, the head and the body accept, llhttp
 * accepts too, and both see the same requests: method, target, headers, body, and where each ends.
 */
#include <llhttp.h>
#include <stdint.h>
#include <stdio.h>

#include "apid/body.h"
#include "apid/guard.h"
#include "apid/head.h"
#include "apid/target.h"
#include "lib/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS_MAX 16

struct seen {
	char method[32];
	size_t target_len, headers, body_len;
	uint64_t target_hash, body_hash;
	bool complete, keep;
};

struct view {
	struct seen requests[REQUESTS_MAX];
	size_t n;
};

static uint64_t add_hash(uint64_t h, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return h;
}

/* ---- llhttp's ---- */

static struct seen *current(llhttp_t *l)
{
	struct view *v = l->data;

	return &v->requests[v->n];
}

static int on_method(llhttp_t *l, const char *at, size_t len)
{
	struct seen *s = current(l);

	strncat(s->method, at, len < sizeof s->method - 1 - strlen(s->method) ? len : 0);
	return 0;
}

static int on_url(llhttp_t *l, const char *at, size_t len)
{
	struct seen *s = current(l);

	s->target_len += len;
	s->target_hash = add_hash(s->target_hash, at, len);
	return 0;
}

static int on_value_complete(llhttp_t *l)
{
	current(l)->headers++;
	return 0;
}

static int on_body(llhttp_t *l, const char *at, size_t len)
{
	struct seen *s = current(l);

	s->body_len += len;
	s->body_hash = add_hash(s->body_hash, at, len);
	return 0;
}

static int on_complete(llhttp_t *l)
{
	struct view *v = l->data;

	v->requests[v->n].keep = llhttp_should_keep_alive(l);
	v->requests[v->n++].complete = true;
	return v->n == REQUESTS_MAX - 1 ? HPE_USER : 0;
}

static void run_llhttp(const char *data, size_t size, struct view *v)
{
	static const llhttp_settings_t settings = {
		.on_method = on_method,
		.on_url = on_url,
		.on_header_value_complete = on_value_complete,
		.on_body = on_body,
		.on_message_complete = on_complete,
	};
	llhttp_t l;

	llhttp_init(&l, HTTP_REQUEST, &settings);
	l.data = v;
	const char *at = data;
	while (llhttp_execute(&l, at, size - (size_t)(at - data)) == HPE_PAUSED_UPGRADE) {
		at = llhttp_get_error_pos(&l);
		llhttp_resume_after_upgrade(&l);
	}
}

/* ---- ours ---- */

/* In two pieces, as it may come, the guard says what it says of the whole. */
static bool find_head(const char *data, size_t size, size_t *len)
{
	struct head_guard whole = {0}, split = {0};
	size_t used = 0, cut = size / 2;

	enum guard_result r = head_guard_feed(&whole, data, size, 32768, &used);
	*len = used;
	enum guard_result r2 = head_guard_feed(&split, data, cut, 32768, &used);
	if (r2 == GUARD_MORE) {
		r2 = head_guard_feed(&split, data + cut, size - cut, 32768, &used);
		used += cut;
	}
	if (r != r2 || (r == GUARD_DONE && used != *len))
		abort();
	return r == GUARD_DONE;
}

/* Reads a body; false: it is malformed or not complete. */
static bool read_body(const struct http_head *h, const char *data, size_t size, size_t *len, struct seen *s)
{
	struct http_body b;
	struct err e = {0};

	http_body_init(&b, h->framing, h->length, UINT64_MAX);
	*len = 0;
	while (!b.done && *len < size) {
		const char *piece;
		size_t used, piece_len;
		if (http_body_feed(&b, data + *len, size - *len, &used, &piece, &piece_len, &e) < 0) {
			if (!e.text[0])
				abort();
			return false;
		}
		if (!used)
			abort();
		s->body_len += piece_len;
		s->body_hash = add_hash(s->body_hash, piece, piece_len);
		*len += used;
	}
	return b.done;
}

static void try_target(const char *text)
{
	struct target t = {0};
	struct err e = {0};

	if (target_parse(text, &t, &e) < 0 && !e.text[0])
		abort();
	target_clean(&t);
}

static void compare(const struct seen *ours, const struct seen *theirs)
{
	if (!theirs->complete || strcmp(ours->method, theirs->method) != 0 || ours->target_len != theirs->target_len ||
	    ours->target_hash != theirs->target_hash || ours->headers != theirs->headers ||
	    ours->body_len != theirs->body_len || ours->body_hash != theirs->body_hash ||
	    (ours->keep && !theirs->keep)) {
		fprintf(stderr, "two readings: %s %zu headers, %zu bytes; llhttp: %s %zu headers, %zu bytes\n",
			ours->method, ours->headers, ours->body_len, theirs->method, theirs->headers, theirs->body_len);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *data = (const char *)bytes;
	struct view theirs = {0};
	size_t at = 0, head_len, body_len;
	struct http_head h;
	struct err e = {0};

	run_llhttp(data, size, &theirs);
	for (size_t i = 0; i < REQUESTS_MAX - 1 && find_head(data + at, size - at, &head_len); i++) {
		struct seen ours = {0};
		h = (struct http_head){0};
		bool good = http_head_parse(data + at, head_len, &h, &e) == 0;
		/* What a tunnel carries is no request: llhttp does not look for a body behind CONNECT, and no route has
		 * it. */
		bool tunnel = good && str_eq(h.method, "CONNECT");
		if (good && !tunnel) {
			snprintf(ours.method, sizeof ours.method, "%s", h.method);
			ours.target_len = strlen(h.target);
			ours.target_hash = add_hash(0, h.target, ours.target_len);
			ours.headers = h.nheaders;
			ours.keep = h.keep_alive;
			try_target(h.target);
			at += head_len;
			good = read_body(&h, data + at, size - at, &body_len, &ours);
			at += body_len;
		}
		http_head_clean(&h);
		if (!good || tunnel)
			break;
		compare(&ours, &theirs.requests[i]);
		if (!ours.keep)
			break;
	}
	return 0;
}
