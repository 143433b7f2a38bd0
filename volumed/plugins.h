/*
 * plugins: what is asked of all plugins that there are: which volumes they have, and who has the one of a name. A
 * volume that a plugin knows and no record is listed, inspected, removed and mounted like any other; the record comes
 * when it is first used.
 *
 * Nobody waits long for that: each plugin has PLUGINS_WAIT_MS, and who has let that pass is not asked for
 * PLUGINS_REST_MS, unless its socket is another one.
 */
#ifndef POUCH_VOLUMED_PLUGINS_H
#define POUCH_VOLUMED_PLUGINS_H

#include "volumed/volumed.h"

#define PLUGINS_WAIT_MS 5000
#define PLUGINS_REST_MS 60000

/* Is there a plugin at all? */
bool plugins_any(const struct volumed *d);

/*
 * `answers`: {driver: what it answered}, in the order of names; `failures`: a text for each that did not. Both are
 * borrowed. Perhaps called before the function that takes it returns.
 */
typedef void (*plugins_done)(void *arg, json_t *answers, json_t *failures);

/* Ask every plugin, or those that are keys of `only`. `body` is borrowed. */
void plugins_ask(struct volumed *d, const char *method, json_t *body, const json_t *only, plugins_done done, void *arg);

/* `driver` and `volume` (its object {"Name", "Mountpoint", …}) are NULL when no plugin has it. */
typedef void (*plugins_found)(void *arg, const char *driver, json_t *volume);

void plugins_find(struct volumed *d, const char *name, plugins_found done, void *arg);

/* Has it answered its Get (plugin.h: plugin_done), and with no volume? */
bool plugins_denies(const json_t *answer, const struct err *e);

typedef void (*plugins_lost_done)(void *arg, bool lost);

/*
 * Has the plugin lost the volume that it made once? Only if it answers and both its Get and its List say so: who is
 * silent, or fails just now, has lost nothing.
 */
void plugins_lost(struct volumed *d, const char *driver, const char *name, plugins_lost_done done, void *arg);

/* Its answer to List as {name: volume}, a fresh reference; NULL when that is no list. */
json_t *plugins_listed(const json_t *answer);
/* Is that what a plugin's Get or List says of a volume, and is its name one that a volume can have? */
bool plugins_is_volume(const json_t *volume);
/* "global" or "local", from its answer to Capabilities (may be NULL). */
const char *plugins_scope(const json_t *capabilities);
/* Write what a plugin says of a volume into how clients see it. */
void plugins_describe(json_t *shown, json_t *volume, const char *scope);

#endif
