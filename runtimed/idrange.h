/*
 * idrange: the ranges of host ids that containers' user namespaces have. A range belongs to the containers whose
 * records name it (one, or several that share a user namespace), so taking and giving back are as durable as they.
 */
#ifndef POUCH_RUNTIMED_IDRANGE_H
#define POUCH_RUNTIMED_IDRANGE_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

#define RANGE_NONE UINT32_MAX

struct idranges;

/* Ranges 0..count-1; range n begins at base + n * size. */
struct idranges *idranges_new(uint32_t base, uint32_t size, uint32_t count);

/* A range that nobody has. -ENOSPC when there is none; the least recently freed one otherwise. */
int idrange_take(struct idranges *r, uint32_t *out, struct err *e);
/* One more user of a range, as read from a record or shared; RANGE_NONE and numbers out of range do nothing. */
void idrange_hold(struct idranges *r, uint32_t range);
void idrange_drop(struct idranges *r, uint32_t range);

/* First host id and number of ids; 0, 0 for RANGE_NONE. */
uint32_t idrange_base(const struct idranges *r, uint32_t range);
uint32_t idrange_size(const struct idranges *r, uint32_t range);
/* The range that holds `uid`, RANGE_NONE when none does. */
uint32_t idrange_of(const struct idranges *r, uid_t uid);

#endif
