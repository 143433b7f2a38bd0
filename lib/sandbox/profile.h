/* profile: what one process of the engine may do; the rows are in profiles.c, the system calls in calls.def. */
#ifndef POUCH_LIB_SANDBOX_PROFILE_H
#define POUCH_LIB_SANDBOX_PROFILE_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "ipc/process.h"

struct config;

#define CAP(name) (1ull << CAP_##name)

/* Sets of system calls; what is in them, and why, is in calls.def. */
enum call_set {
	CALLS_END = 0,
#define CALL_SET(name, doc) CALLS_##name,
#define ALLOW(call, why)
#define ALLOW_EQ(call, arg, value, why)
#define ALLOW_MASK(call, arg, mask, value, why)
#define ALLOW_EQ2(call, arg1, value1, arg2, value2, why)
#define DENY(call, error, why)
#define DENY_MASK(call, arg, mask, value, error, why)
#include "lib/sandbox/calls.def"
#undef CALL_SET
#undef ALLOW
#undef ALLOW_EQ
#undef ALLOW_MASK
#undef ALLOW_EQ2
#undef DENY
#undef DENY_MASK
};

/* How a path may be used; a path that is not there is left out. */
enum path_use {
	PATH_READ = 1,	  /* bound read-only; Landlock: reading */
	PATH_WRITE = 2,	  /* bound writable; Landlock: reading, writing, making and removing */
	PATH_CONNECT = 4, /* a socket */
	PATH_NODES = 8,	  /* with PATH_WRITE: Landlock lets devices be made, too */
	PATH_ALONE = 16,  /* without what is mounted below it by now */
	PATH_MAKE = 32,	  /* a directory that others fill later: made when it is not there */
};

struct sandbox_path {
	const char *path; /* absolute, the same inside and outside */
	unsigned use;	  /* enum path_use */
};

struct sandbox_limit {
	int resource; /* RLIMIT_x */
	rlim_t most;  /* a lower limit that is in force stays */
};

/* Whose ids it runs with. */
enum profile_ids { IDS_OWN, IDS_ROOT };

struct paths; /* root.h */

/* A set of capabilities and calls. The second stage is entered by sandbox_narrow(). */
struct sandbox_stage {
	uint64_t capabilities;	    /* exactly these, permitted and effective; none inheritable or ambient */
	const enum call_set *calls; /* ended by CALLS_END; NULL: no filter */
};

struct sandbox_profile {
	const char *keeps; /* not NULL: the process keeps root's power, and why; only `limits` are set */
	enum profile_ids ids;
	int namespaces;	    /* CLONE_NEW*; CLONE_NEWNS means: a root of its own with nothing but what follows */
	bool state;	    /* <root>/<name>, writable */
	unsigned state_use; /* more of enum path_use for it */
	bool proc;	    /* takes a descriptor of /proc, reading only */
	uint32_t peers;	    /* P(x): the helpers whose sockets it reaches */
	const struct sandbox_path *paths; /* further ones, ended by a NULL path */
	/* Paths that the config names. */
	void (*configured)(const struct config *config, struct paths *out);
	bool landlock_files; /* false: workers that learn their directories from the request */
	bool landlock_tcp;   /* neither binds nor connects TCP */
	bool landlock_scope; /* reaches no foreign abstract socket, signals nobody outside */
	uint64_t bounding;   /* beyond what the stages hold; 0 for all */
	struct sandbox_stage first, second;
	const struct sandbox_limit *limits; /* ended by a negative resource */
};

/* Never NULL for a process of ipc/process.def. */
const struct sandbox_profile *sandbox_profile(enum process_id id);

#endif
