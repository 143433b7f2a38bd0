/* daemon_parts: the pieces of lib/daemon.h, between lib/daemon*.c and the supervisor only. */
#ifndef POUCH_LIB_DAEMON_PARTS_H
#define POUCH_LIB_DAEMON_PARTS_H

#include "lib/daemon.h"

struct daemon_args {
	const char *root, *run;
	const char *config; /* NULL: the default one, if it exists */
	const char **sets;  /* "key=value"; --log-level is one of them */
	size_t nsets;
};

/* Ends the process for --help, --version and wrong usage. What it finds points into argv or lives for ever. */
void daemon_parse_args(struct daemon_args *a, const char *name, const char *owns, int argc, char **argv);

/* How many descriptors LISTEN_FDS promises to this very process. */
unsigned daemon_passed_count(void);
/* Those descriptors with their names; -E2BIG when there are more than `max`. Clears the variables. */
int daemon_passed(struct daemon_fd *fds, size_t max, size_t *n, struct err *e);

struct config_source;

/* Policy: the text of the file at `path`; no file or an empty path: text is NULL. */
int daemon_read_text(const char *path, size_t max, struct daemon_text *out, struct err *e);

/* Read config and policy from files. `source->file` NULL: defaults and sets. */
int daemon_read_files(const struct config_source *source, struct config **config, struct daemon_text *policy,
		      struct err *e);

#define DAEMON_POLICY_MAX (1u << 20) /* bytes of policy.json */

#endif
