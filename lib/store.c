#include "lib/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

/* A prepared statement and the text that it was made from. */
struct statement {
	const char *sql;
	sqlite3_stmt *stmt;
};

struct store {
	sqlite3 *db;
	struct statement *statements;
	size_t nstatements;
	char *path;
	const char *what;
};

struct store_row {
	struct store *store;
	sqlite3_stmt *stmt;
};

/* A quota that is used up is no damage either, but SQLite tells of a disk that is full alone. */
static bool is_over_quota(sqlite3 *db)
{
	sqlite3_file *files[] = {NULL, NULL};

	sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &files[0]);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &files[1]); /* or WAL */
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int error = 0;

		if (files[i] && files[i]->pMethods &&
		    files[i]->pMethods->xFileControl(files[i], SQLITE_FCNTL_LAST_ERRNO, &error) == SQLITE_OK &&
		    error == EDQUOT)
			return true;
	}
	return false;
}

/* The error is for clients, whom neither the path nor the statement concerns; the log has both. */
static int fail(struct store *s, int rc, struct err *e, const char *doing)
{
	const char *why = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
	int code = -EIO;

	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return err_set(e, -EEXIST, "the records of %s: %s", s->what, why);
	case SQLITE_FULL:
		code = -ENOSPC;
		break;
	case SQLITE_IOERR:
		if (s->db && is_over_quota(s->db))
			code = -ENOSPC;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = -EBUSY;
		break;
	case SQLITE_NOMEM:
		code = -ENOMEM;
		break;
	default:
		break;
	}
	log_error("%s: %s: %s", s->path, doing, why);
	if (code == -ENOSPC)
		return err_set(e, code, "no space is left on the file system of the records of %s", s->what);
	return err_set(e, code, "the records of %s: %s", s->what, why);
}

/* ---- opening ---- */

static int run(struct store *s, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc, e, "set up");
}

static int first_text(void *arg, struct store_row *r)
{
	snprintf(arg, 256, "%s", store_text(r, 0) ? store_text(r, 0) : "");
	return 1;
}

static int check(struct store *s, struct err *e)
{
	char result[256] = "";
	int rc = store_query(s, first_text, result, e, "PRAGMA quick_check(1)", "");

	if (rc < 0)
		return rc;
	return str_eq(result, "ok") ? 0 : err_set(e, -EIO, "%s is damaged: %s", s->path, result);
}

static int migrate(struct store *s, const char *const *schema, struct err *e)
{
	int64_t version = 0, known = 0;
	char text[64];
	int rc = store_number(s, 0, &version, e, "PRAGMA user_version", "");

	if (rc < 0)
		return rc;
	while (schema[known])
		known++;
	if (version > known)
		return err_set(e, -EPROTO, "%s was written by a newer version (schema %lld, this program knows %lld)",
			       s->path, (long long)version, (long long)known);
	if (version == known)
		return 0;
	rc = store_begin(s, e);
	for (int64_t v = version; rc == 0 && v < known; v++)
		rc = run(s, schema[v], e);
	snprintf(text, sizeof text, "PRAGMA user_version=%lld", (long long)known);
	if (rc == 0)
		rc = run(s, text, e);
	if (rc == 0)
		rc = store_commit(s, e);
	if (rc < 0)
		store_rollback(s);
	return rc;
}

static int configure(struct store *s, struct err *e)
{
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_extended_result_codes(s->db, 1);
	/* One process has the file: an exclusive lock spares the shared-memory file and its locks. */
	return run(s,
		   "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
		   "foreign_keys=ON;"
		   "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-512; PRAGMA wal_autocheckpoint=512;",
		   e);
}

int store_open(const char *path, const char *what, const char *const *schema, struct store **out, struct err *e)
{
	struct store *s = XNEW(struct store);
	int rc;

	s->path = xstrdup(path);
	s->what = what;
	rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	rc = rc == SQLITE_OK ? configure(s, e) : fail(s, rc, e, "open");
	if (rc == 0)
		rc = check(s, e);
	if (rc == 0)
		rc = migrate(s, schema, e);
	if (rc < 0) {
		store_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nstatements; i++)
		sqlite3_finalize(s->statements[i].stmt);
	free(s->statements);
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}

/* ---- statements ---- */

static int statement(struct store *s, const char *sql, sqlite3_stmt **out, struct err *e)
{
	sqlite3_stmt *stmt;

	for (size_t i = 0; i < s->nstatements; i++) {
		if (s->statements[i].sql == sql) {
			*out = s->statements[i].stmt;
			return 0;
		}
	}
	int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (rc != SQLITE_OK)
		return fail(s, rc, e, sql);
	s->statements = xrealloc(s->statements, s->nstatements + 1, sizeof *s->statements);
	s->statements[s->nstatements++] = (struct statement){sql, stmt};
	*out = stmt;
	return 0;
}

static int bind_json(sqlite3_stmt *stmt, int i, const json_t *json)
{
	if (!json)
		return sqlite3_bind_null(stmt, i);
	return sqlite3_bind_text(stmt, i, json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY), -1, free);
}

static int bind(sqlite3_stmt *stmt, const char *types, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
		if (*types == 't') {
			rc = sqlite3_bind_text(stmt, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
		} else if (*types == 'i') {
			rc = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
		} else if (*types == 'j') {
			rc = bind_json(stmt, i, va_arg(ap, const json_t *));
		} else {
			const void *data = va_arg(ap, const void *);
			rc = sqlite3_bind_blob64(stmt, i, data, va_arg(ap, size_t), SQLITE_TRANSIENT);
		}
	}
	return rc;
}

/* A statement ready to be stepped; the caller calls finish() in the end. */
static int prepare(struct store *s, const char *sql, const char *types, va_list ap, sqlite3_stmt **out, struct err *e)
{
	int rc = statement(s, sql, out, e);

	if (rc < 0)
		return rc;
	rc = bind(*out, types, ap);
	return rc == SQLITE_OK ? 0 : fail(s, rc, e, sql);
}

static void finish(sqlite3_stmt *stmt)
{
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
}

int store_exec(struct store *s, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt;
	va_list ap;

	va_start(ap, types);
	int rc = prepare(s, sql, types, ap, &stmt, e);
	va_end(ap);
	if (rc < 0)
		return rc;
	int step;
	do
		step = sqlite3_step(stmt);
	while (step == SQLITE_ROW);
	rc = step == SQLITE_DONE ? 0 : fail(s, step, e, sql);
	finish(stmt);
	return rc;
}

static int query(struct store *s, int (*row)(void *arg, struct store_row *r), void *arg, struct err *e, const char *sql,
		 const char *types, va_list ap)
{
	sqlite3_stmt *stmt;
	int step, rc = prepare(s, sql, types, ap, &stmt, e);

	if (rc < 0)
		return rc;
	struct store_row r = {s, stmt};
	while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
		rc = row(arg, &r);
		if (rc)
			break;
	}
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		rc = fail(s, step, e, sql);
	finish(stmt);
	return rc < 0 ? rc : 0;
}

int store_query(struct store *s, int (*row)(void *arg, struct store_row *r), void *arg, struct err *e, const char *sql,
		const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	int rc = query(s, row, arg, e, sql, types, ap);
	va_end(ap);
	return rc;
}

static int first_number(void *arg, struct store_row *r)
{
	*(int64_t *)arg = store_int(r, 0);
	return 1;
}

int store_number(struct store *s, int64_t missing, int64_t *out, struct err *e, const char *sql, const char *types, ...)
{
	va_list ap;

	*out = missing;
	va_start(ap, types);
	int rc = query(s, first_number, out, e, sql, types, ap);
	va_end(ap);
	return rc;
}

int64_t store_changes(const struct store *s)
{
	return sqlite3_changes64(s->db);
}

int64_t store_generation(const struct store *s)
{
	return sqlite3_total_changes64(s->db);
}

/* ---- transactions ---- */

void store_wait(struct store *s, bool wait)
{
	store_exec(s, NULL, wait ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", "");
}

int store_begin(struct store *s, struct err *e)
{
	return store_exec(s, e, "BEGIN IMMEDIATE", "");
}

int store_commit(struct store *s, struct err *e)
{
	int rc = store_exec(s, e, "COMMIT", "");

	if (rc < 0)
		store_rollback(s);
	return rc;
}

void store_rollback(struct store *s)
{
	struct err e = {0};

	if (!sqlite3_get_autocommit(s->db) && store_exec(s, &e, "ROLLBACK", "") < 0)
		log_error("%s", e.text);
}

/* ---- columns ---- */

const char *store_text(struct store_row *r, int column)
{
	return (const char *)sqlite3_column_text(r->stmt, column);
}

int64_t store_int(struct store_row *r, int column)
{
	return sqlite3_column_int64(r->stmt, column);
}

const void *store_blob(struct store_row *r, int column, size_t *len)
{
	const void *data = sqlite3_column_blob(r->stmt, column);

	*len = (size_t)sqlite3_column_bytes(r->stmt, column);
	return data;
}

int store_json(struct store_row *r, int column, json_t **out, struct err *e)
{
	const char *text = store_text(r, column);

	*out = NULL;
	if (!text)
		return 0;
	*out = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	return *out ? 0 : err_set(e, -EIO, "the records of %s are damaged: a document is no JSON", r->store->what);
}
