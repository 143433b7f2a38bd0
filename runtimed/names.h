/* names: what a container may be called, how it is found, and what it is called when nobody said. */
#ifndef POUCH_RUNTIMED_NAMES_H
#define POUCH_RUNTIMED_NAMES_H

#include "runtimed/container.h"

/*
 * The name of a request, checked and without its leading slash, into *out (points into `given`).
 * -EINVAL in Docker's words.
 */
int name_check(const char *given, const char **out, struct err *e);

/* A free adjective_noun name; heap. */
char *name_generate(const struct containers *all);

void containers_add(struct containers *all, struct container *c);
void containers_remove(struct containers *all, struct container *c);
/* Takes `name` (heap). */
void containers_rename(struct containers *all, struct container *c, char *take_name);

/*
 * By id, name (with or without slash), or unique prefix of an id, in this order. 404 "No such container: X",
 * 400 when a prefix fits several. NULL on failure. No new reference.
 */
struct container *containers_find(const struct containers *all, const char *ref, struct err *e);

#endif
