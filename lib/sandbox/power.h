/* power: ids, capabilities, securebits, no-new-privileges, MDWE: given up, and proven to be. No library but libc. */
#ifndef POUCH_LIB_SANDBOX_POWER_H
#define POUCH_LIB_SANDBOX_POWER_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/sandbox/sandbox.h"

/*
 * Become `uid` and `gid` (which may be 0) without supplementary groups, with exactly these capabilities, a bounding set
 * of exactly `bounding`, securebits locked so that uid 0 means nothing, no-new-privileges and MDWE.
 */
int power_drop(uid_t uid, gid_t gid, uint64_t capabilities, uint64_t bounding, struct sandbox_report *report,
	       struct err *e);

/* Fewer capabilities; the rest of the state stays. */
int power_reduce(uint64_t capabilities, struct sandbox_report *report, struct err *e);

/* Read everything back from the kernel; -EPERM when something is not as `report` says. */
int power_verify(const struct sandbox_report *report, struct err *e);

/* Try to become root again, and the ids before the drop. -EPERM when one attempt succeeds. Before seccomp, which would
 * kill. */
int power_prove(uid_t uid_before, const struct sandbox_report *report, struct err *e);

/* Memory that was writable never becomes code. `inherited`: children too. Missing before Linux 6.3. */
void power_mdwe(bool inherited, struct sandbox_report *report);

/* Record what the kernel lacks, once. `what` is static. */
void sandbox_missing(struct sandbox_report *report, const char *what);

#endif
