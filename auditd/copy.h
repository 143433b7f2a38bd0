/* copy: each record once more, to syslog or journald. Copies are sent and forgotten: the chain is what counts. */
#ifndef POUCH_AUDITD_COPY_H
#define POUCH_AUDITD_COPY_H

#include "lib/config.h"

struct copy;

/*
 * Connect to the collector's socket, before the sandbox. NULL without a collector or when audit.copy is none. A
 * collector that binds its socket anew later is not found again until auditd is restarted.
 */
struct copy *copy_new(const struct config *config);
void copy_free(struct copy *c);
/* `line` is the record's line. NULL is fine. */
void copy_send(struct copy *c, const char *line);

#endif
