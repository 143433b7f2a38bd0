#include "runtimed/table.h"

#include <stdint.h>
#include <string.h>

#include "lib/util.h"

/* FNV-1a. Names are chosen by clients, but a client that fills the table with colliding names needs millions of
 * containers. */
static size_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* The slot that holds `key`, or the free one where it belongs. */
static struct table_slot *find(const struct table *t, const char *key)
{
	for (size_t i = hash(key);; i++) {
		struct table_slot *s = &t->slots[i & (t->size - 1)];
		if (!s->key || strcmp(s->key, key) == 0)
			return s;
	}
}

void *table_get(const struct table *t, const char *key)
{
	return t->count ? find(t, key)->value : NULL;
}

static void grow(struct table *t)
{
	struct table old = *t;

	t->size = old.size ? old.size * 2 : 16;
	t->slots = xcalloc(t->size, sizeof *t->slots);
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i].key)
			*find(t, old.slots[i].key) = old.slots[i];
	free(old.slots);
}

void table_put(struct table *t, const char *key, void *value)
{
	if ((t->count + 1) * 2 > t->size)
		grow(t);
	*find(t, key) = (struct table_slot){key, value};
	t->count++;
}

void table_remove(struct table *t, const char *key)
{
	struct table_slot *gone = t->count ? find(t, key) : NULL;

	if (!gone || !gone->key)
		return;
	*gone = (struct table_slot){0};
	t->count--;
	/* What was pushed along by the removed one moves back. */
	for (size_t i = (size_t)(gone - t->slots) + 1;; i++) {
		struct table_slot *s = &t->slots[i & (t->size - 1)];
		if (!s->key)
			return;
		struct table_slot moved = *s;
		*s = (struct table_slot){0};
		*find(t, moved.key) = moved;
	}
}
