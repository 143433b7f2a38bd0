/* events: what happened to images, for GET /events: Docker's actions and attributes. Not waited for: news, not state.
 */
#ifndef POUCH_IMAGED_EVENTS_H
#define POUCH_IMAGED_EVENTS_H

#include "imaged/imaged.h"

/* The actor is the image; with its labels, and `name` (NULL: the id) among its attributes. */
void event_image(struct imaged *d, const char *action, const char *id, const char *name);
/* "tag": `full` is the new name. */
void event_tag(struct imaged *d, const char *id, const char *full);
/* "pull" and "push": the actor is the reference, the attribute `name` its repository. `full` may have a digest. */
void event_transfer(struct imaged *d, const char *action, const char *id, const char *full);
/* "prune": there is no actor. */
void event_prune(struct imaged *d, int64_t reclaimed);

#endif
