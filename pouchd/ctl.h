/*
 * ctl: the commands of `pouchd ctl`. A command is one struct ctl_command, defined in a file ctl_<name>.c and listed in
 * ctl.c; it runs as root in a process of its own, not in the supervisor.
 */
#ifndef POUCH_POUCHD_CTL_H
#define POUCH_POUCHD_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/process.h"
#include "lib/err.h"

struct ctl {
	const char *run;
	const char *root;   /* NULL: not given, and the command has no use for it */
	const char *config; /* NULL: the default file */
};

struct ctl_command {
	const char *name;  /* "status"; one word */
	const char *usage; /* what stands behind it */
	const char *about; /* one line */
	/* argv[0] is the first word behind the name. Returns the exit status: 0, 1 for a failure, 2 for wrong usage. */
	int (*run)(const struct ctl *c, int argc, char **argv);
	bool places; /* reads the engine's files itself: root and config are the running engine's unless given */
};

extern const struct ctl_command ctl_status, ctl_restart, ctl_reload, ctl_info, ctl_audit, ctl_policy, ctl_image;

/* One request to a process of the running engine. *reply: free with channel_msg_free() of its reply message. */
int ctl_call(const struct ctl *c, enum process_id peer, uint16_t number, void *msg, void **reply, struct err *e);
/* The same for what may take its time: waits for as long as the other side is at it. */
int ctl_call_long(const struct ctl *c, enum process_id peer, uint16_t number, void *msg, void **reply, struct err *e);
/* Without a root: that of the engine that runs, and its config unless given; the default when none runs. Never freed.
 */
void ctl_places(struct ctl *c);
/* Say why, on stderr; returns 1. */
int ctl_fail(const struct err *e);
/* Say how it is used; returns 2. */
int ctl_wrong(const struct ctl_command *command);

#endif
