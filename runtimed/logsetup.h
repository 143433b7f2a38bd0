/* logsetup: what a container's LogConfig comes to: what stands beside its lines, and what a log worker is told. */
#ifndef POUCH_RUNTIMED_LOGSETUP_H
#define POUCH_RUNTIMED_LOGSETUP_H

#include "runtimed/container.h"
#include "runtimed/launch/launch.h"

void logsetup_make(const struct container *c, struct launch_log *out);
void logsetup_clean(struct launch_log *l);

/* Can `docker logs` read it: is there a file of ours? */
bool logsetup_readable(const struct container *c);

#endif
