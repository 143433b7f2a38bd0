/* walk: where in a document the checker is, and how it says what is wrong there. */
#ifndef POUCH_IPC_SCHEMA_WALK_H
#define POUCH_IPC_SCHEMA_WALK_H

#include "ipc/schema.h"
#include "lib/json.h"

/* Deeper than any table; documents of SCH_ANY are not walked. */
#define WALK_STEPS_MAX 24

struct walk {
	unsigned version;
	const char *text; /* NULL when there is none to find places in */
	size_t len;
	struct json_step steps[WALK_STEPS_MAX];
	size_t nsteps;
	struct err *e;
};

/* One step into the document; false, with the error set, when it is too deep. */
bool walk_enter(struct walk *w, const char *key, size_t index);
void walk_leave(struct walk *w);

/* Set w->e to `before`, the path, the formatted text and the place; returns NULL. Values are never quoted. */
void *walk_fail(struct walk *w, const char *before, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "expected X, not Y" */
void *walk_fail_type(struct walk *w, const struct schema_field *f, const json_t *in);

#endif
