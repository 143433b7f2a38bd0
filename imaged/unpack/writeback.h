/*
 * writeback: what is written goes to the disk while more is being written. At the end all must be there (store_sync):
 * without this the disk would be idle until then.
 */
#ifndef POUCH_IMAGE_UNPACK_WRITEBACK_H
#define POUCH_IMAGE_UNPACK_WRITEBACK_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>

#define WRITEBACK_STEP (1u << 20)

/* `len` bytes were written to `fd`; *since: those that the disk has not been told of, 0 at a file's begin. */
static inline void writeback_begin(uint64_t *since, int fd, size_t len)
{
	*since += len;
	if (*since < WRITEBACK_STEP)
		return;
	*since = 0;
	/* A file system that cannot has its time when all is synced. */
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

#endif
