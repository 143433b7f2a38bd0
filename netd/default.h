/* default: the network "bridge", which the config describes. */
#ifndef POUCH_NETD_DEFAULT_H
#define POUCH_NETD_DEFAULT_H

#include "netd/network.h"

/*
 * Make it as the config says, or bring it to what the config says now. A subnet that nobody has asked for (it is
 * derived from `root`) may move, and stays then where it has moved to.
 */
int network_default(struct networks *all, const struct config *config, const char *root, struct err *e);
/* To another subnet, in records. It has no endpoints, and n->chosen says that it may. Returns the new one in *out. */
int network_default_move(struct networks *all, const struct config *config, struct links *links, struct network **out,
			 struct err *e);

#endif
