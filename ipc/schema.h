/*
 * schema: JSON documents, declared once: one row a field (ipc/schema/) with type, range, grammar,
 * the specifications that name it, API versions and class. The rows drive validation in apid,
 * re-validation in the owner, the canonical form and docs/schema.md.
 *
 * Canonical form, what owners get: Docker 1.47's names in their exact spelling (a client may write
 * them in any case, as Go reads them), and
 *   - null, empty text and empty words are absent (in lists and maps of texts they stay as they are, null as "");
 *   - a field that is refused, or outside its API versions, is absent; it is an error unless it is empty;
 *   - a list that may be given as one text is a list; a text that may be given as a number is a text;
 *   - null as an element of a map is the empty value of its type; filters are {"name":["value",…]}.
 */
#ifndef POUCH_IPC_SCHEMA_H
#define POUCH_IPC_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/grammar.h"
#include "lib/err.h"

/* Greatest JSON document of a message, and greatest message that travels without a memfd. */
#define IPC_DOC_MAX    (16u << 20)
#define IPC_INLINE_MAX (56u << 10)

/* Minor versions of API 1.x: what is served at all. */
#define API_VERSION_FIRST 24
#define API_VERSION_LAST  47

enum schema_id {
#define SCHEMA(id, table, what) SCH_##id,
#include "ipc/schemas.def"
#undef SCHEMA
	SCH_COUNT,
};

struct json_t;

/* What the client speaks: minor version of the API that it named. */
struct schema_context {
	unsigned version;
};

/*
 * Parse `len` bytes of JSON strictly (lib/json.h) and check every field against the schema, in the canonical
 * version. On success *out is a new reference in canonical form. On failure -EINVAL and a text that names the field,
 * what was expected and the position. For SCH_OPAQUE *out is NULL and nothing is looked at.
 */
int schema_parse(enum schema_id id, const char *text, size_t len, struct json_t **out, struct err *e);

/* The same for a client that speaks context->version: fields of other versions are errors unless they are empty. */
int schema_parse_as(enum schema_id id, const struct schema_context *context, const char *text, size_t len,
		    struct json_t **out, struct err *e);

/* The same for a document that is parsed already (borrowed); errors then have no position. */
int schema_check(enum schema_id id, const struct schema_context *context, struct json_t *doc, struct json_t **out,
		 struct err *e);

/* "CONTAINER_CREATE", and what the document is; "?" for an id out of range. */
const char *schema_name(enum schema_id id);
const char *schema_what(enum schema_id id);

/* ---- the rows ---- */

enum schema_type {
	S_ANY,
	S_BOOL,
	S_INT,	   /* min..max */
	S_TEXT,	   /* rule, max bytes; number_too: an integer is taken as its decimal text */
	S_WORDS,   /* one of words[] */
	S_LIST,	   /* of elements `of`, at most max; text_too: one text is a list of it */
	S_MAP,	   /* keys by rule, elements `of`, at most max */
	S_OBJECT,  /* of object */
	S_FILTER,  /* a list of texts, or {"text": true} as old clients write it */
	S_ANSWER,  /* what only answers carry and clients send back: taken and dropped */
	S_REFUSED, /* must be empty; doc says why */
};

/* What a field can give away or take; policies and the redaction of secrets go by it. */
enum schema_class {
	C_PLAIN,      /* nothing beyond the container itself */
	C_SECRET,     /* may hold secrets: not in logs, redacted without permission */
	C_RESOURCE,   /* memory, CPU, I/O, processes */
	C_NETWORK,    /* addresses, ports, names */
	C_MOUNT,      /* files of the host, volumes */
	C_DEVICE,     /* devices of the host */
	C_CAPABILITY, /* privilege inside the container */
	C_NAMESPACE,  /* namespaces of the host or of other containers */
	C_SECURITY,   /* the confinement itself */
	C_KERNEL,     /* kernel parameters */
	C_RUNTIME,    /* which program runs the container, and what it is told */
	C_LOGGING,    /* where output goes */
};

/* The specifications that name a field. Both dialects take both kinds. */
enum schema_spec { IN_BOTH, IN_DOCKER, IN_CLIENTS /* in none, but clients send it */ };

struct schema_object;

struct schema_field {
	const char *name; /* NULL in the row of an element */
	enum schema_type type;
	enum schema_class class;
	enum grammar rule;
	int64_t min;
	uint64_t max;
	const char *const *words; /* NULL-ended */
	const struct schema_field *of;
	const struct schema_object *object;
	enum schema_spec spec;
	uint8_t since, until; /* minor versions; 0: from the first, to the last */
	bool required, number_too, text_too;
	bool has_unset; /* the integer `unset` means the same as leaving the field out, and is dropped */
	int64_t unset;
	const char *doc;
};

struct schema_object {
	const char *name, *doc;
	const struct schema_field *fields;    /* ended by a row without name */
	const struct schema_object *parts[3]; /* whose fields it has too, NULL-ended */
	bool filters;			      /* an unknown name is told in Docker's words for filters */
};

/* The outermost row of a document. */
const struct schema_field *schema_root(enum schema_id id);

/* The row of the field `name`, in any case, of an object or its parts; NULL when there is none. */
const struct schema_field *schema_field(const struct schema_object *object, const char *name);

const char *schema_class_name(enum schema_class class);

/* What a value of the field must be, in words, for errors and docs: "an integer from 0 to 100". */
void schema_expected(const struct schema_field *f, char *out, size_t size);

#endif
