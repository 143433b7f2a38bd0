/* create: containers that are being created: in no list yet, but what they hold of others is not to be taken away. */
#ifndef POUCH_RUNTIMED_CREATE_H
#define POUCH_RUNTIMED_CREATE_H

#include "runtimed/container.h"

struct ipc_request;

struct creating {
	TAILQ_ENTRY(creating) link;
	struct ipc_request *req;
	struct container *container;
	char *name; /* reserved */
	json_t *warnings;
	bool leased, volumes_held;
	struct err failure; /* of one that is given up */
};

TAILQ_HEAD(creating_list, creating);

#endif
