#include "lib/pattern.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/util.h"

/* Thompson's construction, run as a set of states (https://swtch.com/~rsc/regexp/regexp2.html). */

enum code { C_CHAR, C_ANY, C_SET, C_BEGIN, C_END, C_SPLIT, C_JUMP, C_MATCH };

struct step {
	enum code code;
	unsigned char c;    /* C_CHAR */
	uint8_t set;	    /* C_SET: index in sets */
	uint16_t to, other; /* C_JUMP, C_SPLIT */
};

#define STEPS_MAX (4 * PATTERN_MAX)
#define SETS_MAX  64
#define DEPTH_MAX 64

struct program {
	struct step steps[STEPS_MAX];
	size_t count;
	uint8_t sets[SETS_MAX][32]; /* bit maps */
	size_t nsets;
	const char *at; /* in the pattern */
	int depth;
	bool bad;
};

static size_t emit(struct program *p, struct step s)
{
	if (p->count == STEPS_MAX) {
		p->bad = true;
		return STEPS_MAX - 1;
	}
	p->steps[p->count] = s;
	return p->count++;
}

/* Make room for one step at `where`; jumps behind it move along. */
static void insert(struct program *p, size_t where, struct step s)
{
	if (p->count == STEPS_MAX) {
		p->bad = true;
		return;
	}
	memmove(&p->steps[where + 1], &p->steps[where], (p->count - where) * sizeof p->steps[0]);
	p->count++;
	for (size_t i = where + 1; i < p->count; i++) {
		p->steps[i].to = (uint16_t)(p->steps[i].to + (p->steps[i].to >= where));
		p->steps[i].other = (uint16_t)(p->steps[i].other + (p->steps[i].other >= where));
	}
	p->steps[where] = s;
}

static void alternatives(struct program *p);

/* [a-z], [^0-9_]; `at` is behind the bracket. */
static void character_set(struct program *p)
{
	if (p->nsets == SETS_MAX) {
		p->bad = true;
		return;
	}
	uint8_t *set = p->sets[p->nsets];
	bool inverted = *p->at == '^';
	const char *first = p->at += inverted;

	memset(set, 0, 32);
	for (; *p->at && (*p->at != ']' || p->at == first); p->at++) {
		if (*p->at == '\\' && p->at[1])
			p->at++;
		unsigned from = (unsigned char)*p->at, to = from;
		if (p->at[1] == '-' && p->at[2] && p->at[2] != ']') {
			p->at += 2;
			to = (unsigned char)*p->at;
		}
		for (unsigned c = from; c <= to; c++)
			set[c / 8] = (uint8_t)(set[c / 8] | 1u << c % 8);
	}
	if (*p->at++ != ']') {
		p->bad = true;
		p->at--;
		return;
	}
	for (int i = 0; inverted && i < 32; i++)
		set[i] = (uint8_t)~set[i];
	emit(p, (struct step){.code = C_SET, .set = (uint8_t)p->nsets++});
}

static void atom(struct program *p)
{
	char c = *p->at++;

	switch (c) {
	case '(':
		if (p->depth++ == DEPTH_MAX)
			p->bad = true;
		else
			alternatives(p);
		p->depth--;
		if (*p->at == ')')
			p->at++;
		else
			p->bad = true;
		return;
	case '[':
		character_set(p);
		return;
	case '.':
		emit(p, (struct step){.code = C_ANY});
		return;
	case '^':
		emit(p, (struct step){.code = C_BEGIN});
		return;
	case '$':
		emit(p, (struct step){.code = C_END});
		return;
	case '*':
	case '+':
	case '?':
		p->bad = true;
		return;
	case '\\':
		if (!*p->at) {
			p->bad = true;
			return;
		}
		c = *p->at++;
		break;
	default:
		break;
	}
	emit(p, (struct step){.code = C_CHAR, .c = (unsigned char)c});
}

/* A run of atoms, each with its repetition. */
static void sequence(struct program *p)
{
	while (*p->at && *p->at != '|' && *p->at != ')' && !p->bad) {
		size_t start = p->count;
		atom(p);
		for (; !p->bad && *p->at && strchr("*+?", *p->at); p->at++) {
			struct step split = {.code = C_SPLIT};
			if (*p->at == '+') {
				split.to = (uint16_t)start;
				split.other = (uint16_t)(p->count + 1);
				emit(p, split);
				continue;
			}
			insert(p, start, split);
			if (*p->at == '*')
				emit(p, (struct step){.code = C_JUMP, .to = (uint16_t)start});
			p->steps[start].to = (uint16_t)(start + 1);
			p->steps[start].other = (uint16_t)p->count;
		}
	}
}

static void alternatives(struct program *p)
{
	size_t start = p->count;

	sequence(p);
	while (*p->at == '|' && !p->bad) {
		p->at++;
		insert(p, start, (struct step){.code = C_SPLIT});
		size_t jump = emit(p, (struct step){.code = C_JUMP});
		p->steps[start].to = (uint16_t)(start + 1);
		p->steps[start].other = (uint16_t)p->count;
		/* The rest is one alternative of its own: a right-leaning tree keeps every jump forward. */
		if (p->depth++ == DEPTH_MAX)
			p->bad = true;
		else
			alternatives(p);
		p->depth--;
		p->steps[jump].to = (uint16_t)p->count;
	}
}

struct states {
	uint16_t list[STEPS_MAX];
	size_t count;
	uint32_t seen[STEPS_MAX]; /* generation in which the state was added */
};

/* Add a state and all that it reaches without reading. */
static void add(const struct program *p, struct states *s, uint32_t generation, size_t first, bool begin, bool end)
{
	uint16_t stack[STEPS_MAX * 2];
	size_t top = 0;

	stack[top++] = (uint16_t)first;
	while (top) {
		uint16_t i = stack[--top];
		if (s->seen[i] == generation)
			continue;
		s->seen[i] = generation;
		const struct step *st = &p->steps[i];
		if (st->code == C_JUMP) {
			stack[top++] = st->to;
		} else if (st->code == C_SPLIT) {
			stack[top++] = st->other;
			stack[top++] = st->to;
		} else if (st->code == C_BEGIN || st->code == C_END) {
			if (st->code == C_BEGIN ? begin : end)
				stack[top++] = (uint16_t)(i + 1);
		} else {
			s->list[s->count++] = i;
		}
	}
}

static bool accepts(const struct program *p, const struct step *s, unsigned char c)
{
	switch (s->code) {
	case C_CHAR:
		return s->c == c;
	case C_ANY:
		return true;
	case C_SET:
		return p->sets[s->set][c / 8] >> c % 8 & 1;
	default:
		return false;
	}
}

static bool run(const struct program *p, const char *text)
{
	AUTO_FREE struct states *now = XNEW(struct states);
	AUTO_FREE struct states *next = XNEW(struct states);
	uint32_t generation = 0;

	for (const char *t = text;; t++) {
		generation++;
		/* `now` already holds what the last character led to; a match may begin at every place. */
		memset(now->seen, 0, sizeof now->seen);
		for (size_t i = 0; i < now->count; i++)
			now->seen[now->list[i]] = generation;
		add(p, now, generation, 0, t == text, !*t);
		for (size_t i = 0; i < now->count; i++)
			if (p->steps[now->list[i]].code == C_MATCH)
				return true;
		if (!*t)
			return false;
		next->count = 0;
		for (size_t i = 0; i < now->count; i++)
			if (accepts(p, &p->steps[now->list[i]], (unsigned char)*t))
				add(p, next, generation, now->list[i] + 1u, false, !t[1]);
		struct states *swap = now;
		now = next;
		next = swap;
	}
}

bool pattern_match(const char *pattern, const char *text)
{
	AUTO_FREE struct program *p = XNEW(struct program);

	if (strlen(pattern) > PATTERN_MAX)
		return false;
	p->at = pattern;
	alternatives(p);
	if (p->bad || *p->at)
		return false;
	emit(p, (struct step){.code = C_MATCH});
	return !p->bad && run(p, text);
}
