#include "lib/fault.h"

#ifdef POUCH_FAULTS
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[] = {
#define FAULT_POINT(name, doc) #name,
#include "lib/fault.def"
#undef FAULT_POINT
};
#define POINTS (sizeof names / sizeof names[0])

static const char *path_of(const char *directory, size_t point)
{
	static char path[4096];

	snprintf(path, sizeof path, "%s/%s", directory, names[point]);
	return path;
}

void fault_reach(enum fault point)
{
	/* What lay there at the first point: a process that has left the directory goes by that. */
	static bool known, armed[POINTS];
	const char *directory = getenv("POUCH_FAULTS");

	if (!directory)
		return;
	for (size_t i = 0; !known && i < POINTS; i++)
		armed[i] = access(path_of(directory, i), F_OK) == 0;
	known = true;
	bool gone = access(directory, F_OK) < 0;
	if (gone ? armed[point] : unlink(path_of(directory, point)) == 0)
		kill(getpid(), SIGKILL);
}

char *fault_environment(void)
{
	static char text[4096];
	const char *directory = getenv("POUCH_FAULTS");

	if (!directory)
		return NULL;
	snprintf(text, sizeof text, "POUCH_FAULTS=%s", directory);
	return text;
}
#endif
