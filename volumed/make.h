/* make: how volumes come and go: record, driver and event together, one change of a volume at a time. */
#ifndef POUCH_VOLUMED_MAKE_H
#define POUCH_VOLUMED_MAKE_H

#include "volumed/volumed.h"

/* `v` is NULL when it failed. Valid until the callback returns. */
typedef void (*make_done)(void *arg, struct volume *v, const struct err *e);
typedef void (*unmake_done)(void *arg, const struct err *e);

/*
 * The volume of that name: the one that there is, when driver and options (if any are given) are the same, else 409; or
 * a new one, also instead of one that its plugin has lost and no container holds. A name without a driver that only a
 * plugin knows means the plugin's volume, which gets a record; 409 when `new` does not allow that. `new` is copied.
 */
void volume_make(struct volumed *d, const struct volume_new *new, make_done done, void *arg);

/*
 * Remove it: 409 naming the containers that hold it, unless that is `last` (NULL: nobody) alone, whose hold goes with
 * the record. `force`: a record whose driver fails or is gone goes all the same. 404 when there is none, or when its
 * plugin has lost it.
 */
void volume_unmake(struct volumed *d, const char *name, const char *last, bool force, unmake_done done, void *arg);

typedef void (*check_done)(void *arg, bool lost);

/* Has its plugin lost it (plugins.h)? Then its record goes, unless a container holds it. True when there is none. */
void volume_check(struct volumed *d, const char *name, check_done done, void *arg);

/* Remove one that only the plugin `driver` knows. */
void volume_unmake_foreign(struct volumed *d, const char *name, const char *driver, unmake_done done, void *arg);

#endif
