/* version: what this build calls itself; stamped by the Makefile from VERSION and the commit. */
#ifndef POUCH_LIB_VERSION_H
#define POUCH_LIB_VERSION_H

extern const char pouch_version[];  /* "0.1.0" */
extern const char pouch_commit[];   /* short hash, or "unknown" */
extern const long pouch_build_time; /* seconds since 1970 of the commit (or SOURCE_DATE_EPOCH) */

#endif
