/* size: bytes as clients write them. */
#ifndef POUCH_LIB_SIZE_H
#define POUCH_LIB_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* "64k", "10MB", "1.5GiB": 1 to 10^18 bytes; "-1" for no limit, as -1. False for anything else. */
bool size_parse(const char *text, int64_t *out);

#endif
