/* remote_private: what the files of remote share: remote.c finds out what the image is, remote_layers.c gets its
 * layers. */
#ifndef POUCH_IMAGED_REMOTE_PRIVATE_H
#define POUCH_IMAGED_REMOTE_PRIVATE_H

#include "imaged/draft.h"
#include "imaged/remote.h"
#include "imaged/signature.h"
#include "imaged/verified.h"

struct remote_layer {
	struct remote *x;
	const struct descriptor *descriptor;
	const char *diff_id;
	struct draft_layer *draft;
	struct worker_call *fetching;
	bool begun, fetched, unpacked, ready;
	struct err unpack_failed; /* told when the fetch has had its say */
};

struct remote {
	struct imaged *d;
	struct worker_session *fetch;
	struct remote_request request;
	struct board *board;
	void (*done)(void *arg, const struct remote_result *r, const struct err *e);
	void *arg;

	struct remote_result result;
	struct worker_call *call;
	struct verification *verification;
	char key[SIGNATURE_KEY_ID]; /* that has signed it, "" when none has to */
	struct event *begin;
	unsigned depth;		       /* of indexes within indexes */
	char wanted[DIGEST_TEXT_SIZE]; /* of the manifest that was asked for by its digest, "" */
	struct manifest manifest;
	char *manifest_text;
	size_t manifest_len;
	char *config_text;
	json_t *config;
	struct draft *draft;
	struct remote_layer *layers;
	size_t nlayers, active;
};

/* The end, for good or bad: `x` is gone. */
void remote_fail(struct remote *x, const struct err *e);

/* remote_layers.c: the config is known; get the layers, then remote_keep(). */
void remote_begin_layers(struct remote *x);
void remote_free_layers(struct remote *x);
/* remote.c: all layers are there. */
void remote_keep(struct remote *x);

#endif
