/*
 * db: runtimed's records in <root>/runtimed/runtimed.db. What a container is (its record) is durable when the function
 * returns; what it does (its state) is written when the event loop comes round, without waiting for the disk: after a
 * loss of power the shims are gone anyway, and after the death of runtimed alone the kernel still has it.
 */
#ifndef POUCH_RUNTIMED_DB_H
#define POUCH_RUNTIMED_DB_H

#include "runtimed/container.h"

struct exec;

int db_open(struct runtimed *rt, const char *path, struct err *e);
void db_close(struct runtimed *rt);

/* Read all containers and execs into rt; id ranges are held. */
int db_load(struct runtimed *rt, struct err *e);

/* Durable: a new container, with its state. -EEXIST when the id or name is taken. */
int db_insert(struct container *c, struct err *e);
/* Durable: HostConfig, mounts and endpoints after an update, the name after a rename. */
int db_update(struct container *c, struct err *e);
int db_rename(struct container *c, const char *name, struct err *e);
/* Durable: gone, with its execs. */
int db_delete(struct container *c, struct err *e);

/*
 * Before a container has a record, and when it has none any more, volumed holds volumes for it. Durable: they are to be
 * given back, anonymous ones with their files when `anonymous`; db_insert() takes it back.
 */
int db_owe(struct container *c, bool anonymous, struct err *e);
/* They are given back. */
void db_paid(struct runtimed *rt, const char *id);
/* As db_owe() was told. */
bool db_owes_anonymous(struct container *c);
/* {"<id>": anonymous} for all that have no record. */
json_t *db_owed(struct runtimed *rt);

/* The state will be stored soon. */
void db_touch(struct container *c);
/* Store all changed states now. */
void db_flush(struct runtimed *rt);

int db_exec_put(const struct exec *x, struct err *e);
void db_exec_delete(const struct exec *x);

/* Container's state as JSON and back. */
json_t *state_to_json(const struct container_state *s);
void state_from_json(struct container_state *s, const json_t *o);

#endif
