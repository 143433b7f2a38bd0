/* files: what a container finds in /etc/hosts and /etc/resolv.conf; runtimed writes them. */
#ifndef POUCH_NETD_FILES_H
#define POUCH_NETD_FILES_H

#include "netd/netd.h"

/* The caller's to free. `a` may have no endpoints (modes host, container, none). */
char *files_hosts(struct netd *d, const struct attachment *a);
char *files_resolv_conf(struct netd *d, const struct attachment *a);
/* Do its resolver options say ndots with a number above 0? */
bool files_has_ndots(struct netd *d, const struct attachment *a);

/* The name servers that the host, or the config for it, asks: ["ADDRESS" or "ADDRESS%interface number"]. */
json_t *files_host_servers(struct netd *d);

#endif
