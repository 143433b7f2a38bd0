/*
 * rootfs: a process for one request about a container's files. Its root is the container's; it acts with the
 * container's ids on disk; it loads nothing there. What the container does meanwhile can only hurt the container.
 */
#ifndef POUCH_RUNTIMED_ROOTFS_ROOTFS_H
#define POUCH_RUNTIMED_ROOTFS_ROOTFS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct ids {
	uint32_t base, size;
};

/* An id on disk as the container sees it, 65534 for what is outside its range; and back, -1 for what is outside. */
int64_t ids_inside(const struct ids *ids, uint32_t id);
int64_t ids_on_disk(const struct ids *ids, int64_t id);

/* {"name","size","mode","mtime","linkTarget"}; a new reference. 404 when there is nothing. */
int stat_path(const char *path, json_t **out, struct err *e);

/* Write `path` as a tar; its entries begin with `name`. With `one_filesystem` what is mounted below stays out. */
int tar_write(int out, const char *path, const char *name, bool one_filesystem, const struct ids *ids, struct err *e);

struct put_options {
	bool keep_kinds;
	int64_t uid, gid; /* -1: as the tar says */
};
/* Unpack into the directory `path`. */
int tar_unpack(int in, const char *path, const struct put_options *how, const struct ids *ids, struct err *e);

#endif
