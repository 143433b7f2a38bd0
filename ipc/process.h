/* process: who is who among the engine's processes; the table is process.def. */
#ifndef POUCH_IPC_PROCESS_H
#define POUCH_IPC_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

enum process_id {
	PROC_NONE = 0,
#define PROCESS(name, id, uid, owns) PROC_##name = (id),
#include "ipc/process.def"
#undef PROCESS
	PROC_LIMIT = 16,
};

/* A set of processes: bit 1 << id. Used by the sender column of the message tables. */
#define P(name) (1u << PROC_##name)

/* "image-fetch": the name in logs, socket paths, units and audit records; NULL for an unknown id. */
const char *process_name(enum process_id id);
/* The reverse; PROC_NONE for an unknown name. */
enum process_id process_by_name(const char *name);
/* What the process owns, in words; for docs and /info. */
const char *process_owns(enum process_id id);

/* The uid (and gid) that the process runs with, given the config's `ids.base`. */
uid_t process_uid(enum process_id id, uid_t base);

#endif
