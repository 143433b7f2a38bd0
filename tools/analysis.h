/*
 * What the analyzers of `make lint` cannot see across files; included before each file that they read. Nothing of it is
 * in what is built.
 */
#ifndef POUCH_TOOLS_ANALYSIS_H
#define POUCH_TOOLS_ANALYSIS_H

#include "lib/err.h"

/* The code of a failure is negative. */
static inline int analysis_failure(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}

#define err_set(...)	analysis_failure(err_set(__VA_ARGS__))
#define err_sys(...)	analysis_failure(err_sys(__VA_ARGS__))
#define err_http(...)	analysis_failure(err_http(__VA_ARGS__))
#define err_prefix(...) analysis_failure(err_prefix(__VA_ARGS__))

#endif
