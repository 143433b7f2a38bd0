/* options: what a network's driver options mean. */
#ifndef POUCH_NETD_OPTIONS_H
#define POUCH_NETD_OPTIONS_H

#include "netd/network.h"

/* n->options into n; its driver and `internal` are known. 400 that names the option. */
int options_read(struct network *n, struct err *e);
/* Can a network device be named so? */
bool options_device_name(const char *name);

#endif
