/* calls: the seccomp filter of a stage, from the sets of calls.def. */
#ifndef POUCH_LIB_SANDBOX_CALLS_H
#define POUCH_LIB_SANDBOX_CALLS_H

#include "lib/err.h"
#include "lib/sandbox/profile.h"

/* Load a filter that allows what is in `sets` (ended by CALLS_END) and kills the process for everything else. */
int calls_enter(const enum call_set *sets, struct err *e);

/*
 * The same filter as a program, an array of struct sock_filter in a sealed memfd (the caller's to close), for a process
 * that enters it itself. Not for sets that name the process's own number.
 */
int calls_program(const enum call_set *sets, struct err *e);

/* Name of the i-th call of a set, NULL behind the last; for documentation and tests. */
const char *calls_name(enum call_set set, size_t i, const char **why);

#endif
