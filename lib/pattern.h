/*
 * pattern: the regular expressions of list filters, matched in time linear in text and pattern.
 *
 * A client writes the pattern and this process is root, so neither regcomp(3) (memory) nor a
 * backtracking matcher (time) will do. Literals, . [..] \x * + ? | ( ) ^ $, unanchored as RE2's.
 */
#ifndef POUCH_LIB_PATTERN_H
#define POUCH_LIB_PATTERN_H

#include <stdbool.h>

#define PATTERN_MAX 256

/* Does `text` contain a match of `pattern`? A malformed or too long pattern matches nothing. */
bool pattern_match(const char *pattern, const char *text);

#endif
