/*
 * volume: the records of volumes and of the containers that hold them, in memory and in the database. Every change
 * is in the database, durable, before the function returns; what containers use just now is only in memory.
 */
#ifndef POUCH_VOLUMED_VOLUME_H
#define POUCH_VOLUMED_VOLUME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/store.h"

#define VOLUME_LOCAL "local"

/* A container that refers to a volume. */
struct volume_hold {
	char container[65];
	bool in_use; /* it runs, or is being started */
};

struct volume {
	char *name;
	char *driver;
	json_t *options, *labels; /* objects, never NULL */
	int64_t created;	  /* nanoseconds since 1970 */
	bool anonymous;		  /* goes with its container */
	char *owner;		  /* who made it, lib/guard.h; "" nobody */
	char *mountpoint;	  /* a plugin's answer while mounted; NULL */
	char *shown;		  /* as clients see it, kept until something of that changes; NULL */
	struct volume_hold *holds;
	size_t nholds;
};

struct volumes;

int volumes_new(struct store *store, struct volumes **out, struct err *e);
void volumes_free(struct volumes *v);

struct volume *volume_find(struct volumes *v, const char *name);
/* In the order of names. The callback may not add or remove. */
void volumes_each(struct volumes *v, void (*fn)(void *arg, struct volume *volume), void *arg);

struct volume_new {
	const char *name, *driver, *owner;
	const json_t *options, *labels; /* borrowed; may be NULL */
	bool anonymous;
	const char *container; /* that holds it from the first moment; NULL: none */
	bool foreign;	       /* one that only a plugin knows may be what the name means */
};

/* -EEXIST when there is one of that name. */
int volume_add(struct volumes *v, const struct volume_new *new, struct volume **out, struct err *e);
/* Takes it, with the holds that there are, out of the records and frees it. */
int volume_drop(struct volumes *v, struct volume *volume, struct err *e);

/* Repeatable. */
int volume_hold(struct volumes *v, struct volume *volume, const char *container, struct err *e);
int volume_let_go(struct volumes *v, struct volume *volume, const char *container, struct err *e);
struct volume_hold *volume_holder(struct volume *volume, const char *container);
size_t volume_users(const struct volume *volume);

/* 64 random hexadecimal digits and a NUL. */
void volume_random_name(char name[65]);

#endif
