/* landlock: the process's own limits on files, TCP, signals and abstract sockets: landlock(7). */
#ifndef POUCH_LIB_SANDBOX_LANDLOCK_H
#define POUCH_LIB_SANDBOX_LANDLOCK_H

#include "lib/err.h"
#include "lib/sandbox/profile.h"
#include "lib/sandbox/sandbox.h"

struct landlock_use {
	int fd;	      /* of a directory or file; borrowed */
	unsigned use; /* enum path_use */
};

/*
 * Restrict the process: with `files` to what `uses` allow; without TCP; without signals and abstract sockets to the
 * outside. What the kernel lacks goes into the report. report->landlock_abi says what is in force.
 */
int landlock_enter(const struct landlock_use *uses, size_t n, bool files, bool no_tcp, bool scope,
		   struct sandbox_report *report, struct err *e);

#endif
