/* imaged: the owner of images, layers and blobs. What its parts share. */
#ifndef POUCH_IMAGED_H
#define POUCH_IMAGED_H

#include <jansson.h>

#include "ipc/client.h"
#include "ipc/codec.h"
#include "ipc/server.h"
#include "lib/config.h"
#include "lib/daemon.h"
#include "lib/guard.h"
#include "lib/store.h"

struct imaged {
	struct daemon daemon;
	struct guard *guard;
	struct ipc_server *server;
	struct ipc_client *runtimed; /* events */
	struct store *store;
	/* Below <root>/imaged. `layers` also holds what is staged: a directory moves there without its owner's power.
	 */
	int blobs, layers, staging;
	uint64_t staged;     /* number of the last staged thing */
	json_t *held;	     /* layer or blob → how many drafts need it */
	struct check *check; /* running, or NULL */
	char *list_text;     /* of all images, NULL; of generation `list_of` of the records */
	int64_t list_of;
	struct pull *pulls; /* that are going on, pull.c */
};

static inline const char *default_registry(const struct imaged *d)
{
	return d->daemon.config->images_default_registry;
}

#endif
