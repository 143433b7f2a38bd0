#include "netd/dns/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"

/* Addresses of everybody who has the name, in random order: the load of an alias spreads over those who share it. */
static void add_addresses(struct packet_answer *out, const struct name_found *found, sa_family_t family)
{
	const struct name_address **list = NULL;
	size_t n = 0;
	uint64_t random = 1;

	for (size_t i = 0; i < found->n; i++) {
		const struct name_endpoint *ep = found->list[i];

		for (size_t k = 0; k < ep->naddresses; k++) {
			if (ep->addresses[k].family != family)
				continue;
			list = xrealloc(list, n + 1, sizeof *list);
			list[n++] = &ep->addresses[k];
		}
	}
	if (n > 1 && getrandom(&random, sizeof random, 0) != sizeof random)
		abort();
	for (; n > 0; n--) {
		/* xorshift: not to be guessed is no aim here. */
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		const size_t pick = (size_t)(random % n);
		packet_add_address(out, family, list[pick]->bytes);
		list[pick] = list[n - 1];
	}
	free(list);
}

static void add_reverse(struct packet_answer *out, const struct name_found *found)
{
	char name[PACKET_NAME_MAX + 1];

	for (size_t i = 0; i < found->n; i++) {
		const struct name_endpoint *ep = found->list[i];

		if ((size_t)snprintf(name, sizeof name, "%s.%s", ep->name, ep->network_name) < sizeof name)
			packet_add_ptr(out, name);
	}
}

/* A name or an address of the container's networks; false: there is none of that name. */
static bool known(const struct names *n, const struct name_view *v, const struct packet_query *q,
		  struct packet_answer *out)
{
	struct name_found found;
	sa_family_t family;
	uint8_t address[16];

	if (q->class != CLASS_IN && q->class != CLASS_ANY)
		return false;
	if (names_find(n, v, q->name, &found)) {
		/* Other types, and the family that it has no address of: the name is there, and has none. */
		if (q->type == TYPE_A || q->type == TYPE_ANY)
			add_addresses(out, &found, AF_INET);
		if (q->type == TYPE_AAAA || q->type == TYPE_ANY)
			add_addresses(out, &found, AF_INET6);
		return true;
	}
	if (!packet_reverse(q->name, &family, address) || !names_find_address(n, v, family, address, &found))
		return false;
	if (q->type == TYPE_PTR || q->type == TYPE_ANY)
		add_reverse(out, &found);
	return true;
}

enum answer_fate answer(const struct names *n, const struct name_view *v, const uint8_t *bytes, size_t len, bool tcp,
			struct packet_query *q, struct packet_answer *out, uint8_t *buf, size_t size)
{
	int rcode = packet_parse(bytes, len, q);

	if (rcode < 0)
		return ANSWER_NONE;
	packet_begin(out, q, buf, tcp || q->room > size ? size : q->room);
	if (rcode == RCODE_OK && !known(n, v, q, out)) {
		/* With ndots above 0 the resolver comes again with its search domains: outside, it is no name. */
		if (v->forward && !(v->dotted && *q->name && !strchr(q->name, '.')))
			return ANSWER_FORWARD;
		rcode = RCODE_NO_NAME;
	}
	packet_finish(out, q, (enum packet_rcode)rcode);
	return ANSWER_READY;
}
