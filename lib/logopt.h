/*
 * logopt: log drivers and their options (HostConfig.LogConfig). runtimed checks them at create; runtimed and the log
 * worker read them by these functions, which know the defaults. Everything but logopt_check() takes a Config that was
 * checked.
 */
#ifndef POUCH_LIB_LOGOPT_H
#define POUCH_LIB_LOGOPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

enum log_driver {
	LOG_DRIVER_json_file,
	LOG_DRIVER_local,
	LOG_DRIVER_none,
	LOG_DRIVER_syslog,
	LOG_DRIVER_journald,
	LOG_DRIVER_gelf,
	LOG_DRIVER_fluentd,
	LOG_DRIVER_splunk,
	LOG_DRIVERS,
};

enum logopt_kind {
	LOGOPT_TEXT,
	LOGOPT_SECRET,
	LOGOPT_BOOL,
	LOGOPT_COUNT,
	LOGOPT_LEVEL, /* -1 to 9 */
	LOGOPT_SIZE,  /* "10m" */
	LOGOPT_DURATION,
	LOGOPT_CHOICE,
	LOGOPT_LIST, /* separated by commas */
	LOGOPT_REGEX,
	LOGOPT_TEMPLATE,
	LOGOPT_ADDRESS,
	LOGOPT_FILE, /* absolute path, read by the worker */
};

struct logopt_row {
	uint32_t drivers; /* bits by enum log_driver */
	const char *name;
	enum logopt_kind kind;
	const char *def;
	const char *words; /* of a CHOICE; the schemes of an ADDRESS */
	const char *doc;
};

const struct logopt_row *logopt_rows(size_t *n);
const char *log_driver_name(enum log_driver d);
/* LOG_DRIVERS for a name that is none. */
enum log_driver log_driver_find(const char *name);
/* Does it send lines to a collector, by a worker? */
bool log_driver_remote(enum log_driver d);

/*
 * Is `config` (LogConfig.Config) what `driver` (LogConfig.Type) takes? `sockets`: the UNIX sockets, or
 * directories of some, that collectors may have. 400 in Docker's words where it has some, naming option and value.
 */
int logopt_check(const char *driver, const json_t *config, const char *const *sockets, size_t nsockets, struct err *e);

/* Does this option say to whom lines go, or which of the host's files are read for it? */
bool logopt_reaches_out(const char *name);

/* Values, or the row's default. The text is NULL when there is neither. */
const char *logopt_text(const json_t *config, const char *name);
bool logopt_bool(const json_t *config, const char *name);
/* COUNT, LEVEL, SIZE (bytes, -1 for "-1"), DURATION (milliseconds). */
int64_t logopt_number(const json_t *config, const char *name);

/* An ADDRESS in parts. */
struct log_address {
	char scheme[16];
	char host[256]; /* or the path of a socket */
	char port[8];	/* "" for a socket */
};

int log_address_parse(const char *text, const char *default_port, struct log_address *out, struct err *e);

#endif
