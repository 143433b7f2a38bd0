/*
 * verified: images whose repository demands a signature (policy.json, images[].signed-by). A signature is looked for
 * when an image is pulled, and remembered: repository, image, key. Nothing else gives an image such a name, and without
 * that memory no container is made from it, whenever it came and whenever the policy did.
 */
#ifndef POUCH_IMAGED_VERIFIED_H
#define POUCH_IMAGED_VERIFIED_H

#include "imaged/records.h"
#include "imaged/worker.h"

struct verification;

/* Does the policy ask for a signature of what goes by this full name? */
bool verified_wanted(const struct imaged *d, const char *full);
/*
 * May the image (its id; "" for one that is being made here) go by this full name? 403 when a signature is asked for
 * and none is remembered.
 */
int verified_name(struct imaged *d, const char *full, const char *id, struct err *e);
/* May a container be made from it? `named` as records_find() has found it; by id, one of the image's names must do. */
int verified_run(struct imaged *d, const char *id, const struct reference *named, struct err *e);

/*
 * Look for a signature of `digest`, what the reference names in its registry, with the same session. `done` is told the
 * key's id, once, from the event loop, or why none counts (403).
 */
struct verification *verification_new(struct imaged *d, struct worker_session *fetch, const struct reference *r,
				      const char *digest, void (*done)(void *arg, const char *key, const struct err *e),
				      void *arg);
/* Break it off, without the event. Takes NULL. */
void verification_free(struct verification *v);

/* Within store_begin()…store_commit(): remember it. `repository`: "domain/path". */
int verified_remember(struct imaged *d, const char *repository, const char *id, const char *key, struct err *e);

#endif
