/* pull: POST /images/create with fromImage: images from a registry, shared by the clients that want the same. */
#ifndef POUCH_IMAGED_PULL_H
#define POUCH_IMAGED_PULL_H

#include "imaged/imaged.h"

/* Answers the request. */
void pull_begin(struct ipc_request *req, const struct image_create *m, struct imaged *d);

#endif
