/* attach: clients at a container's standard streams. Before the start they wait here; then the shim has them. */
#ifndef POUCH_RUNTIMED_ATTACH_H
#define POUCH_RUNTIMED_ATTACH_H

#include "lib/err.h"
#include "runtimed/container.h"

/* The shim is there: hand over who waits. Before launch_go(), so that nothing is lost. */
void attaches_ready(struct container *c);
/* The run has ended, or (`e` not NULL) there was none: whoever still waits is let go. */
void attaches_end(struct container *c, const struct err *e);

/* The content type of a hijacked stream. */
const char *stream_type(bool tty);

#endif
