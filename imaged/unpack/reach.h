/* reach: names of an archive, and the directories that they lead to, never outside. */
#ifndef POUCH_IMAGE_UNPACK_REACH_H
#define POUCH_IMAGE_UNPACK_REACH_H

#include "lib/err.h"

/*
 * A name of an archive taken apart: "./a//b/" is parent "a", name "b"; the directory itself is parent "", name "".
 * `path` is cut in place. -EBADMSG for "..".
 */
int reach_split(char *path, char **parent, char **name, struct err *e);

/*
 * Open `path` ("": the directory itself) beneath `dir`: through no symbolic link, onto no other file system.
 * Returns the descriptor or -errno.
 */
int reach_open(int dir, const char *path, int flags);

/* Make the directories of `path` that are missing: root's, 0755. Returns their number, the last ones of `path`. */
int reach_make(int dir, const char *path, struct err *e);

/* For messages: control characters of a name must not reach a terminal or log. Of the last two calls both are valid. */
const char *reach_shown(const char *name);

#endif
