/* attach: one mount on a volume's directory. */
#ifndef POUCH_VOLUMED_MOUNT_ATTACH_H
#define POUCH_VOLUMED_MOUNT_ATTACH_H

#include "ipc/message.h"
#include "lib/err.h"

/*
 * Mount what `m` says on the directory `target`; all of it or nothing. A failure says what the kernel has against it,
 * status 500.
 */
int attach_volume(int target, const struct volume_mount_do *m, struct err *e);

#endif
