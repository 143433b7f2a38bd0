/*
 * place: puts the entries of a layer's tar beneath one directory, which thereby becomes an overlay lower directory.
 *
 * What must hold, whatever the archive says: nothing outside the directory is created, changed or read. Every name is
 * taken apart here; parents are opened by openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV; the
 * last component is created exclusively and changed through the descriptor that was created.
 *
 * Whiteouts (OCI image spec, "Layer") become overlay's: a 0/0 character device, and user.overlay.opaque on directories.
 */
#ifndef POUCH_IMAGE_UNPACK_PLACE_H
#define POUCH_IMAGE_UNPACK_PLACE_H

#include <stdint.h>

#include "imaged/unpack/tar.h"

struct place_config {
	int dir;	      /* borrowed; empty, on the store's file system */
	uint32_t max_entries; /* 0: no limit */
	uint64_t min_free;    /* bytes that stay free on its file system */
};

struct place;

void place_begin(struct place **out, const struct place_config *config);
/* Put one entry; its data is read from `t`. -EBADMSG: a name that leads out, or cannot be made. */
int place_entry(struct place *p, struct tar *t, const struct tar_entry *x, struct err *e);
/* Links that came before their targets, and times of directories. */
int place_finish(struct place *p, struct err *e);
/* Entries, and bytes of files, so far. */
uint32_t place_entries(const struct place *p);
uint64_t place_bytes(const struct place *p);
void place_free(struct place *p);

/* Is the attribute one that a layer may set? */
bool place_xattr_allowed(const char *name);

#endif
