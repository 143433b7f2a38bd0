/*
 * schema: JSON documents, declared once: one row a field with type, range, grammar, dialect,
 * API versions and permission class. Drives validation in apid, re-validation in the owner,
 * the canonical form and docs/schema.md.
 */
#ifndef POUCH_IPC_SCHEMA_H
#define POUCH_IPC_SCHEMA_H

#include <stddef.h>

#include "lib/err.h"

/* Greatest JSON document of a message, and greatest message that travels without a memfd. */
#define IPC_DOC_MAX    (16u << 20)
#define IPC_INLINE_MAX (56u << 10)

enum schema_id {
#define SCHEMA(id) SCH_##id,
#include "ipc/schemas.def"
#undef SCHEMA
	SCH_COUNT,
};

struct json_t;

/*
 * Parse `len` bytes of JSON strictly (RFC 8259, UTF-8, no duplicate key, bounded depth and count,
 * numbers within int64) and check every field against the schema. On success *out is a new
 * reference in canonical form. On failure -EINVAL and a text that names the field, what was
 * expected and the position. For SCH_OPAQUE *out is NULL and nothing is looked at.
 */
int schema_parse(enum schema_id id, const char *text, size_t len, struct json_t **out, struct err *e);

const char *schema_name(enum schema_id id);

#endif
