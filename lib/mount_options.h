/* mount_options: mount(8)'s -o as mount(2) wants it. */
#ifndef POUCH_LIB_MOUNT_OPTIONS_H
#define POUCH_LIB_MOUNT_OPTIONS_H

#include <stddef.h>
#include <sys/mount.h>

#include "lib/err.h"

struct mount_options {
	unsigned long flags; /* MS_… */
	char data[4096];     /* what the file system itself is told */
};

/* What of the flags a mount has for itself; the others are its file system's, which a bind has not to give. */
#define MOUNT_OWN_FLAGS                                                                                                \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME)

/* "ro,noexec,size=100m" → flags and data. -EINVAL when it is too long. `text` may be NULL. */
int mount_options_parse(const char *text, struct mount_options *out, struct err *e);

#endif
