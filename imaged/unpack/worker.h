/* worker: what the parts of image-unpack share. One request a process; it works straight through and answers. */
#ifndef POUCH_IMAGE_UNPACK_WORKER_H
#define POUCH_IMAGE_UNPACK_WORKER_H

#include "lib/worker.h"

struct worker {
	struct daemon daemon;
	int watch; /* imaged's connection: anything that comes there while a request is worked on takes it back */
};

/* From here on the process reaches nothing but what lies beneath `dir` and `other` (-1: no other). */
int worker_narrow(int dir, int other, struct err *e);
/* A chunk with the number of bytes so far; for `progress` of struct source_config, `arg` is the request. */
void worker_progress(void *arg, uint64_t bytes);

void on_layer_unpack(struct ipc_request *req, struct layer_unpack *m, struct worker *w);
void on_layer_verify(struct ipc_request *req, struct layer_verify *m, struct worker *w);
void on_layer_compress(struct ipc_request *req, struct layer_compress *m, struct worker *w);
void on_layer_remove(struct ipc_request *req, struct layer_remove *m, struct worker *w);
void on_archive_split(struct ipc_request *req, struct archive_split *m, struct worker *w);
void on_archive_join(struct ipc_request *req, struct archive_join *m, struct worker *w);
void on_store_sync(struct ipc_request *req, struct store_sync *m, struct worker *w);

#endif
