#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "ipc/doc.h"
#include "ipc/packet.h"
#include "lib/util.h"

#define MAGIC	       0x48435550u /* "PUCH" */
#define HEAD_SIZE      24
#define QUEUE_MAX      (8u << 20)
#define READS_PER_TURN 32 /* then others on the loop have theirs */

struct queued {
	STAILQ_ENTRY(queued) next;
	size_t len, nfds;
	int fds[IPC_FDS_MAX];
	unsigned char bytes[];
};

struct channel {
	int fd;
	struct event *readable, *writable;
	const struct channel_events *events;
	void *arg;
	STAILQ_HEAD(, queued) queue;
	size_t queued_bytes;
	bool closed; /* `closed` has been told, or is not to be told any more */
	bool freed;  /* channel_free() came from a callback */
	unsigned in_callback;
	bool above_half; /* tell `drained` when the queue falls below half its cap */
};

/* Requests and answers may carry credentials: no buffer that they have passed keeps them. Streams carry none. */
static void forget(unsigned char *bytes, size_t len)
{
	if (len >= HEAD_SIZE && !(bytes[4] == (IPC_chunk & 0xff) && bytes[5] == IPC_chunk >> 8))
		explicit_bzero(bytes, len);
}

static void queued_free(struct queued *q)
{
	packet_close_fds(q->fds, q->nfds);
	forget(q->bytes, q->len);
	free(q);
}

/* ---- life ---- */

static void destroy(struct channel *c)
{
	struct queued *q;

	event_free(c->readable);
	event_free(c->writable);
	while ((q = STAILQ_FIRST(&c->queue))) {
		STAILQ_REMOVE_HEAD(&c->queue, next);
		queued_free(q);
	}
	fd_close(&c->fd);
	free(c);
}

/* Callbacks may free the channel; it goes when the outermost one has returned. */
static bool leave_callback(struct channel *c)
{
	c->in_callback--;
	if (c->freed && c->in_callback == 0) {
		destroy(c);
		return false;
	}
	return !c->freed;
}

static void tell_closed(struct channel *c, const struct err *why)
{
	if (c->closed)
		return;
	c->closed = true;
	event_del(c->readable);
	event_del(c->writable);
	c->in_callback++;
	c->events->closed(c->arg, why);
	leave_callback(c);
}

void channel_free(struct channel *c)
{
	if (!c)
		return;
	c->closed = true;
	if (c->in_callback) {
		c->freed = true;
		event_del(c->readable);
		event_del(c->writable);
		return;
	}
	destroy(c);
}

/* ---- the header ---- */

static void put_le(unsigned char *p, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get_le(const unsigned char *p, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void write_head(unsigned char *p, const struct ipc_head *head, size_t body)
{
	put_le(p, MAGIC, 4);
	put_le(p + 4, head->message->number, 2);
	p[6] = (unsigned char)head->kind;
	p[7] = 0;
	put_le(p + 8, body, 4);
	put_le(p + 12, head->id, 8);
	put_le(p + 20, head->deadline_ms, 4);
}

static int read_head(const unsigned char *p, size_t len, struct ipc_head *head, struct err *e)
{
	if (len < HEAD_SIZE || get_le(p, 4) != MAGIC || p[7] != 0)
		return err_set(e, -EBADMSG, "a packet without the engine's header");
	if (get_le(p + 8, 4) != len - HEAD_SIZE)
		return err_set(e, -EBADMSG, "a packet whose length is not what its header says");
	if (p[6] == 0 || p[6] >= K_KINDS)
		return err_set(e, -EBADMSG, "a packet of unknown kind %u", p[6]);
	*head = (struct ipc_head){
		.message = ipc_message((uint16_t)get_le(p + 4, 2)),
		.kind = (enum ipc_kind)p[6],
		.id = get_le(p + 12, 8),
		.deadline_ms = (uint32_t)get_le(p + 20, 4),
	};
	if (!head->message)
		return err_set(e, -EBADMSG, "a message of unknown number 0x%04x", (unsigned)get_le(p + 4, 2));
	return 0;
}

/* ---- receiving ---- */

void channel_msg_free(const struct ipc_message *m, void *msg)
{
	if (!msg)
		return;
	ipc_docs_release(m, msg);
	ipc_release(m, msg);
	if (m->number == IPC_chunk)
		free(msg);
	else
		free_cleared(msg);
}

/* The struct and the bytes that its strings point into are one block. */
static int decode_packet(const struct ipc_head *head, const unsigned char *bytes, size_t len, const int *fds,
			 size_t nfds, void **out, struct err *e)
{
	size_t room = (head->message->size + 15) & ~(size_t)15;
	AUTO_FREE unsigned char *block = xcalloc(1, room + len + 1);

	memcpy(block + room, bytes, len);
	int r = ipc_decode(head->message, block + room, len, fds, nfds, block, e);
	if (r < 0)
		return r;
	r = ipc_docs_check(head->message, block, e);
	if (r < 0) {
		ipc_release(head->message, block);
		return err_prefix(e, "%s", head->message->name);
	}
	*out = STEAL(block);
	return 0;
}

int channel_decode(const unsigned char *bytes, size_t len, const int *fds, size_t nfds, struct ipc_head *head,
		   void **msg, struct err *e)
{
	int r = read_head(bytes, len, head, e);

	if (r < 0) {
		packet_close_fds(fds, nfds);
		return r;
	}
	return decode_packet(head, bytes + HEAD_SIZE, len - HEAD_SIZE, fds, nfds, msg, e);
}

/* 1: a message was delivered, 0: nothing there, -errno: the connection is over. */
static int receive_one(struct channel *c, struct err *e)
{
	unsigned char bytes[IPC_MESSAGE_MAX] UNINITIALIZED;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	struct ipc_head head;
	void *msg = NULL;

	ssize_t n = packet_receive(c->fd, bytes, fds, &nfds, MSG_DONTWAIT, e);
	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return (int)n;
	int r = channel_decode(bytes, (size_t)n, fds, nfds, &head, &msg, e);
	forget(bytes, (size_t)n);
	if (r < 0)
		return r;
	c->events->message(c->arg, &head, msg);
	return 1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c = arg;
	struct err why = {0};
	int r = 1;

	(void)fd;
	(void)what;
	c->in_callback++;
	for (int i = 0; i < READS_PER_TURN && r > 0 && !c->freed; i++)
		r = receive_one(c, &why);
	if (r < 0 && !c->freed)
		tell_closed(c, &why);
	leave_callback(c);
}

/* ---- sending ---- */

static bool would_block(int r)
{
	return r == -EAGAIN || r == -ENOBUFS || r == -ETOOMANYREFS;
}

static int enqueue(struct channel *c, const struct ipc_packet *p, struct err *e)
{
	if (c->queued_bytes + p->len > QUEUE_MAX)
		return err_set(e, -EBUSY, "too much is waiting for the peer");
	struct queued *q = xcalloc(1, sizeof *q + p->len);
	for (size_t i = 0; i < p->nfds; i++) {
		int copy = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 3);
		if (copy < 0) {
			int code = -errno;
			packet_close_fds(q->fds, q->nfds);
			free(q);
			return err_sys(e, code, "duplicate a descriptor to send");
		}
		q->fds[q->nfds++] = copy;
	}
	q->len = p->len;
	memcpy(q->bytes, p->bytes, p->len);
	STAILQ_INSERT_TAIL(&c->queue, q, next);
	c->queued_bytes += p->len;
	c->above_half |= c->queued_bytes > QUEUE_MAX / 2;
	event_add(c->writable, NULL);
	return 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *c = arg;
	struct queued *q;

	(void)fd;
	(void)what;
	while ((q = STAILQ_FIRST(&c->queue))) {
		int r = packet_send(c->fd, q->bytes, q->len, q->fds, q->nfds, MSG_DONTWAIT);
		if (would_block(r))
			break;
		if (r < 0) {
			struct err why;
			err_sys(&why, r, "send");
			tell_closed(c, &why);
			return;
		}
		STAILQ_REMOVE_HEAD(&c->queue, next);
		c->queued_bytes -= q->len;
		queued_free(q);
	}
	if (q)
		event_add(c->writable, NULL);
	if (c->above_half && c->queued_bytes < QUEUE_MAX / 2) {
		c->above_half = false;
		c->in_callback++;
		if (c->events->drained)
			c->events->drained(c->arg);
		leave_callback(c);
	}
}

int channel_send_packet(struct channel *c, const struct ipc_packet *p, struct err *e)
{
	if (c->closed)
		return err_set(e, -EPIPE, "the connection is closed");
	if (!STAILQ_EMPTY(&c->queue))
		return enqueue(c, p, e);
	int r = packet_send(c->fd, p->bytes, p->len, p->fds, p->nfds, MSG_DONTWAIT);
	if (would_block(r))
		return enqueue(c, p, e);
	/* A dead peer is told by the read side too, after what it had still said. */
	return r < 0 ? err_sys(e, r, "send") : 0;
}

int channel_encode(const struct ipc_head *head, void *msg, struct ipc_packet *p, struct err *e)
{
	struct ipc_texts texts;

	p->len = HEAD_SIZE;
	int r = ipc_docs_prepare(head->message, msg, &texts, e);
	if (r == 0)
		r = ipc_encode(head->message, msg, p, e);
	ipc_docs_undo(head->message, msg, &texts);
	if (r == 0)
		write_head(p->bytes, head, p->len - HEAD_SIZE);
	return r;
}

int channel_send(struct channel *c, const struct ipc_head *head, void *msg, struct err *e)
{
	unsigned char bytes[IPC_MESSAGE_MAX] UNINITIALIZED;
	struct ipc_packet p = {.bytes = bytes};

	int r = channel_encode(head, msg, &p, e);
	if (r == 0)
		r = channel_send_packet(c, &p, e);
	forget(bytes, p.len);
	ipc_packet_clean(&p);
	return r;
}

struct channel *channel_new(struct event_base *base, int take_fd, const struct channel_events *events, void *arg)
{
	struct channel *c = XNEW(struct channel);

	c->fd = take_fd;
	c->events = events;
	c->arg = arg;
	STAILQ_INIT(&c->queue);
	fd_set_nonblock(take_fd, NULL);
	c->readable = event_new(base, take_fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, take_fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable)
		abort(); /* libevent fails here for lack of memory only */
	event_add(c->readable, NULL);
	return c;
}
