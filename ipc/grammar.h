/* grammar: which texts from outside are accepted where; one row each in grammar.def. */
#ifndef POUCH_IPC_GRAMMAR_H
#define POUCH_IPC_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

enum grammar {
#define SET(id, first, rest, words) G_##id,
#define CHECK(id, function, words)  G_##id,
#include "ipc/grammar.def"
#undef SET
#undef CHECK
	G_COUNT,
};

/* Does `text` of `len` bytes fit the rule? An empty text fits every rule: lengths are the caller's to bound. */
bool grammar_check(enum grammar g, const char *text, size_t len);

/* The rule in words, for error messages and docs. */
const char *grammar_words(enum grammar g);

/* Valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF)? */
bool grammar_utf8(const char *text, size_t len);

#endif
