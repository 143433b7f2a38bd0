/* events: what happened to images, for GET /events. */
#ifndef POUCH_IMAGED_EVENTS_H
#define POUCH_IMAGED_EVENTS_H

#include "imaged/imaged.h"

/* `name`: the attribute of that name, NULL for none. Not waited for: an event is news, not state. */
void event_image(struct imaged *d, const char *action, const char *id, const char *name);

#endif
