/*
 * driver: what makes, removes and mounts volumes: the driver "local", or a plugin by Docker's protocol. All answers
 * come by callback, perhaps before the function returns. The caller has the volume's turn (volumed/turns.h).
 */
#ifndef POUCH_VOLUMED_DRIVER_H
#define POUCH_VOLUMED_DRIVER_H

#include "volumed/volumed.h"

/* `path` is where the volume is on the host after a mount, else NULL; `e` is NULL on success. */
typedef void (*driver_done)(void *arg, const char *path, const struct err *e);

/* Can there be a new volume of this driver with this name and these options? 400, 404 for a driver that there is not.
 */
int driver_check(struct volumed *d, const char *driver, const char *name, const json_t *options, struct err *e);
void driver_create(struct volumed *d, const char *driver, const char *name, const json_t *options, driver_done done,
		   void *arg);
void driver_remove(struct volumed *d, const char *driver, const char *name, driver_done done, void *arg);
/* `id`: the container. For a volume that needs no mount the answer is its path at once. */
void driver_mount(struct volumed *d, struct volume *v, const char *id, driver_done done, void *arg);
void driver_unmount(struct volumed *d, struct volume *v, const char *id, driver_done done, void *arg);
/* Before a local volume is removed: a mount left from before a crash goes, and its limit. */
void driver_abandon(struct volumed *d, struct volume *v, driver_done done, void *arg);

#endif
