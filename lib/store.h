/*
 * store: an owner's records in one SQLite file: WAL, synchronous=FULL, foreign keys, DEFENSIVE, the schema's version in
 * user_version. A change is durable when store_commit() (or a store_exec() outside of a transaction) has returned.
 *
 *   static const char *const schema[] = {
 *           "CREATE TABLE volume(name TEXT PRIMARY KEY, driver TEXT NOT NULL) STRICT;",    version 1
 *           "ALTER TABLE …",                                                               version 2
 *           NULL};
 *   store_open(path, "volumes", schema, &s, &e);
 *   store_exec(s, &e, "INSERT INTO volume VALUES(?,?)", "tt", name, driver);
 *   store_query(s, on_row, arg, &e, "SELECT name, driver FROM volume WHERE driver=?", "t", "local");
 *
 * Statements are prepared once and found again by their text's address, so `sql` must be static.
 * Types of bound values: t const char * (NULL: SQL NULL) · i int64_t · j const json_t * (as compact text; NULL: SQL
 * NULL) · b const void *, size_t (a blob).
 */
#ifndef POUCH_LIB_STORE_H
#define POUCH_LIB_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct store;
struct store_row; /* the present row of a query */

/*
 * Open or create; each text of `schema` (NULL-ended) that the file has not seen is applied, in one transaction.
 * -EPROTO for a file that a newer version wrote; -EIO for one that is damaged: quick_check runs at each open.
 * `what` (static) says in errors whose records they are.
 */
int store_open(const char *path, const char *what, const char *const *schema, struct store **out, struct err *e);
/* Rolls back what was begun. */
void store_free(struct store *s);

/* One transaction; they do not nest. -ENOSPC when the disk is full, and everything since store_begin() is undone. */
int store_begin(struct store *s, struct err *e);
int store_commit(struct store *s, struct err *e);
/* Undo; nothing when no transaction is open. So it can stand at the end of every failing path. */
void store_rollback(struct store *s);

/*
 * Whether a commit waits for the disk; it does from the start. One that did not may be undone by a power failure, and
 * is durable with the next that does.
 */
void store_wait(struct store *s, bool wait);

/* Run one statement. -EEXIST when a constraint forbids it. A failure leaves an open transaction open. */
int store_exec(struct store *s, struct err *e, const char *sql, const char *types, ...);
/* Rows that the last store_exec() changed. */
int64_t store_changes(const struct store *s);
/* Rows changed since it was opened: as long as it is the same, so are the records. */
int64_t store_generation(const struct store *s);

/*
 * Call `row` for each row; a result other than 0 ends the query, a negative one is returned. It may not run the same
 * statement.
 */
int store_query(struct store *s, int (*row)(void *arg, struct store_row *r), void *arg, struct err *e, const char *sql,
		const char *types, ...);
/* The first row's first column as a number, or `missing` when there is no row. */
int store_number(struct store *s, int64_t missing, int64_t *out, struct err *e, const char *sql, const char *types,
		 ...);

/* Columns from 0. Text lives until the callback returns; NULL for SQL NULL. */
const char *store_text(struct store_row *r, int column);
int64_t store_int(struct store_row *r, int column);
const void *store_blob(struct store_row *r, int column, size_t *len);
/* A fresh reference; NULL for SQL NULL. -EIO when the text is no JSON: the file is damaged. */
int store_json(struct store_row *r, int column, json_t **out, struct err *e);

#endif
