/*
 * plugin: one call to a volume plugin: POST /VolumeDriver.X with JSON over the UNIX socket <plugin-dir>/NAME.sock or
 * <plugin-dir>/NAME/NAME.sock (https://docs.docker.com/engine/extend/plugins_volume/). A plugin that hangs, dies or
 * answers garbage costs the one request that needed it.
 */
#ifndef POUCH_VOLUMED_PLUGIN_H
#define POUCH_VOLUMED_PLUGIN_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct config;

#define PLUGIN_ANSWER_MAX (1u << 20)

/*
 * Exactly one of `answer` (borrowed) and `e` is set: -ETIMEDOUT for who did not answer in time, -EREMOTEIO for who has
 * answered that it failed.
 */
typedef void (*plugin_done)(void *arg, const json_t *answer, const struct err *e);

/* Is there a socket of that name in the directory, or in a directory of that name there? */
bool plugin_exists(const char *dir, const char *name);
/*
 * When its socket was made or changed, in nanoseconds since 1970: a plugin that was started again has a later one. 0
 * when there is none.
 */
int64_t plugin_since(const char *dir, const char *name);
/* Is there only a description of it, a file NAME.spec or NAME.json, which this engine does not follow? */
bool plugin_described(const char *dir, const char *name, const char **how);

/*
 * `method`: "VolumeDriver.Mount". It may take as long as the config says, and no longer than `at_most_ms` (0: no other
 * bound). `take_body`: the request, a reference that is consumed. An answer with a text in "Err" is a failure with that
 * text.
 */
void plugin_call(struct event_base *base, const struct config *config, const char *name, const char *method,
		 uint32_t at_most_ms, json_t *take_body, plugin_done done, void *arg);

#endif
