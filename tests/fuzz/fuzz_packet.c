/*
 * Whole packets with descriptors, through the kernel into a channel. The input is packets, one behind the other.
 * Held: a packet that is refused ends the connection, nothing is delivered behind it, and no descriptor stays open.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/channel.h"
#include "ipc/packet.h"
#include "lib/util.h"
#include "tests/fuzz/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FDS_SENT_MAX (IPC_FDS_MAX + 4) /* more than a packet may carry, too */
#define FDS_WATCHED  64

struct wire_packet {
	const uint8_t *bytes, *kinds;
	size_t len, nfds;
};

struct seen {
	unsigned messages;
	bool closed;
};

static void on_message(void *arg, const struct ipc_head *head, void *msg)
{
	struct seen *seen = arg;

	if (seen->closed || head->kind == 0 || head->kind >= K_KINDS)
		abort();
	seen->messages++;
	channel_msg_free(head->message, msg);
}

static void on_closed(void *arg, const struct err *why)
{
	struct seen *seen = arg;

	if (seen->closed || !why->code)
		abort();
	seen->closed = true;
}

static const struct channel_events events = {.message = on_message, .closed = on_closed};

/* u16 length, u8 number of descriptors, a byte of kind for each, the bytes; what is cut short is a short packet. */
static bool next_packet(const uint8_t **at, const uint8_t *end, struct wire_packet *p)
{
	if (end - *at < 3)
		return false;
	p->len = (size_t)((*at)[0] | (*at)[1] << 8);
	p->nfds = (*at)[2] % (FDS_SENT_MAX + 1);
	*at += 3;
	if (p->nfds > (size_t)(end - *at))
		p->nfds = (size_t)(end - *at);
	p->kinds = *at;
	*at += p->nfds;
	if (p->len > (size_t)(end - *at))
		p->len = (size_t)(end - *at);
	p->bytes = *at;
	*at += p->len;
	return true;
}

static void send_packet(int fd, const struct wire_packet *p)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * FDS_SENT_MAX)];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p->bytes, .iov_len = p->len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[FDS_SENT_MAX];

	for (size_t i = 0; i < p->nfds; i++)
		fds[i] = sample_fd((enum fd_kind)(p->kinds[i] % FD_KINDS));
	if (p->nfds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * p->nfds);
		struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * p->nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * p->nfds);
	}
	(void)!sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	packet_close_fds(fds, p->nfds);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < FDS_WATCHED; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	const uint8_t *at = data;
	struct wire_packet p;
	struct seen seen = {0};
	int pair[2];

	if (!base)
		base = event_base_new();
	unsigned before = open_fds();
	if (!base || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	struct channel *c = channel_new(base, pair[1], &events, &seen);
	while (next_packet(&at, data + size, &p) && !seen.closed) {
		unsigned had = seen.messages;
		send_packet(pair[0], &p);
		event_base_loop(base, EVLOOP_NONBLOCK);
		if (!seen.closed && seen.messages != had + 1)
			abort(); /* a packet that was neither delivered nor refused */
	}
	close(pair[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	if (!seen.closed)
		abort();
	channel_free(c);
	if (open_fds() != before)
		abort();
	return 0;
}
