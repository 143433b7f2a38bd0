/*
 * log: structured lines, one an event: time, level, daemon, request id, text.
 *
 * To stderr (the default), syslog or journald, as configured. Secrets are of type
 * `struct secret` (lib/secret.h), which no format accepts.
 */
#ifndef POUCH_LIB_LOG_H
#define POUCH_LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct config;

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG, LOG_SINK_JOURNALD };

/*
 * Opens the sink's socket (`path`; NULL for stderr), so call it before the sandbox. `daemon` must outlive the process's
 * logging.
 */
int log_open(const char *daemon, enum log_level level, enum log_sink sink, const char *path, struct err *e);
/* As the config says. A collector that is not there keeps no process from its work: then to stderr, which says so. */
void log_begin(const char *daemon, const struct config *config);
void log_set_level(enum log_level level);

/* `rid` is the request's id, 0 when no request is meant. */
void log_line(enum log_level level, uint64_t rid, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(...)	       log_line(LOG_LEVEL_ERROR, 0, __VA_ARGS__)
#define log_warn(...)	       log_line(LOG_LEVEL_WARN, 0, __VA_ARGS__)
#define log_info(...)	       log_line(LOG_LEVEL_INFO, 0, __VA_ARGS__)
#define log_debug(...)	       log_line(LOG_LEVEL_DEBUG, 0, __VA_ARGS__)
#define log_req(lvl, rid, ...) log_line((lvl), (rid), __VA_ARGS__)

#endif
