/*
 * watch: what the kernel says happened: a device that has gone frees its endpoint's addresses; a firewall table that
 * somebody flushed is put back.
 */
#ifndef POUCH_NETD_WATCH_H
#define POUCH_NETD_WATCH_H

#include "netd/netd.h"

int watch_new(struct netd *d, struct watch **out, struct err *e);
void watch_free(struct watch *w);

#endif
