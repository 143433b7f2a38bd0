/*
 * sha256: SHA-256 (FIPS 180-4) for short inputs: digests of requests, the audit chain. libc only, no initialisation
 * and no file to read, so that it works in every sandbox and costs no process the pages of libcrypto. Bulk data is
 * hashed by libcrypto where it flows.
 */
#ifndef POUCH_LIB_SHA256_H
#define POUCH_LIB_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX 65 /* 64 digits and a NUL */

struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	unsigned char block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
/* Lower-case hexadecimal with a NUL. */
void sha256_hex(struct sha256 *s, char out[SHA256_HEX]);

#endif
