/* logtail: the files of a container's log, opened, the newest last, and where its last lines begin. */
#ifndef POUCH_RUNTIMED_LOGTAIL_H
#define POUCH_RUNTIMED_LOGTAIL_H

#include "lib/err.h"
#include "runtimed/launch/launch.h"

struct logtail {
	int *files;
	size_t count;
};

/*
 * Open what is needed to read the last `lines` lines (negative: all), each file positioned where reading begins. No
 * log yet is no error: count is 0.
 */
int logtail_open(struct launch *l, const char *id, int64_t lines, struct logtail *out, struct err *e);
void logtail_add(struct logtail *t, int take_fd);
void logtail_clean(struct logtail *t);

#endif
