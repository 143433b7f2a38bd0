/*
 * channel: one AF_UNIX SOCK_SEQPACKET connection on an event_base: whole messages with their
 * descriptors, both ways. Knows packets and headers; what a message means is the caller's
 * (ipc/client.h, ipc/server.h).
 *
 * A packet is a header and one encoded message:
 *   u32 magic · u16 type (message number) · u8 kind · u8 zero · u32 length of the message ·
 *   u64 request id · u32 deadline in ms from now (0: none)
 */
#ifndef POUCH_IPC_CHANNEL_H
#define POUCH_IPC_CHANNEL_H

#include <event2/event.h>

#include "ipc/codec.h"

enum ipc_kind { K_HELLO = 1, K_REQUEST, K_CHUNK, K_END, K_ERROR, K_CANCEL, K_CREDIT, K_GO, K_KINDS };

struct ipc_head {
	const struct ipc_message *message;
	enum ipc_kind kind;
	uint64_t id;
	uint32_t deadline_ms;
};

struct channel;

struct channel_events {
	/*
	 * A whole, checked message. `msg` is the decoded struct on the heap, owned by the callee from here on:
	 * release it with channel_msg_free(). Descriptors in it likewise.
	 */
	void (*message)(void *arg, const struct ipc_head *head, void *msg);
	/* The connection is over: end of file, error, or the peer broke the rules (`why`). The callee frees the
	 * channel. */
	void (*closed)(void *arg, const struct err *why);
	/* What was queued has drained below half of the cap; may be NULL. */
	void (*drained)(void *arg);
};

/* Takes `fd` (connected, made non-blocking here). Never fails but for lack of memory. */
struct channel *channel_new(struct event_base *base, int take_fd, const struct channel_events *events, void *arg);
/* Closes at once; queued packets are dropped. Safe within its own callbacks. NULL is fine. */
void channel_free(struct channel *c);

/*
 * Send `msg` of type `number`. Descriptors in it are duplicated in flight and stay the caller's.
 * -EBUSY when more than the cap (8 MiB) is queued, -EPIPE after closed, -EINVAL for a bug of ours.
 */
int channel_send(struct channel *c, const struct ipc_head *head, void *msg, struct err *e);
/* Send an encoded packet; its descriptors stay the caller's. Errors as channel_send(). */
int channel_send_packet(struct channel *c, const struct ipc_packet *p, struct err *e);
/* The packet that channel_send() would send, into p->bytes; for those who send without a loop. */
int channel_encode(const struct ipc_head *head, void *msg, struct ipc_packet *p, struct err *e);
/* One received packet taken apart: header and, on the heap, its message (free with channel_msg_free()). */
int channel_decode(const unsigned char *bytes, size_t len, const int *fds, size_t nfds, struct ipc_head *head,
		   void **msg, struct err *e);

/* Free a message that a channel delivered: descriptors not taken, mappings, JSON, memory. */
void channel_msg_free(const struct ipc_message *m, void *msg);

#endif
