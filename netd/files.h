/* files: what a container finds in /etc/hosts and /etc/resolv.conf; runtimed writes them. */
#ifndef POUCH_NETD_FILES_H
#define POUCH_NETD_FILES_H

#include "netd/netd.h"

/* The caller's to free. `a` may have no endpoints (modes host, container, none). */
char *files_hosts(struct netd *d, const struct attachment *a);
char *files_resolv_conf(struct netd *d, const struct attachment *a);

#endif
