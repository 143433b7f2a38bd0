/* options: mount(8)'s -o as mount(2) wants it. */
#ifndef POUCH_VOLUMED_MOUNT_OPTIONS_H
#define POUCH_VOLUMED_MOUNT_OPTIONS_H

#include <stddef.h>

#include "lib/err.h"

struct mount_options {
	unsigned long flags; /* MS_… */
	char data[4096];     /* what the file system itself is told */
};

/* "ro,noexec,size=100m" → flags and data. -EINVAL when it is too long. `text` may be NULL. */
int mount_options_parse(const char *text, struct mount_options *out, struct err *e);

#endif
