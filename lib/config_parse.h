/* config_parse: the pieces of the reader of pouch.json, between lib/config*.c only. */
#ifndef POUCH_LIB_CONFIG_PARSE_H
#define POUCH_LIB_CONFIG_PARSE_H

#include <jansson.h>

#include "lib/config.h"

/* A struct config with what it points into. */
struct config_memory {
	json_t *tree;  /* the file with `sets` put in; texts are borrowed from here */
	json_t *keep;  /* array: defaults and made values, likewise */
	void **blocks; /* heap memory of lists */
	size_t nblocks;
	struct config config;
};

/* Where a value stands: the way to it, innermost last. */
struct config_at {
	const struct config_at *up;
	const char *key; /* NULL: `index` of an array */
	size_t index;
	bool dotted; /* dots in the key are nested objects */
};

struct config_reader {
	const struct config_source *source;
	struct config_memory *memory;
	struct err *e;
};

/* -EINVAL: "FILE:LINE: KEY: …", or "--set KEY: …" when the value came from there. */
int config_complain(const struct config_reader *r, const struct config_at *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The line, from 1, on which the key (or element) stands in the valid JSON `text`; of what encloses a missing one. */
size_t config_line(const char *text, const struct config_at *at);

/* "listeners[0].port". Cut when `size` is too small. */
void config_at_text(const struct config_at *at, char *buf, size_t size);

/* The value behind `--set key=`, or of a default, as JSON of the row's type; a new reference, NULL when it is none. */
json_t *config_json_of_text(const struct config_row *row, const char *text);

/* Check `value` (borrowed; lives as long as the config) against its row and store it in `object`, a struct of the row.
 */
int config_store(const struct config_reader *r, const struct config_row *row, json_t *value, const struct config_at *at,
		 void *object);

/* All rows of an object. `value` may be NULL: everything has its default. */
int config_store_object(const struct config_reader *r, const struct config_object *o, json_t *value,
			const struct config_at *at, void *object);

/* Memory that lives as long as the config. */
void *config_block(struct config_memory *m, size_t n, size_t size);
/* The text as long as the config lives. */
const char *config_keep(struct config_memory *m, const char *text);

/* What no single row can say: settings that must fit each other. Fills in what is made from them. */
int config_check(const struct config_reader *r, struct config *c);

#endif
