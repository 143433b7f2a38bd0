/* words: questions about sixteen bytes at once, for scanners that must be fast. */
#ifndef POUCH_LIB_WORDS_H
#define POUCH_LIB_WORDS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* A comparison of it with a character has 0xff where it is true, else 0. */
typedef unsigned char words __attribute__((vector_size(16)));

static inline words words_load(const void *at)
{
	words w;

	memcpy(&w, at, sizeof w);
	return w;
}

/* The place of the first byte that is not 0; sizeof(words) when all are. */
static inline size_t words_first(words w)
{
	uint64_t half[2];

	memcpy(half, &w, sizeof half);
	if (half[0])
		return (size_t)__builtin_ctzll(le64toh(half[0])) / 8;
	return half[1] ? 8 + (size_t)__builtin_ctzll(le64toh(half[1])) / 8 : sizeof(words);
}

#endif
