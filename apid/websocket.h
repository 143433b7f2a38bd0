/* websocket: the frames of RFC 6455 around a hijacked stream: binary frames out; data, ping and close in. */
#ifndef POUCH_APID_WEBSOCKET_H
#define POUCH_APID_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct evbuffer;
struct http_head;

struct websocket {
	struct evbuffer *plain; /* content of the client's frames that the owner has not taken yet */
	uint64_t left;		/* of the frame that is being read */
	unsigned char mask[4];
	unsigned mask_at;
	bool in_message;
	bool closed; /* the client has said its last, or broken the rules */
};

#define WEBSOCKET_ACCEPT 29 /* bytes of Sec-WebSocket-Accept and a NUL */

/* Is it a handshake that RFC 6455, 4.2.1 accepts? Writes the answer to its key. -EINVAL with status 400. */
int websocket_handshake(const struct http_head *h, char accept[WEBSOCKET_ACCEPT], struct err *e);

struct websocket *websocket_new(void);
void websocket_free(struct websocket *ws);

/* Frames from `in`: content goes to ws->plain (up to `room` bytes wait there), what they want answered goes to `out`.
 */
void websocket_decode(struct websocket *ws, struct evbuffer *in, struct evbuffer *out, size_t room);
/* One binary frame around `len` bytes. */
void websocket_encode(struct evbuffer *out, const void *data, size_t len);
/* The close frame with a status of RFC 6455, 7.4.1. */
void websocket_close(struct evbuffer *out, unsigned status);

#endif
