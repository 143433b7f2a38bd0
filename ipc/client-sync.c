/* client-sync: one request without an event loop; ipc/client.h documents it. */
#include <errno.h>
#include <poll.h>

#include "ipc/channel.h"
#include "ipc/client.h"
#include "ipc/packet.h"
#include "lib/times.h"
#include "lib/util.h"

static int wait_for(int fd, short what, int64_t until, struct err *e)
{
	struct pollfd p = {.fd = fd, .events = what};

	for (;;) {
		int64_t left = until ? until - monotonic_ms() : -1;
		if (until && left <= 0)
			return err_set(e, -ETIMEDOUT, "the service did not answer in time");
		int r = poll(&p, 1, (int)left);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return err_sys(e, -errno, "poll");
	}
}

static int send_one(int fd, const struct ipc_head *head, void *msg, int64_t until, struct err *e)
{
	unsigned char bytes[IPC_MESSAGE_MAX] UNINITIALIZED;
	struct ipc_packet p = {.bytes = bytes};

	int r = channel_encode(head, msg, &p, e);
	if (r == 0)
		r = wait_for(fd, POLLOUT, until, e);
	if (r == 0) {
		r = packet_send(fd, p.bytes, p.len, p.fds, p.nfds, 0);
		if (r < 0)
			err_sys(e, r, "send");
	}
	ipc_packet_clean(&p);
	return r;
}

static int receive_one(int fd, struct ipc_head *head, void **msg, int64_t until, struct err *e)
{
	unsigned char bytes[IPC_MESSAGE_MAX] UNINITIALIZED;
	int fds[IPC_FDS_MAX];
	size_t nfds;

	int r = wait_for(fd, POLLIN, until, e);
	if (r < 0)
		return r;
	ssize_t n = packet_receive(fd, bytes, fds, &nfds, 0, e);
	return n < 0 ? (int)n : channel_decode(bytes, (size_t)n, fds, nfds, head, msg, e);
}

static int say_hello(int fd, enum process_id self, int64_t until, struct err *e)
{
	struct ipc_head head = {.message = ipc_message(IPC_hello), .kind = K_HELLO};
	struct hello hello = {.schema = ipc_schema_hash(), .process = self};
	void *answer = NULL;

	int r = send_one(fd, &head, &hello, until, e);
	if (r == 0)
		r = receive_one(fd, &head, &answer, until, e);
	if (r < 0)
		return r;
	bool good = head.kind == K_HELLO && head.message->number == IPC_hello &&
		    ((struct hello *)answer)->schema == ipc_schema_hash();
	channel_msg_free(head.message, answer);
	return good ? 0 : err_set(e, -EPROTO, "the service speaks another version of the messages");
}

static int take_answer(const struct ipc_message *m, const struct ipc_head *head, void *msg, void **reply, struct err *e)
{
	if (head->kind == K_END && head->message->number == m->reply) {
		*reply = msg;
		return 0;
	}
	int r = err_set(e, -EBADMSG, "the service answered %s with %s", m->name, head->message->name);
	if (head->kind == K_ERROR && head->message->number == IPC_failure) {
		const struct failure *failure = msg;
		r = err_set(e, failure->code ? (int)failure->code : -EIO, "%s", failure->text);
		e->status = (int)failure->status;
	}
	channel_msg_free(head->message, msg);
	return r;
}

int ipc_call_sync(enum process_id self, const char *path, uint16_t number, void *msg, uint32_t deadline_ms,
		  void **reply, struct err *e)
{
	struct ipc_head head = {.message = ipc_message(number), .kind = K_REQUEST, .id = 1, .deadline_ms = deadline_ms};
	const struct ipc_message *m = head.message;
	int64_t until = deadline_ms ? monotonic_ms() + deadline_ms : 0;
	AUTO_CLOSE int fd = packet_connect(path, 0, e);
	void *answer = NULL;

	if (fd < 0)
		return fd;
	int r = say_hello(fd, self, until, e);
	if (r == 0)
		r = send_one(fd, &head, msg, until, e);
	if (r == 0)
		r = receive_one(fd, &head, &answer, until, e);
	return r < 0 ? r : take_answer(m, &head, answer, reply, e);
}
