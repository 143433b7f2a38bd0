/* answer: what a container is told to its question, or that others have to be asked. */
#ifndef POUCH_NETD_DNS_ANSWER_H
#define POUCH_NETD_DNS_ANSWER_H

#include "netd/dns/names.h"
#include "netd/dns/packet.h"

enum answer_fate {
	ANSWER_READY,	/* `out` is the answer */
	ANSWER_FORWARD, /* it is for the name servers outside */
	ANSWER_NONE,	/* it is no question: nothing is said */
};

/*
 * `q` is filled in from `len` bytes of a message; `out` is begun in `buf`, which has `size` bytes: PACKET_MAX for
 * `tcp`, else PACKET_UDP_MAX.
 */
enum answer_fate answer(const struct names *n, const struct name_view *v, const uint8_t *bytes, size_t len, bool tcp,
			struct packet_query *q, struct packet_answer *out, uint8_t *buf, size_t size);

#endif
