/* filters: the ?filters= of lists, prunes and events: {"key":["value",…]} or, as old clients write it,
 * {"key":{"value":true}}. */
#ifndef POUCH_LIB_FILTERS_H
#define POUCH_LIB_FILTERS_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

struct filters {
	json_t *keys; /* {"key":["value",…]}; NULL: no filter */
};

/*
 * Read `doc` (borrowed, may be NULL) into *out, which filters_clean() frees. `known` is the NULL-ended list of keys
 * that this operation has; any other key, or another form, is -EINVAL by name.
 */
int filters_read(struct filters *out, json_t *doc, const char *const *known, struct err *e);
void filters_clean(struct filters *f);

/* A checked, canonical document (SCH_…_FILTERS; may be NULL) as filters; borrowed, not to be cleaned. */
#define FILTERS_OF(doc) (&(const struct filters){.keys = (doc)})

bool filters_has(const struct filters *f, const char *key);
/* The first value of `key`, NULL without. */
const char *filters_first(const struct filters *f, const char *key);
/* *out = the value of `key`, NULL without; 400 when there are several, which nobody can mean at once. */
int filters_only(const struct filters *f, const char *key, const char **out, struct err *e);
/* true when the key is absent, or one of its values is `value`. */
bool filters_exact(const struct filters *f, const char *key, const char *value);
/* The same, values being patterns. */
bool filters_pattern(const struct filters *f, const char *key, const char *value);
/* The same, values being prefixes. */
bool filters_prefix(const struct filters *f, const char *key, const char *value);
/* true when every value ("name", "name=value" or "name:value") is found in `labels`; with `key` "label!", when none is.
 */
bool filters_labels(const struct filters *f, const char *key, json_t *labels);
/* A boolean key: *out as given, or unchanged when absent; -EINVAL for other texts or contradictions. */
int filters_bool(const struct filters *f, const char *key, bool *out, struct err *e);
/* Call `match` for each value; true when the key is absent or one call says true. */
bool filters_any(const struct filters *f, const char *key, bool (*match)(const char *value, void *arg), void *arg);

#endif
