/* As apid, towards the helpers: acting for nobody, and noise. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/client.h"
#include "ipc/packet.h"
#include "lib/sandbox/profile.h"
#include "lib/util.h"
#include "tests/fuzz/sample.h"
#include "tests/privilege/probe.h"

#define DEADLINE_MS 2000

static char *peer_path(const struct outside *o, enum process_id peer)
{
	return xasprintf("%s/ipc/%s.sock", o->run, process_name(peer));
}

/* ---- acting for nobody ---- */

enum forged { NOBODY, ITSELF, LISTENER, CERTIFICATE, BOTH, FORGED };
static const char *const forged_names[FORGED] = {"nobody", "itself", "listener", "certificate", "both"};

/* Who asks, as a taken-over apid can make it up. `pair` is a connection of its own. */
static void forge(enum forged how, const int pair[2], struct ipc_asker *asker)
{
	asker->caller = how == ITSELF || how == LISTENER || how == BOTH ? pair[0] : -1;
	asker->attested = how == CERTIFICATE || how == BOTH ? "CN=root,SAN=root" : NULL;
	asker->listener = how == LISTENER ? 0 : how == CERTIFICATE ? 1 : 77;
	asker->audit_id = "probe";
}

static int ask(const struct outside *o, const struct ipc_message *m, enum forged how, const int pair[2])
{
	AUTO_FREE char *path = peer_path(o, MSG_OWNER(m->number));
	struct sample s;
	void *reply = NULL;
	struct err e = {0};
	int status;

	sample_message(m, true, &s);
	struct ipc_asker *asker = s.msg;
	struct ipc_asker before = *asker;
	forge(how, pair, asker);
	int r = ipc_call_sync(o->self, path, m->number, s.msg, DEADLINE_MS, &reply, &e);
	status = r < 0 ? err_status(&e) : reply ? (int)((struct api_reply *)reply)->status : 200;
	if (r == 0)
		channel_msg_free(ipc_message(IPC_api_reply), reply);
	*asker = before;
	sample_clean(m, &s);
	return status;
}

int act_all(const struct outside *o)
{
	const struct ipc_message *const *all;
	size_t n;
	int pair[2];
	bool first = true;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 1;
	all = ipc_messages(&n);
	printf("{");
	for (size_t i = 0; i < n; i++) {
		if (!all[i]->op || !(sandbox_profile(o->self)->peers >> MSG_OWNER(all[i]->number) & 1))
			continue;
		printf("%s\"%s\": {\"permission\": \"%s\", \"owner\": \"%s\"", first ? "" : ", ", all[i]->name,
		       all[i]->op->permission, process_name(MSG_OWNER(all[i]->number)));
		for (enum forged how = NOBODY; how < FORGED; how++)
			printf(", \"%s\": %d", forged_names[how], ask(o, all[i], how, pair));
		printf("}");
		first = false;
	}
	printf("}\n");
	return 0;
}

/* ---- noise ---- */

/* The helper must drop us, or answer; it gets a moment for neither. */
static void drain(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte[64];

	while (poll(&p, 1, 20) > 0 && recv(fd, byte, sizeof byte, MSG_DONTWAIT) > 0)
		;
}

static size_t packet_of(const struct ipc_message *m, enum ipc_kind kind, void *msg, unsigned char *bytes)
{
	struct ipc_packet p = {.bytes = bytes};
	struct ipc_head head = {.message = m, .kind = kind, .id = 1};
	struct err e;
	int r = channel_encode(&head, msg, &p, &e);

	ipc_packet_clean(&p);
	return r < 0 ? 0 : p.len;
}

static size_t hello_packet(enum process_id self, unsigned char *bytes)
{
	struct hello hello = {.schema = ipc_schema_hash(), .process = self};

	return packet_of(ipc_message(IPC_hello), K_HELLO, &hello, bytes);
}

/* One connection: HELLO when `greeted`, then this packet with `nfds` pipes. Returns 1 when it could be sent. */
static unsigned send_noise(const struct outside *o, const char *path, bool greeted, const void *bytes, size_t len,
			   size_t nfds)
{
	static unsigned char hello[IPC_MESSAGE_MAX];
	struct err e;
	AUTO_CLOSE int fd = packet_connect(path, 0, &e);
	int fds[IPC_FDS_MAX] = {0};
	unsigned sent = 0;

	if (fd < 0)
		return 0;
	if (greeted)
		packet_send(fd, hello, hello_packet(o->self, hello), NULL, 0, 0);
	sent = packet_send(fd, bytes, len, fds, nfds, 0) == 0;
	drain(fd);
	return sent;
}

/* Of one message: cut short, a byte changed, descriptors that it does not have, before HELLO. */
static unsigned noise_of(const struct outside *o, const char *path, const struct ipc_message *m)
{
	static unsigned char bytes[IPC_MESSAGE_MAX];
	struct sample s;
	unsigned sent = 0;

	sample_message(m, true, &s);
	size_t len = packet_of(m, K_REQUEST, s.msg, bytes);
	sample_clean(m, &s);
	if (len == 0)
		return 0;
	sent += send_noise(o, path, false, bytes, len, 0);
	sent += send_noise(o, path, true, bytes, len, 0);
	sent += send_noise(o, path, true, bytes, len, IPC_FDS_MAX);
	sent += send_noise(o, path, true, bytes, len / 2, 0);
	bytes[len / 2] ^= 0x80;
	sent += send_noise(o, path, true, bytes, len, 1);
	return sent;
}

int noise_all(const struct outside *o)
{
	static unsigned char large[IPC_MESSAGE_MAX];
	const struct ipc_message *const *all;
	size_t n;
	bool first = true;

	all = ipc_messages(&n);
	memset(large, 0xa5, sizeof large);
	printf("{");
	for (enum process_id peer = 1; peer < PROC_LIMIT; peer++) {
		unsigned sent = 0;

		if (!(sandbox_profile(o->self)->peers >> peer & 1))
			continue;
		AUTO_FREE char *path = peer_path(o, peer);
		sent += send_noise(o, path, false, large, sizeof large, 0);
		sent += send_noise(o, path, true, large, 1, 0);
		sent += send_noise(o, path, true, "", 0, 3);
		for (size_t i = 0; i < n; i++)
			if (MSG_OWNER(all[i]->number) == peer || MSG_OWNER(all[i]->number) == PROC_NONE)
				sent += noise_of(o, path, all[i]);
		printf("%s\"%s\": %u", first ? "" : ", ", process_name(peer), sent);
		first = false;
	}
	printf("}\n");
	return 0;
}
