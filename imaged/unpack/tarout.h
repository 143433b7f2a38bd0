/* tarout: writes a tar archive (ustar, GNU's base-256 for sizes of 8 GiB and more) into a pipe. */
#ifndef POUCH_IMAGE_UNPACK_TAROUT_H
#define POUCH_IMAGE_UNPACK_TAROUT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct tarout {
	int fd;	   /* borrowed */
	int watch; /* borrowed: anything that comes from there cancels; -1 */
	uint64_t left, pad;
};

/* Files are root's, 0644; directories 0755. `time` in seconds since 1970. Names have at most 100 bytes. */
int tarout_file(struct tarout *t, const char *name, uint64_t size, int64_t time, struct err *e);
int tarout_data(struct tarout *t, const void *data, size_t len, struct err *e);
/* -EIO when fewer than the announced bytes came. */
int tarout_end_file(struct tarout *t, struct err *e);
int tarout_dir(struct tarout *t, const char *name, int64_t time, struct err *e);
int tarout_link(struct tarout *t, const char *name, const char *target, int64_t time, struct err *e);
int tarout_end(struct tarout *t, struct err *e);

#endif
