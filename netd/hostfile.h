/* hostfile: hears that the host's resolv.conf has changed. */
#ifndef POUCH_NETD_HOSTFILE_H
#define POUCH_NETD_HOSTFILE_H

#include "netd/netd.h"

struct hostfile;

/* Without the kernel's help (a log line says so) changes are seen at the next reload. */
struct hostfile *hostfile_new(struct netd *d);
void hostfile_free(struct hostfile *h);

#endif
