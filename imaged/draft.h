/*
 * draft: an image in the making: its layers are unpacked or found, its config is known, and then it is kept, all of it
 * or nothing. Made by import, load, pull and commit.
 */
#ifndef POUCH_IMAGED_DRAFT_H
#define POUCH_IMAGED_DRAFT_H

#include "imaged/records.h"
#include "imaged/stage.h"
#include "imaged/worker.h"

struct draft;
struct draft_layer;

struct draft *draft_new(struct imaged *d);
/* Drops everything that was not kept, ends its workers. Takes NULL. */
void draft_free(struct draft *x);

/* ---- layers, lowest first ---- */

/* One more layer. `arg` is handed to the callbacks of this layer. */
struct draft_layer *draft_add_layer(struct draft *x, void *arg);
const struct image_layer *draft_layer_info(const struct draft_layer *l);
void draft_layer_set_media(struct draft_layer *l, const char *media);

/*
 * Take a layer that the store has, by its tar's digest. `blob` (NULL: any) the compressed form that is wanted. True
 * when it is there; it is held until draft_free().
 */
bool draft_layer_find(struct draft_layer *l, const char *diff_id, const char *blob);

struct draft_layer_source {
	int pipe, file;	     /* one of them, the other -1; borrowed */
	const char *staged;  /* the file's name on the stage when it is to become the blob; else a blob is made */
	const char *blob;    /* digest that the bytes must have, NULL: not known */
	const char *diff_id; /* digest that the tar must have, NULL: not known */
	const char *known;   /* digest that a worker has found the file to have, NULL: none has looked */
	uint64_t size;	     /* of the bytes, 0: not known */
	bool patient;	     /* whoever writes into the pipe watches the time, and closes it */
};

struct draft_layer_events {
	void (*progress)(void *arg, uint64_t bytes);
	void (*done)(void *arg, const struct err *e);
};

/* Unpack it. `events` static. */
int draft_layer_unpack(struct draft_layer *l, const struct draft_layer_source *source,
		       const struct draft_layer_events *events, struct err *e);

/* ---- the rest ---- */

/* The config's bytes as they are; checked against the layers by draft_keep(). Borrowed until then. */
void draft_set_config(struct draft *x, const char *text, size_t len, const json_t *config);
/* The manifest's bytes, kept for push and save. Copied. */
int draft_set_manifest(struct draft *x, const char *text, size_t len, struct err *e);
void draft_set_parent(struct draft *x, const char *id);
/* Full names to give it: a tag, or name@digest. */
void draft_add_tag(struct draft *x, const char *full);
void draft_add_digest(struct draft *x, const char *full);
/* It has been verified: signed in this repository ("domain/path") by the key of this id. */
void draft_add_signature(struct draft *x, const char *repository, const char *key);

/*
 * Keep it. `done` is told the image's id and {"tag": "id that had it before"} when it is durable, or why it was not
 * kept. The caller then calls draft_free(). -EINVAL at once when config and layers do not fit.
 */
int draft_keep(struct draft *x, void (*done)(void *arg, const char *id, json_t *moved, const struct err *e), void *arg,
	       struct err *e);

#endif
