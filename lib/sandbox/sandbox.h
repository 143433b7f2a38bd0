/*
 * sandbox: what a process of the engine may still do once it has opened what it needs. One profile a process, in
 * lib/sandbox/profiles.c; entering it is one call, made by daemon_confine() (lib/daemon.h).
 *
 * In this order: a private mount namespace whose root holds only what the profile names (at the same paths as
 * outside), further namespaces, limits, ids, bounding set, capabilities, securebits, no-new-privileges, MDWE, Landlock,
 * seccomp. Then the result is read back from the kernel, and the process tries to get its old ids back: when anything
 * differs from the profile the call fails, and the caller must end.
 */
#ifndef POUCH_LIB_SANDBOX_H
#define POUCH_LIB_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/process.h"
#include "lib/err.h"

struct config;
struct json_t;

#define SANDBOX_MISSING_MAX 16

/* What the sandbox ended up as; for the log, /info and tests. */
struct sandbox_report {
	uid_t uid;
	gid_t gid;
	uint64_t capabilities; /* effective = permitted, bit 1 << CAP_x */
	uint64_t bounding;
	bool new_root, new_net; /* has a root of its own; an empty network namespace */
	bool no_new_privs, mdwe;
	int landlock_abi;  /* 0: none */
	bool seccomp;	   /* a filter is in force */
	const char *keeps; /* why a process keeps the power of root; NULL for the others */
	const char
		*missing[SANDBOX_MISSING_MAX]; /* what the profile asks for and this kernel lacks, one sentence each */
	size_t nmissing;
};

struct sandbox_args {
	const struct config *config; /* ids_base, and the paths in it that profiles name; borrowed */
	const char *root, *run;	     /* of the engine; absolute */
	/*
	 * In: a descriptor of <root>/<name> (-1: none); it is replaced, under the same number, by one of the same
	 * directory in the new root, because ".." of the old one would lead out.
	 */
	int root_fd;
	int proc_fd; /* from sandbox_proc_open(), or -1 */
};

/*
 * As the first thing in a process: nothing inherited is left open but 0, 1, 2 and `passed` descriptors from 3 on (which
 * become close-on-exec), the umask is 077, the process is not dumpable. A closed 0, 1 or 2 becomes /dev/null.
 */
int sandbox_begin(unsigned passed, struct err *e);

/*
 * A descriptor of /proc whose ".." leads nowhere, when the profile of `id` has a use for it; -1 with e->code = 0 when
 * it has none, -errno on failure. Before sandbox_enter().
 */
int sandbox_proc_open(enum process_id id, struct err *e);

/*
 * Enter the sandbox of `id`, once, single-threaded, as root. Everything that needs files, libraries or sockets beyond
 * the profile has been opened. Returns 0, or -errno: the process is then half confined and must end. A feature that the
 * kernel lacks is logged, recorded in `report` and no failure, except for what everything rests on (ids, capabilities,
 * no-new-privileges, seccomp).
 */
int sandbox_enter(enum process_id id, const struct sandbox_args *args, struct sandbox_report *report, struct err *e);

/*
 * Second step of workers that learn what they work on from their request (rootfs, image-unpack, volume-mount): from
 * here on only what the profile's second stage says.
 */
struct sandbox_narrow {
	int dirs[4]; /* Landlock: reading and writing beneath these, and nowhere else */
	size_t ndirs;
	uid_t fsuid; /* ids on disk, when the second stage has them; (uid_t)-1: unchanged */
	gid_t fsgid;
};
int sandbox_narrow(enum process_id id, const struct sandbox_narrow *to, struct sandbox_report *report, struct err *e);

/* The report as JSON for service_state and /info: {"Uid", "Capabilities", "Missing", ...}. A fresh reference. */
struct json_t *sandbox_report_json(const struct sandbox_report *report);

/* One line for the log: "uid 2147418114, no capability, own root, empty network, landlock 6, seccomp". */
void sandbox_report_text(const struct sandbox_report *report, char *buf, size_t size);

#endif
