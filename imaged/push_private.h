/* push_private: what the files of push share: push.c talks to the registry, push_prepare.c makes what is pushed. */
#ifndef POUCH_IMAGED_PUSH_PRIVATE_H
#define POUCH_IMAGED_PUSH_PRIVATE_H

#include "imaged/board.h"
#include "imaged/records.h"
#include "imaged/remote.h"
#include "imaged/stage.h"

struct push;

/* One blob on its way: a layer or the config. */
struct push_item {
	struct push *push;
	char digest[DIGEST_TEXT_SIZE];
	char shown[DIGEST_TEXT_SIZE]; /* what the client sees it as: a layer's tar; "" for the config */
	uint64_t size;
	bool begun, done;
	struct worker_call *call;
};

struct push {
	struct imaged *d;
	struct ipc_request *req;
	struct lines *lines;
	struct board *board;
	struct worker_session *fetch;
	struct reference reference; /* with the present tag */
	json_t *tags;		    /* full names, still to come */

	struct image image;
	struct image_layer *layers;
	size_t nlayers;
	size_t compressing; /* the layer at work */
	char staged[STAGE_NAME], compressed[DIGEST_TEXT_SIZE];
	int64_t compressed_size;
	struct worker_call *call;
	char *manifest;
	size_t manifest_len;
	char media[128], digest[DIGEST_TEXT_SIZE];
	struct push_item *items;
	size_t nitems, active;
};

/* The end: `p` is gone. */
void push_fail(struct push *p, const struct err *e);

/* push_prepare.c: the image is known; find or make its manifest, then push_blobs(). */
void push_prepare(struct push *p);
/* push.c */
void push_blobs(struct push *p);

#endif
