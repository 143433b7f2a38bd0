/* logtail: the files of a container's log, opened, the newest last, and where its last lines begin. */
#ifndef POUCH_RUNTIMED_LOGTAIL_H
#define POUCH_RUNTIMED_LOGTAIL_H

#include <zlib.h>

#include "lib/err.h"
#include "runtimed/launch/launch.h"

struct logtail_file {
	int fd;
	gzFile compressed; /* NULL: it is plain; else it owns `fd` */
	int64_t skip;	   /* lines before the first that is wanted */
};

struct logtail {
	struct logtail_file *files;
	size_t count;
};

/*
 * Open what is needed to read the last `lines` lines (negative: all), each file positioned where reading begins. No
 * log yet is no error: count is 0. -EAGAIN: a rotation is going on; *out is what could be opened amid it.
 */
int logtail_open(struct launch *l, const char *id, int64_t lines, struct logtail *out, struct err *e);
/*
 * At the end of the newest: what has been written since in newer files, in *t's place. 1: there is some. 0: it still is
 * the newest. -EAGAIN: a rotation is going on. -ESTALE: it is not known any more which are newer; *t is the whole log
 * then.
 */
int logtail_next(struct launch *l, const char *id, struct logtail *t, struct err *e);
/* Bytes of file number `at`, 0 at its end. */
ssize_t logtail_read(struct logtail *t, size_t at, char *to, size_t size);
void logtail_clean(struct logtail *t);

#endif
