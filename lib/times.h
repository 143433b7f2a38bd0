/* times: moments are nanoseconds since 1970 (int64_t), 0 means "never"; how the API writes and reads them. */
#ifndef POUCH_LIB_TIMES_H
#define POUCH_LIB_TIMES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "lib/err.h"

#define TIME_TEXT  48
#define NS_PER_SEC 1000000000ll

int64_t time_now(void);
/* Milliseconds of a clock that nobody sets: for spans. */
int64_t monotonic_ms(void);

/* A span, as timers take it. */
static inline struct timeval timeval_ms(uint64_t ms)
{
	return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

/* "2024-05-01T10:00:00.123456789Z"; trailing zeros of the fraction dropped; 0 is "0001-01-01T00:00:00Z". */
const char *time_rfc3339(int64_t ns, char out[TIME_TEXT]);
/* The same with all nine digits, as log lines carry it. */
const char *time_rfc3339_full(int64_t ns, char out[TIME_TEXT]);

/*
 * A moment as clients write it: seconds since 1970 with an optional fraction, RFC 3339 (zone optional, then UTC),
 * a date, or a duration back from `now` ("90s", "1h30m"). Empty or NULL is 0. -EINVAL names the text.
 */
int time_parse(const char *text, int64_t now, int64_t *out, struct err *e);

/* As time_parse() for exactly `len` bytes of RFC 3339 with a zone; no other form. */
int time_parse_rfc3339(const char *text, size_t len, int64_t *out);

/* "About an hour": the words that `docker ps` shows for a span of `ns`. */
const char *time_human(int64_t ns, char out[TIME_TEXT]);

#endif
