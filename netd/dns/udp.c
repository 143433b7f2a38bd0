/* udp: questions by UDP: many in one call, and their answers likewise. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/util.h"
#include "netd/dns/answer.h"
#include "netd/dns/dns.h"

#define BATCH 32 /* of one container's, before the next one's turn */

struct udp_asker {
	struct served *served;
	struct sockaddr_in from;
};

/* Room for one turn. */
static struct {
	uint8_t in[BATCH][PACKET_UDP_MAX], out[BATCH][PACKET_UDP_MAX];
	struct sockaddr_in from[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	struct mmsghdr in_msg[BATCH], out_msg[BATCH];
} turn;

static void on_forwarded(void *arg, const uint8_t *bytes, size_t len)
{
	struct udp_asker *asker = arg;

	/* An answer that finds no room is lost, as UDP may; the asker asks again. */
	if (bytes && sendto(asker->served->udp, bytes, len, MSG_DONTWAIT, (struct sockaddr *)&asker->from,
			    sizeof asker->from) < 0)
		log_debug("an answer to container %.12s was lost: %m", asker->served->container);
	free(asker);
}

static bool forward(struct served *s, const struct packet_query *q, const struct sockaddr_in *from)
{
	struct udp_asker *asker = XNEW(struct udp_asker);

	*asker = (struct udp_asker){s, *from};
	if (forward_start(s, q, false, on_forwarded, asker))
		return true;
	free(asker);
	return false;
}

/* The answer to the i-th question, if there is one at once, becomes the n-th to send; returns how many those are. */
static unsigned take_question(struct served *s, unsigned i, unsigned n)
{
	struct packet_query q;
	struct packet_answer out;
	const enum answer_fate fate = answer(s->dns->names, &s->view, turn.in[i], turn.in_msg[i].msg_len, false, &q,
					     &out, turn.out[n], sizeof turn.out[n]);

	if (fate == ANSWER_NONE || (fate == ANSWER_FORWARD && forward(s, &q, &turn.from[i])))
		return n;
	if (fate == ANSWER_FORWARD)
		packet_finish(&out, &q, RCODE_SERVER_FAILURE);
	turn.out_iov[n] = (struct iovec){out.bytes, out.len};
	turn.out_msg[n].msg_hdr = (struct msghdr){.msg_name = &turn.from[i],
						  .msg_namelen = sizeof turn.from[i],
						  .msg_iov = &turn.out_iov[n],
						  .msg_iovlen = 1};
	return n + 1;
}

static void send_answers(struct served *s, unsigned n)
{
	for (unsigned sent = 0; sent < n;) {
		const int more = sendmmsg(s->udp, turn.out_msg + sent, n - sent, MSG_DONTWAIT);

		/* One that cannot be sent, say for its asker's address, does not stop those behind it. */
		sent += more > 0 ? (unsigned)more : 1;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct served *s = arg;
	unsigned answers = 0;

	(void)what;
	for (unsigned i = 0; i < BATCH; i++) {
		turn.in_iov[i] = (struct iovec){turn.in[i], sizeof turn.in[i]};
		turn.in_msg[i].msg_hdr = (struct msghdr){.msg_name = &turn.from[i],
							 .msg_namelen = sizeof turn.from[i],
							 .msg_iov = &turn.in_iov[i],
							 .msg_iovlen = 1};
	}
	const int n = recvmmsg(fd, turn.in_msg, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		answers = take_question(s, (unsigned)i, answers);
	send_answers(s, answers);
}

void udp_start(struct served *s)
{
	s->on_udp = event_new(s->dns->daemon.base, s->udp, EV_READ | EV_PERSIST, on_readable, s);
	event_add(s->on_udp, NULL);
}
