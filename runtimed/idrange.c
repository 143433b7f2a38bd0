#include "runtimed/idrange.h"

#include <errno.h>

#include "lib/util.h"

struct idranges {
	uint32_t base, size, count, next;
	uint32_t *users; /* how many containers have it */
};

struct idranges *idranges_new(uint32_t base, uint32_t size, uint32_t count)
{
	struct idranges *r = XNEW(struct idranges);

	/* Ids end at 2³² - 2: (uid_t)-1 is nobody. */
	uint64_t room = (UINT32_MAX - (uint64_t)base) / size;
	*r = (struct idranges){.base = base, .size = size, .count = count < room ? count : (uint32_t)room};
	r->users = xcalloc(r->count ? r->count : 1, sizeof *r->users);
	return r;
}

int idrange_take(struct idranges *r, uint32_t *out, struct err *e)
{
	/* Round and round, so that a range rests before its next container: what an old one left behind is not the new
	 * one's. */
	for (uint32_t i = 0; i < r->count; i++) {
		uint32_t n = (r->next + i) % r->count;
		if (r->users[n])
			continue;
		r->users[n] = 1;
		r->next = n + 1;
		*out = n;
		return 0;
	}
	return err_set(e, -ENOSPC, "all %u id ranges for user namespaces are taken (ids.containers.count)", r->count);
}

void idrange_hold(struct idranges *r, uint32_t range)
{
	if (range < r->count)
		r->users[range]++;
}

void idrange_drop(struct idranges *r, uint32_t range)
{
	if (range < r->count && r->users[range])
		r->users[range]--;
}

uint32_t idrange_base(const struct idranges *r, uint32_t range)
{
	return range < r->count ? r->base + range * r->size : 0;
}

uint32_t idrange_size(const struct idranges *r, uint32_t range)
{
	return range < r->count ? r->size : 0;
}

uint32_t idrange_of(const struct idranges *r, uid_t uid)
{
	if (uid < r->base || (uid - r->base) / r->size >= r->count)
		return RANGE_NONE;
	return (uint32_t)(uid - r->base) / r->size;
}
