/* root: a mount namespace whose root holds only what the profile names. */
#ifndef POUCH_LIB_SANDBOX_ROOT_H
#define POUCH_LIB_SANDBOX_ROOT_H

#include "lib/err.h"
#include "lib/sandbox/profile.h"

#define PATHS_MAX 64

/* What goes into the root. */
struct paths {
	struct path_entry {
		char path[4096]; /* inside and outside */
		unsigned use;	 /* enum path_use */
		int tree;	 /* a clone of the mount, attached by root_enter() */
	} * v;
	size_t n;
	int code; /* first failure of paths_add(), 0 without */
	struct err error;
};

/*
 * Add a path, while it is in this mount namespace; one that is not there, or "", is left out. A failure is kept in `p`.
 */
void paths_add(struct paths *p, const char *path, unsigned use);
/* The same for something open; `fd` is borrowed. */
void paths_add_fd(struct paths *p, const char *path, int fd, unsigned use);
void paths_free(struct paths *p);

/*
 * In a fresh mount namespace: make a read-only tmpfs with these paths its root; "/" becomes the current directory.
 */
int root_enter(struct paths *p, struct err *e);

#endif
