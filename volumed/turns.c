#include "volumed/turns.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/util.h"

struct turn {
	char *volume;
	void (*fn)(void *arg);
	void *arg;
	TAILQ_ENTRY(turn) next;
};

/* In the order of asking; the first of each volume is the one that has it. */
struct turns {
	TAILQ_HEAD(, turn) list;
};

struct turns *turns_new(void)
{
	struct turns *t = XNEW(struct turns);

	TAILQ_INIT(&t->list);
	return t;
}

static void drop(struct turns *t, struct turn *turn)
{
	TAILQ_REMOVE(&t->list, turn, next);
	free(turn->volume);
	free(turn);
}

void turns_free(struct turns *t)
{
	struct turn *turn;

	if (!t)
		return;
	while ((turn = TAILQ_FIRST(&t->list)))
		drop(t, turn);
	free(t);
}

static struct turn *first_of(struct turns *t, const char *volume)
{
	struct turn *turn;

	TAILQ_FOREACH(turn, &t->list, next)
		if (str_eq(turn->volume, volume))
			return turn;
	return NULL;
}

void turn_take(struct turns *t, const char *volume, void (*fn)(void *arg), void *arg)
{
	struct turn *turn = XNEW(struct turn);
	const bool waits = first_of(t, volume) != NULL;

	*turn = (struct turn){.volume = xstrdup(volume), .fn = fn, .arg = arg};
	TAILQ_INSERT_TAIL(&t->list, turn, next);
	if (!waits)
		fn(arg);
}

void turn_end(struct turns *t, const char *volume)
{
	struct turn *turn = first_of(t, volume);

	assert(turn);
	AUTO_FREE char *name = xstrdup(volume);
	drop(t, turn);
	turn = first_of(t, name);
	if (turn)
		turn->fn(turn->arg);
}
