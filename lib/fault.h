/*
 * fault: places where a test ends the process with SIGKILL, to see that a crash there loses nothing. Compiled in with
 * FAULTS=1 only. The environment's POUCH_FAULTS names a directory; a point strikes when a file of its name lies there,
 * which it removes first, so that it strikes once. Points are declared in lib/fault.def.
 */
#ifndef POUCH_FAULT_H
#define POUCH_FAULT_H

#ifdef POUCH_FAULTS
enum fault {
#define FAULT_POINT(name, doc) FAULT_##name,
#include "lib/fault.def"
#undef FAULT_POINT
};
void fault_reach(enum fault point);
/* "POUCH_FAULTS=…" for a child whose environment is made by hand; NULL when it is not set. */
char *fault_environment(void);
#define FAULT(name) fault_reach(FAULT_##name)
#else
#define FAULT(name) ((void)0)
static inline char *fault_environment(void)
{
	return (char *)0;
}
#endif

#endif
