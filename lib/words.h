/*
 * words: questions about eight bytes at once, for scanners that must be fast. Each macro gives a word whose
 * highest bit of a byte is set if the answer is yes for that byte or for one before it: "is there any?" is exact,
 * "which one?" is for a loop over the bytes to find out.
 */
#ifndef POUCH_LIB_WORDS_H
#define POUCH_LIB_WORDS_H

#include <stdint.h>
#include <string.h>

#define WORD_EACH(byte)	       (0x0101010101010101u * (uint64_t)(byte))
#define WORD_HIGH	       WORD_EACH(0x80)
#define WORD_HAS_LESS(w, byte) (((w)-WORD_EACH(byte)) & ~(w))
#define WORD_HAS(w, byte)      WORD_HAS_LESS((w) ^ WORD_EACH(byte), 1)

static inline uint64_t word_load(const void *at)
{
	uint64_t w;

	memcpy(&w, at, sizeof w);
	return w;
}

#endif
