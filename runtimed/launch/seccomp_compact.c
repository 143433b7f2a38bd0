/*
 * seccomp_compact: the same program of system calls in a quarter of its instructions. libseccomp tells each call apart
 * by its number; here one comparison tells two ranges of numbers apart that have different answers. The kernel checks,
 * translates and keeps the program of each container.
 *
 * What a program answers is found by running it: for an architecture and a number it returns, or comes to the first
 * instruction that looks at an argument. That place changes only where the number passes a constant that it is compared
 * with, so one number of each range stands for all. What looks at arguments is copied. The result is run again for all
 * of these numbers; a program with anything unforeseen in it stays as it is.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

#define LOAD	 (BPF_LD | BPF_W | BPF_ABS)
#define RETURN	 (BPF_RET | BPF_K)
#define GO	 (BPF_JMP | BPF_JA)
#define EQUALS	 (BPF_JMP | BPF_JEQ | BPF_K)
#define AT_LEAST (BPF_JMP | BPF_JGE | BPF_K)
#define ABOVE	 (BPF_JMP | BPF_JGT | BPF_K)
#define AND	 (BPF_ALU | BPF_AND | BPF_K)
#define NR	 offsetof(struct seccomp_data, nr)
#define ARCH	 offsetof(struct seccomp_data, arch)

/* Ranges: so many comparisons and leaves are within the reach of a condition, 255 instructions. */
#define PART_MAX   128
#define ARCHES_MAX 8
#define NOWHERE	   UINT32_MAX

/* What the accumulator may hold at an instruction. */
enum { HAS_ARCH = 1, HAS_NR = 2, HAS_OTHER = 4 };

struct program {
	const struct sock_filter *v;
	size_t n;
};

struct ranges {
	struct {
		uint32_t from, place;
	} * v;
	size_t n;
};

struct compact {
	struct program in;
	uint8_t *holds;	   /* of each instruction: HAS_… */
	uint32_t *numbers; /* one of each range, sorted */
	size_t nnumbers;
	uint32_t arches[ARCHES_MAX]; /* that the program knows; the last stands for all others */
	size_t narches;
	struct ranges of[ARCHES_MAX];
	uint32_t *copies;	 /* where an instruction of `in` has gone, or NOWHERE */
	struct sock_filter *out; /* of the size of `in` */
	size_t nout;
};

/* ---- what the program does ---- */

static bool conditional(const struct sock_filter *i)
{
	return i->code == EQUALS || i->code == AT_LEAST || i->code == ABOVE;
}

static bool true_of(const struct sock_filter *i, uint32_t a)
{
	return i->code == EQUALS ? a == i->k : i->code == AT_LEAST ? a >= i->k : a > i->k;
}

/* Where it returns, or looks at an argument. */
static uint32_t place_of(const struct program *p, uint32_t arch, uint32_t nr)
{
	uint32_t a = 0;

	for (size_t at = 0; at < p->n; at++) {
		const struct sock_filter *i = &p->v[at];
		if (i->code == RETURN || (i->code == LOAD && i->k != NR && i->k != ARCH))
			return (uint32_t)at;
		if (i->code == LOAD)
			a = i->k == NR ? nr : arch;
		else if (i->code == GO)
			at += i->k;
		else if (conditional(i))
			at += true_of(i, a) ? i->jt : i->jf;
		else
			return NOWHERE;
	}
	return NOWHERE;
}

static int may_hold(struct compact *c, size_t at, uint8_t what)
{
	if (at >= c->in.n)
		return -ENOTSUP;
	c->holds[at] |= what;
	return 0;
}

/* Jumps lead ahead alone, so one pass sees every way to an instruction. Nothing leads out of the program after it. */
static int find_holds(struct compact *c)
{
	c->holds = xcalloc(c->in.n, 1);
	c->holds[0] = HAS_OTHER;
	int r = 0;
	for (size_t at = 0; r == 0 && at < c->in.n; at++) {
		const struct sock_filter *i = &c->in.v[at];
		const uint8_t holds = c->holds[at];
		if (i->code == LOAD) {
			r = may_hold(c, at + 1, i->k == NR ? HAS_NR : i->k == ARCH ? HAS_ARCH : HAS_OTHER);
		} else if (i->code == AND) {
			r = may_hold(c, at + 1, HAS_OTHER);
		} else if (i->code == GO) {
			r = may_hold(c, at + 1 + i->k, holds);
		} else if (conditional(i)) {
			r = may_hold(c, at + 1 + i->jt, holds);
			r = r ? r : may_hold(c, at + 1 + i->jf, holds);
		} else if (i->code != RETURN) {
			r = -ENOTSUP;
		}
	}
	return r;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* 0, each number that a call's is compared with, and the one after it. */
static void find_numbers(struct compact *c)
{
	size_t n = 0;

	c->numbers = xcalloc(2 * c->in.n + 1, sizeof *c->numbers);
	c->numbers[n++] = 0;
	for (size_t at = 0; at < c->in.n; at++) {
		const struct sock_filter *i = &c->in.v[at];
		if (!conditional(i) || !(c->holds[at] & HAS_NR))
			continue;
		c->numbers[n++] = i->k;
		if (i->k < UINT32_MAX)
			c->numbers[n++] = i->k + 1;
	}
	qsort(c->numbers, n, sizeof *c->numbers, by_value);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || c->numbers[c->nnumbers - 1] != c->numbers[i])
			c->numbers[c->nnumbers++] = c->numbers[i];
}

static bool known_arch(const struct compact *c, uint32_t arch)
{
	for (size_t i = 0; i < c->narches; i++)
		if (c->arches[i] == arch)
			return true;
	return false;
}

static int find_arches(struct compact *c)
{
	uint32_t other = 0;

	for (size_t at = 0; at < c->in.n; at++) {
		const struct sock_filter *i = &c->in.v[at];
		if (!conditional(i) || !(c->holds[at] & HAS_ARCH))
			continue;
		if (i->code != EQUALS || c->narches == ARCHES_MAX - 1)
			return -ENOTSUP;
		if (!known_arch(c, i->k))
			c->arches[c->narches++] = i->k;
	}
	while (known_arch(c, other))
		other++;
	c->arches[c->narches++] = other;
	return 0;
}

static bool same(const struct compact *c, uint32_t x, uint32_t y)
{
	const struct sock_filter *a = &c->in.v[x], *b = &c->in.v[y];

	return x == y || (a->code == RETURN && b->code == RETURN && a->k == b->k);
}

static int find_ranges(const struct compact *c, uint32_t arch, struct ranges *r)
{
	r->v = xcalloc(c->nnumbers, sizeof *r->v);
	for (size_t i = 0; i < c->nnumbers; i++) {
		const uint32_t place = place_of(&c->in, arch, c->numbers[i]);
		if (place == NOWHERE)
			return -ENOTSUP;
		if (r->n && same(c, r->v[r->n - 1].place, place))
			continue;
		r->v[r->n].from = c->numbers[i];
		r->v[r->n++].place = place;
	}
	return 0;
}

/* ---- the new one ---- */

static size_t emit(struct compact *c, uint16_t code, uint32_t k)
{
	/* One that becomes no shorter is not wanted: only counted. */
	if (c->nout < c->in.n)
		c->out[c->nout] = (struct sock_filter){.code = code, .k = k};
	return c->nout++;
}

struct leaves {
	uint32_t places[PART_MAX];
	size_t n, base; /* where they begin in `out` */
};

static size_t leaf_of(const struct compact *c, struct leaves *l, uint32_t place)
{
	size_t i = 0;

	while (i < l->n && !same(c, l->places[i], place))
		i++;
	if (i == l->n)
		l->places[l->n++] = place;
	return i;
}

/* The comparisons that tell ranges `low` to `high` - 1 apart; returns where they begin: a single range is a leaf. */
static size_t emit_tree(struct compact *c, const struct ranges *r, size_t low, size_t high, struct leaves *l)
{
	if (high - low == 1)
		return l->base + leaf_of(c, l, r->v[low].place);
	const size_t middle = (low + high) / 2;
	const size_t at = emit(c, AT_LEAST, r->v[middle].from);
	const size_t less = emit_tree(c, r, low, middle, l), more = emit_tree(c, r, middle, high, l);
	if (at < c->in.n) {
		c->out[at].jf = (uint8_t)(less - at - 1);
		c->out[at].jt = (uint8_t)(more - at - 1);
	}
	return at;
}

/* Comparisons, and behind them what they lead to: a return, or a jump to be made by link_copies(), which `jt` marks. */
static void emit_part(struct compact *c, const struct ranges *r, size_t low, size_t high)
{
	struct leaves l = {.base = c->nout + high - low - 1};

	emit_tree(c, r, low, high, &l);
	for (size_t i = 0; i < l.n; i++) {
		const struct sock_filter *place = &c->in.v[l.places[i]];
		if (place->code == RETURN) {
			emit(c, RETURN, place->k);
			continue;
		}
		const size_t at = emit(c, GO, l.places[i]);
		if (at < c->in.n)
			c->out[at].jt = 1;
		c->copies[l.places[i]] = 0;
	}
}

/* A condition, and the jump that is made, or jumped over, by it; its end is here. */
static size_t emit_way(struct compact *c, uint16_t code, uint32_t k)
{
	const size_t at = emit(c, code, k);

	if (at < c->in.n)
		c->out[at].jf = 1;
	return emit(c, GO, 0);
}

static void end_way(struct compact *c, size_t way)
{
	if (way < c->in.n)
		c->out[way].k = (uint32_t)(c->nout - way - 1);
}

static void emit_ranges(struct compact *c, const struct ranges *r, size_t low, size_t high)
{
	if (high - low <= PART_MAX) {
		emit_part(c, r, low, high);
		return;
	}
	const size_t middle = (low + high) / 2;
	const size_t more = emit_way(c, AT_LEAST, r->v[middle].from);
	emit_ranges(c, r, low, middle);
	end_way(c, more);
	emit_ranges(c, r, middle, high);
}

static void emit_arch(struct compact *c, const struct ranges *r)
{
	if (r->n > 1)
		emit(c, LOAD, NR);
	emit_ranges(c, r, 0, r->n);
}

/* One architecture after the other; the last, for all that are none of these, comes first. */
static void emit_arches(struct compact *c)
{
	size_t way[ARCHES_MAX];

	emit(c, LOAD, ARCH);
	for (size_t i = 0; i + 1 < c->narches; i++)
		way[i] = emit_way(c, EQUALS, c->arches[i]);
	emit_arch(c, &c->of[c->narches - 1]);
	for (size_t i = 0; i + 1 < c->narches; i++) {
		end_way(c, way[i]);
		emit_arch(c, &c->of[i]);
	}
}

/*
 * Everything that can follow a place that looks at an argument, in the old order, so that jumps get no longer. What is
 * wanted is marked by 0, where no copy can be.
 */
static void emit_copies(struct compact *c)
{
	for (size_t at = 0; at < c->in.n; at++) {
		const struct sock_filter *i = &c->in.v[at];
		if (c->copies[at] == NOWHERE)
			continue;
		c->copies[at] = (uint32_t)emit(c, i->code, i->k);
		if (conditional(i)) {
			c->copies[at + 1 + i->jt] = c->copies[at + 1 + i->jf] = 0;
		} else if (i->code == GO) {
			c->copies[at + 1 + i->k] = 0;
		} else if (i->code != RETURN) {
			c->copies[at + 1] = 0;
		}
	}
}

static void link_copies(struct compact *c, size_t first)
{
	for (size_t at = 0; at < first; at++)
		if (c->out[at].code == GO && c->out[at].jt) {
			c->out[at].k = c->copies[c->out[at].k] - (uint32_t)at - 1;
			c->out[at].jt = 0;
		}
	for (size_t at = 0; at < c->in.n; at++) {
		const struct sock_filter *i = &c->in.v[at];
		const uint32_t to = c->copies[at];
		if (to == NOWHERE)
			continue;
		if (i->code == GO)
			c->out[to].k = c->copies[at + 1 + i->k] - to - 1;
		if (!conditional(i))
			continue;
		c->out[to].jt = (uint8_t)(c->copies[at + 1 + i->jt] - to - 1);
		c->out[to].jf = (uint8_t)(c->copies[at + 1 + i->jf] - to - 1);
	}
}

static bool agrees(const struct compact *c)
{
	const struct program out = {c->out, c->nout};

	for (size_t i = 0; i < c->narches; i++)
		for (size_t j = 0; j < c->nnumbers; j++) {
			const uint32_t before = place_of(&c->in, c->arches[i], c->numbers[j]);
			const uint32_t after = place_of(&out, c->arches[i], c->numbers[j]);
			const struct sock_filter *x = &c->in.v[before];
			if (after == NOWHERE || c->out[after].code != x->code || c->out[after].k != x->k)
				return false;
			if (x->code != RETURN && c->copies[before] != after)
				return false;
		}
	return true;
}

static int make(struct compact *c)
{
	int r = find_holds(c);

	if (r == 0)
		r = find_arches(c);
	if (r == 0)
		find_numbers(c);
	for (size_t i = 0; r == 0 && i < c->narches; i++)
		r = find_ranges(c, c->arches[i], &c->of[i]);
	c->copies = xcalloc(c->in.n, sizeof *c->copies);
	for (size_t i = 0; i < c->in.n; i++)
		c->copies[i] = NOWHERE;
	if (r < 0)
		return r;
	emit_arches(c);
	const size_t first = c->nout;
	emit_copies(c);
	if (c->nout >= c->in.n)
		return -E2BIG;
	link_copies(c, first);
	return agrees(c) ? 0 : -EINVAL;
}

size_t seccomp_compact(const struct sock_filter *in, size_t n, struct sock_filter *out)
{
	struct compact c = {.in = {in, n}, .out = out};

	const size_t made = n && make(&c) == 0 ? c.nout : n;
	if (made == n)
		memcpy(out, in, n * sizeof *in);
	for (size_t i = 0; i < ARCHES_MAX; i++)
		free(c.of[i].v);
	free(c.holds);
	free(c.numbers);
	free(c.copies);
	return made;
}
