#include "imaged/unpack/space.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

#define STEP (8u << 20)

int space_take(struct space *s, uint64_t len, struct err *e)
{
	struct statvfs fs;

	s->since += len;
	if (!s->min_free || s->since < STEP)
		return 0;
	s->since = 0;
	if (fstatvfs(s->dir, &fs) < 0)
		return err_sys(e, -errno, "the store's file system");
	if ((uint64_t)fs.f_bavail * fs.f_frsize >= s->min_free)
		return 0;
	return err_set(e, -ENOSPC, "no space: less than the %" PRIu64 " MiB that images.min-free keeps are free",
		       s->min_free >> 20);
}
