/* json: the strict front of jansson for JSON that comes from outside, and where in a text a value stands. */
#ifndef POUCH_LIB_JSON_H
#define POUCH_LIB_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/util.h"

static inline void json_drop_(json_t **p)
{
	json_decref(*p);
}
/* A reference that drops itself: AUTO_JSON json_t *doc = NULL; STEAL(doc) gives it away. */
#define AUTO_JSON CLEANUP(json_drop_)

/* What a text may ask the parser to build; both are checked before it allocates anything. */
struct json_bounds {
	unsigned depth; /* of nested objects and lists */
	size_t values;	/* objects, lists and scalars together */
};

/* For documents of API clients and of messages. */
#define JSON_BOUNDS_DOCUMENT ((struct json_bounds){.depth = 64, .values = 65536})

/*
 * Parse `len` bytes of JSON (RFC 8259; any value may stand outermost): UTF-8, no NUL (neither raw nor \u0000), no key
 * twice in an object, integers within int64, nothing behind the value, all within `bounds`.
 * On success *out is a new reference. -EINVAL with what is wrong, line and column; nothing of the input is quoted.
 */
int json_parse(const char *text, size_t len, const struct json_bounds *bounds, json_t **out, struct err *e);

/* One step into a document: a member (by the key as it is written there) or, when key is NULL, an element. */
struct json_step {
	const char *key;
	size_t index;
};

struct json_place {
	unsigned line, column; /* from 1; columns count bytes */
};

/* Where the value at the end of `steps` begins in `text`, which json_parse() has accepted. false: there is none. */
bool json_locate(const char *text, size_t len, const struct json_step *steps, size_t nsteps, struct json_place *out);

#endif
