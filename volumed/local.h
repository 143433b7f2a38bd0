/*
 * local: the driver "local": each volume is a directory <root>/volumed/volumes/NAME/_data. With options it is the place
 * of a mount, which the mount worker makes for the first user and undoes after the last.
 */
#ifndef POUCH_VOLUMED_LOCAL_H
#define POUCH_VOLUMED_LOCAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/jobs.h"

struct local;

/*
 * `state`: descriptor of volumed's own directory, borrowed. `path`: its path on the host. Deletions that an earlier
 * process did not finish go on.
 */
int local_new(int state, const char *path, struct jobs *jobs, struct local **out, struct err *e);
void local_free(struct local *l);

/* The shortest name that a new volume may have, as Docker's driver has it. */
#define LOCAL_NAME_MIN 2
/* Options of a create: 400 that names the option. `options` may be NULL. */
int local_check_options(const json_t *options, struct err *e);
/* Must a volume with these options be mounted to be used? */
bool local_is_mount(const json_t *options);
/* What the volume may hold, in bytes; 0: as much as there is. */
uint64_t local_size(const json_t *options);

/* Make the directory. What stood there without a record is moved to the deletions. */
int local_create(struct local *l, const char *name, struct err *e);
/*
 * Make it if it is not there. The record is what is durable: who syncs a file in a volume brings the directories above
 * it to the disk, so one that a crash has taken had nothing in it that anybody was promised.
 */
int local_restore(struct local *l, const char *name, struct err *e);
/* Take the directory out of sight at once and delete it in the background; its record has gone before. */
int local_remove(struct local *l, const char *name, struct err *e);
/* <path>/volumes/NAME/_data; the caller's to free. */
char *local_path(const struct local *l, const char *name);
/* Is there nothing in it? */
bool local_empty(const struct local *l, const char *name);
/* Descriptor of volumes/, for measuring; borrowed. */
int local_dir(const struct local *l);
/* Every directory in volumes/ of which `known` says false goes to the deletions: creates that were cut. */
int local_sweep(struct local *l, bool (*known)(void *arg, const char *name), void *arg, struct err *e);

#endif
