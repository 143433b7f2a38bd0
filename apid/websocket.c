#include "apid/websocket.h"

#include <event2/buffer.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>

#include "apid/head.h"
#include "lib/util.h"

#define CONTROL_MAX 125
#define HEAD_MAX    14

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

int websocket_handshake(const struct http_head *h, char accept[WEBSOCKET_ACCEPT], struct err *e)
{
	const char *key = http_header(h, "Sec-WebSocket-Key");
	char text[64];
	unsigned char digest[SHA_DIGEST_LENGTH];

	if (!h->upgrade || !http_has_token(http_header(h, "Upgrade"), "websocket"))
		return err_http(e, 400,
				"this route speaks WebSocket: Connection: Upgrade and Upgrade: websocket are missing");
	if (!str_eq(http_header(h, "Sec-WebSocket-Version"), "13"))
		return err_http(e, 400, "Sec-WebSocket-Version: expected 13");
	if (!key || strlen(key) != 24)
		return err_http(e, 400, "Sec-WebSocket-Key: expected 16 bytes in base64");
	int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	SHA1((const unsigned char *)text, (size_t)n, digest);
	EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
	return 0;
}

struct websocket *websocket_new(void)
{
	struct websocket *ws = XNEW(struct websocket);

	ws->plain = evbuffer_new();
	return ws;
}

void websocket_free(struct websocket *ws)
{
	if (!ws)
		return;
	evbuffer_free(ws->plain);
	free(ws);
}

/* ---- out ---- */

static void add_frame(struct evbuffer *out, enum opcode opcode, const void *data, size_t len)
{
	unsigned char head[10] = {(unsigned char)(0x80 | opcode)};
	size_t n = 2;

	if (len <= CONTROL_MAX) {
		head[1] = (unsigned char)len;
	} else if (len <= UINT16_MAX) {
		head[1] = 126;
		n = 4;
	} else {
		head[1] = 127;
		n = 10;
	}
	for (size_t i = 2; i < n; i++)
		head[i] = (unsigned char)((uint64_t)len >> (8 * (n - 1 - i)));
	evbuffer_add(out, head, n);
	evbuffer_add(out, data, len);
}

void websocket_encode(struct evbuffer *out, const void *data, size_t len)
{
	add_frame(out, BINARY, data, len);
}

void websocket_close(struct evbuffer *out, unsigned status)
{
	const unsigned char code[2] = {(unsigned char)(status >> 8), (unsigned char)status};

	add_frame(out, CLOSE, code, sizeof code);
}

/* ---- in ---- */

static void broken(struct websocket *ws, struct evbuffer *out)
{
	websocket_close(out, 1002);
	ws->closed = true;
}

static void unmask(struct websocket *ws, unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] ^= ws->mask[ws->mask_at++ % 4];
}

/* Content of the frame that has begun. */
static bool take_content(struct websocket *ws, struct evbuffer *in, size_t room)
{
	size_t len = evbuffer_get_contiguous_space(in), waiting = evbuffer_get_length(ws->plain);

	if (!len || waiting >= room)
		return false;
	if (len > ws->left)
		len = (size_t)ws->left;
	if (len > room - waiting)
		len = room - waiting;
	unsigned char *p = evbuffer_pullup(in, (ssize_t)len);
	unmask(ws, p, len);
	evbuffer_add(ws->plain, p, len);
	evbuffer_drain(in, len);
	ws->left -= len;
	return true;
}

static void take_control(struct websocket *ws, struct evbuffer *in, struct evbuffer *out, enum opcode opcode,
			 size_t len)
{
	unsigned char text[CONTROL_MAX];

	evbuffer_remove(in, text, len);
	unmask(ws, text, len);
	if (opcode == PING) {
		add_frame(out, PONG, text, len);
	} else if (opcode == CLOSE) {
		add_frame(out, CLOSE, text, len < 2 ? 0 : 2);
		ws->closed = true;
	}
}

/* A frame's head (RFC 6455, 5.2). false: not complete yet, or the end. */
static bool take_head(struct websocket *ws, struct evbuffer *in, struct evbuffer *out)
{
	unsigned char head[HEAD_MAX];
	ssize_t have = evbuffer_copyout(in, head, sizeof head);

	if (have < 2)
		return false;
	enum opcode opcode = (enum opcode)(head[0] & 0x0f);
	bool final = head[0] & 0x80, control = opcode >= CLOSE;
	uint64_t len = head[1] & 0x7f;
	size_t more = len == 126 ? 2 : len == 127 ? 8 : 0;
	/* Extensions were not agreed on, a client masks, control frames are short and whole. */
	if ((head[0] & 0x70) || !(head[1] & 0x80) || (control && (!final || more)) || opcode > PONG ||
	    (opcode > BINARY && !control) || (!control && (opcode == CONTINUATION) != ws->in_message)) {
		broken(ws, out);
		return false;
	}
	if ((size_t)have < 2 + more + 4)
		return false;
	if (more)
		len = 0;
	for (size_t i = 0; i < more; i++)
		len = len << 8 | head[2 + i];
	if (control && evbuffer_get_length(in) < 6 + len)
		return false;
	memcpy(ws->mask, head + 2 + more, 4);
	ws->mask_at = 0;
	evbuffer_drain(in, 6 + more);
	if (control) {
		take_control(ws, in, out, opcode, (size_t)len);
	} else {
		ws->left = len;
		ws->in_message = !final;
	}
	return true;
}

void websocket_decode(struct websocket *ws, struct evbuffer *in, struct evbuffer *out, size_t room)
{
	while (!ws->closed && (ws->left ? take_content(ws, in, room) : take_head(ws, in, out)))
		;
	/* Nothing is said behind the close. */
	if (ws->closed)
		evbuffer_drain(in, evbuffer_get_length(in));
}
