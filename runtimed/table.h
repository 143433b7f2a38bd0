/* table: objects by name. The key belongs to the object and must not change while it is in the table. */
#ifndef POUCH_RUNTIMED_TABLE_H
#define POUCH_RUNTIMED_TABLE_H

#include <stddef.h>

struct table {
	struct table_slot {
		const char *key; /* NULL: free */
		void *value;
	} * slots;
	size_t size, count; /* size is a power of two, at least twice the count */
};

void *table_get(const struct table *t, const char *key);
/* The key must not be present. */
void table_put(struct table *t, const char *key, void *value);
/* Removing what is absent does nothing. */
void table_remove(struct table *t, const char *key);

#endif
