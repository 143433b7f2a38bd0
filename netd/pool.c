#include "netd/pool.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "lib/util.h"

struct pool {
	struct subnet subnet;
	uint64_t first, count; /* of the range, as offsets in the subnet */
	uint64_t next;	       /* where pool_next() begins, as offset in the range */
	void *taken;	       /* tree of uint64_t offsets */
	uint64_t ntaken;       /* in the range */
};

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct pool *pool_new(const struct subnet *subnet, const struct subnet *range)
{
	struct pool *p = XNEW(struct pool);
	const struct subnet *r = range->address.family ? range : subnet;
	const struct address base = subnet_base(r);

	p->subnet = *subnet;
	p->first = subnet_offset(subnet, &base);
	p->count = subnet_count(r);
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	tdestroy(p->taken, free);
	free(p);
}

const struct subnet *pool_subnet(const struct pool *p)
{
	return &p->subnet;
}

/* Not the subnet's own address, and in IPv4 not the broadcast address; a /31 or /32 has neither (RFC 3021). */
static bool is_host(const struct pool *p, uint64_t offset)
{
	const uint64_t count = subnet_count(&p->subnet);
	const bool v4 = p->subnet.address.family == AF_INET;

	if (count <= 2)
		return true;
	return offset != 0 && !(v4 && offset == count - 1);
}

static bool in_range(const struct pool *p, uint64_t offset)
{
	return offset >= p->first && offset - p->first < p->count;
}

static bool is_taken(const struct pool *p, uint64_t offset)
{
	return tfind(&offset, (void *const *)&p->taken, compare) != NULL;
}

static void take(struct pool *p, uint64_t offset)
{
	uint64_t *key = XNEW(uint64_t);

	*key = offset;
	if (!tsearch(key, &p->taken, compare))
		abort();
	p->ntaken += in_range(p, offset);
}

int pool_next(struct pool *p, struct address *out, struct err *e)
{
	char text[ADDRESS_TEXT];

	/* At most two of the range's addresses are nobody's; one more round than taken ones finds a free one. */
	for (uint64_t tries = 0; tries < p->count && tries <= p->ntaken + 2; tries++) {
		const uint64_t offset = p->first + p->next;

		p->next = (p->next + 1) % p->count;
		if (!is_host(p, offset) || is_taken(p, offset))
			continue;
		take(p, offset);
		*out = subnet_at(&p->subnet, offset);
		return 0;
	}
	return err_http(e, 503, "no available IPv%c addresses on this network's address pools: %s",
			p->subnet.address.family == AF_INET ? '4' : '6', subnet_text(&p->subnet, text));
}

int pool_take(struct pool *p, const struct address *a, struct err *e)
{
	char text[ADDRESS_TEXT], subnet[ADDRESS_TEXT];

	if (!subnet_contains(&p->subnet, a))
		return err_http(e, 400, "address %s is not in the network's subnet %s", address_text(a, text),
				subnet_text(&p->subnet, subnet));
	const uint64_t offset = subnet_offset(&p->subnet, a);
	if (!is_host(p, offset))
		return err_http(e, 400, "address %s is no host's address in %s", address_text(a, text),
				subnet_text(&p->subnet, subnet));
	if (is_taken(p, offset))
		return err_http(e, 409, "Address already in use: %s", address_text(a, text));
	take(p, offset);
	return 0;
}

void pool_give_back(struct pool *p, const struct address *a)
{
	const uint64_t offset = subnet_offset(&p->subnet, a);
	uint64_t **found = tfind(&offset, &p->taken, compare);

	if (!found)
		return;
	uint64_t *key = *found;
	tdelete(&offset, &p->taken, compare);
	free(key);
	p->ntaken -= in_range(p, offset);
}
