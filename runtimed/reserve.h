/*
 * reserve: room on the disk of the records that is kept by a file, and given up when the disk is full and something is
 * to be removed: the record of a removal takes room, too.
 */
#ifndef POUCH_RUNTIMED_RESERVE_H
#define POUCH_RUNTIMED_RESERVE_H

#include <stdbool.h>

struct reserve;

/* Beside the file `path`. Never fails: a disk that is full already keeps no room. */
struct reserve *reserve_new(const char *path);
void reserve_free(struct reserve *r);
/* Returns whether there was some. */
bool reserve_use(struct reserve *r);
/* Keep it again, if it was used and there is room. */
void reserve_keep(struct reserve *r);

#endif
