/*
 * config: pouch.json, one struct. Every setting is one row of lib/config.def: from it come the
 * member, its default, parsing and checks, `--set`, pouch.json(5) and the example file.
 */
#ifndef POUCH_LIB_CONFIG_H
#define POUCH_LIB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

#define CONFIG_TEXT_MAX (1u << 20) /* bytes of pouch.json */

enum config_listener_type { LISTENER_UNIX, LISTENER_TCP, LISTENER_TLS };
enum config_bind_fallback { BIND_REFUSE, BIND_PLAIN };
enum config_audit_copy { AUDIT_COPY_NONE, AUDIT_COPY_SYSLOG, AUDIT_COPY_JOURNALD };

struct config_texts {
	const char **v;
	size_t n;
};

/* struct config_listener, config_registry, …; the outermost object is `struct config` to everybody. */
#define config_engine config
#define OBJECT(name, doc)                                                                                              \
	struct config_##name {                                                                                         \
		const char *key; /* its name in a MAP, NULL in a LIST */
#define SETTING(type, cname, key, when, def, min, max, rule, doc) CONFIG_MEMBER_##type(cname, rule)
#define CONFIG_MEMBER_FLAG(member, rule)			  bool member;
#define CONFIG_MEMBER_NUMBER(member, rule)			  uint32_t member;
#define CONFIG_MEMBER_SIZE(member, rule)			  uint64_t member;    /* bytes */
#define CONFIG_MEMBER_TIME(member, rule)			  uint32_t member;    /* milliseconds */
#define CONFIG_MEMBER_TEXT(member, rule)			  const char *member; /* never NULL */
#define CONFIG_MEMBER_PATH(member, rule)			  const char *member; /* absolute, or "" */
#define CONFIG_MEMBER_MODE(member, rule)			  mode_t member;
#define CONFIG_MEMBER_CHOICE(member, rule)			  unsigned member; /* enum of the words */
#define CONFIG_MEMBER_TEXTS(member, rule)			  struct config_texts member;
#define CONFIG_MEMBER_LIST(member, rule)                                                                               \
	struct {                                                                                                       \
		struct config_##rule *v;                                                                               \
		size_t n;                                                                                              \
	} member;
#define CONFIG_MEMBER_MAP(member, rule) CONFIG_MEMBER_LIST(member, rule)
#define END_OBJECT(name)                                                                                               \
	}                                                                                                              \
	;
#include "lib/config.def"
#undef OBJECT
#undef SETTING
#undef END_OBJECT

/* What stands beside the file. */
struct config_source {
	const char *file; /* for messages; NULL: there is no file, `text` is not looked at */
	const char *text;
	size_t len;
	const char *root; /* of the engine: defaults that two engines must not share come from it */
	const char *run;
	const char *const *sets; /* "key=value", each overriding the file */
	size_t nsets;
};

/*
 * Parse and check. On success *out is fresh: config_free(). -EINVAL names file, line, key and what was expected.
 * Rows with a derived default (ids, bridge, subnet, nft table, cgroup) differ between engines with different roots.
 */
int config_parse(const struct config_source *source, struct config **out, struct err *e);

/* The same from a file; a missing one is an error (-ENOENT). `source->text` is ignored. */
int config_load(const struct config_source *source, struct config **out, struct err *e);

/* The effective text: the file with `sets` put in, as JSON on one line; what the supervisor hands its children. */
int config_text(const struct config_source *source, char **out, size_t *len, struct err *e);

void config_free(struct config *c);

/* Key of the first setting that differs and takes effect only at the engine's start; NULL when there is none. */
const char *config_fixed_difference(const struct config *a, const struct config *b);

/* A registry's own settings; NULL when the config has none for it. */
const struct config_registry *config_registry(const struct config *c, const char *host);
/* An OCI runtime by the name in HostConfig.Runtime; NULL when there is none. */
const struct config_runtime *config_runtime(const struct config *c, const char *name);

/* Path of the engine's default API socket: the first UNIX listener's. */
const char *config_api_socket(const struct config *c);

/* ---- the rows, for the documentation ---- */

enum config_type {
	CONFIG_FLAG,
	CONFIG_NUMBER,
	CONFIG_SIZE,
	CONFIG_TIME,
	CONFIG_TEXT,
	CONFIG_PATH,
	CONFIG_MODE,
	CONFIG_CHOICE,
	CONFIG_TEXTS,
	CONFIG_LIST,
	CONFIG_MAP
};

/* LIVE: a reload changes it. START: it takes effect when the engine starts; a reload that changes it is refused. */
enum config_when { LIVE, START };

/* A rule for the content of a text: what it must be, in words, and the check. */
struct config_rule {
	const char *words;
	bool (*ok)(const char *text);
};

struct config_row {
	const char *key; /* path in the JSON, "limits.head-timeout" */
	enum config_type type;
	enum config_when when;
	const char *def; /* as a user would write it after `--set key=`; NULL: derived from the root */
	uint64_t min, max;
	const struct config_rule *rule;		     /* TEXT, TEXTS; NULL: any */
	const char *const *words;		     /* CHOICE: NULL-ended */
	const struct config_object *(*object)(void); /* LIST, MAP: of what */
	const char *doc;
	size_t offset;
};

struct config_object {
	const char *name, *doc;
	const struct config_row *rows; /* ended by a row without key */
	size_t size;		       /* of the struct */
};

/* The outermost object. */
const struct config_object *config_rows(void);

#endif
