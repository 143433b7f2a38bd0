/*
 * stage: files of the store. Everything is made under a name of its own, and gets the name of its content by a rename,
 * when it is whole and on the disk. What has no such name is removed when imaged starts.
 *
 *   blobs/HEX        the bytes with that SHA-256       staging/N   a blob or an archive in the making
 *   layers/HEX       the files of the tar with that SHA-256       layers/new-N, layers/gone-N   in the making, on its
 * way out
 */
#ifndef POUCH_IMAGED_STAGE_H
#define POUCH_IMAGED_STAGE_H

#include "imaged/imaged.h"
#include "lib/reference.h"

#define STAGE_NAME 32

/* Open (and create) the directories below <root>/imaged, and remove what an earlier run left. After the sandbox. */
int stage_open(struct imaged *d, struct err *e);

/* A new empty file or directory; `name` gets its name. Returns the descriptor (owned by the caller) or -errno. */
int stage_blob(struct imaged *d, char name[STAGE_NAME], struct err *e);
int stage_layer(struct imaged *d, char name[STAGE_NAME], struct err *e);
int stage_dir(struct imaged *d, char name[STAGE_NAME], struct err *e);

/* A staged blob with these bytes. `digest` gets what they hash to. */
int stage_bytes(struct imaged *d, const void *data, size_t len, char name[STAGE_NAME], char digest[DIGEST_TEXT_SIZE],
		struct err *e);

/* Give it its name; it is gone from the stage also when there is one of that content already. */
int stage_keep_blob(struct imaged *d, const char *name, const char *digest, struct err *e);
int stage_keep_layer(struct imaged *d, const char *name, const char *diff_id, struct err *e);
/* The renames so far are on the disk. */
int stage_sync_names(struct imaged *d, struct err *e);

/* Forget it; `name` may be empty and becomes so. */
void stage_drop_blob(struct imaged *d, char name[STAGE_NAME]);
void stage_drop_layer(struct imaged *d, char name[STAGE_NAME]);
void stage_drop_dir(struct imaged *d, char name[STAGE_NAME]);

/* What nothing refers to any more: out of sight at once, off the disk later. */
void stage_remove_blob(struct imaged *d, const char *digest);
void stage_remove_layer(struct imaged *d, const char *diff_id);

/* Open a blob for reading; -ENOENT. */
int stage_open_blob(struct imaged *d, const char *digest, struct err *e);
/* A layer's directory; -1. */
int stage_open_layer(struct imaged *d, const char *diff_id);
bool stage_has_blob(struct imaged *d, const char *digest);
bool stage_has_layer(struct imaged *d, const char *diff_id);
/* A whole blob of at most `max` bytes; *out the caller's to free. */
int stage_read_blob(struct imaged *d, const char *digest, size_t max, char **out, size_t *len, struct err *e);

/* SHA-256 of bytes as a digest. */
void stage_digest(const void *data, size_t len, char digest[DIGEST_TEXT_SIZE]);

/* 507 when less than images.min-free is left. */
int stage_check_space(struct imaged *d, struct err *e);

#endif
