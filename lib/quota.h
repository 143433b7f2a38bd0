/*
 * quota: a limit for what directories hold together, by the project quotas of their file system (XFS, ext4; mounted
 * with prjquota). Takes CAP_SYS_ADMIN and CAP_FOWNER.
 *
 * The file system is the record: a directory carries the id of its project, which what is made in it inherits, and an
 * id that nothing carries is free. So an id is found again after any crash, and is free when the last file of its tree
 * has gone.
 */
#ifndef POUCH_LIB_QUOTA_H
#define POUCH_LIB_QUOTA_H

#include <stdint.h>

#include "lib/err.h"

/* The directories that share a limit, beneath `parent`; names end with NULL. */
struct quota_place {
	int parent;
	const char *const *names;
};

/*
 * Limit them to `bytes` together. They get an id that nobody has; what was in them the first time does not count.
 * Repeatable, also with another limit. -EOPNOTSUPP: the file system has no project quotas, or they are off.
 */
int quota_limit(const struct quota_place *place, uint64_t bytes, struct err *e);

/* Before they are removed: the file system forgets the limit. Nothing when there is none. */
int quota_lift(const struct quota_place *place, struct err *e);

#endif
