/* signals: names and numbers of signals as the API accepts them. */
#ifndef POUCH_RUNTIMED_SIGNALS_H
#define POUCH_RUNTIMED_SIGNALS_H

#include "lib/err.h"

/* "SIGTERM", "term", "15", "SIGRTMIN+3" → 1..64; `fallback` for NULL and "". -EINVAL: "invalid signal: X". */
int signal_parse(const char *text, int fallback, struct err *e);

#endif
