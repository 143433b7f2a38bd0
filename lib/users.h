/*
 * users: who "name[:group]" is by the files /etc/passwd and /etc/group of an image. For processes whose root is the
 * image's: the files are read as text, never through the C library's name services, which would load code from there.
 */
#ifndef POUCH_LIB_USERS_H
#define POUCH_LIB_USERS_H

#include <stddef.h>

#include "lib/err.h"

#define USER_GROUPS_MAX 256

struct user {
	char name[256]; /* "" for a number without an entry */
	char home[256]; /* "" without an entry, or when it is longer */
	long uid, gid;
	long groups[USER_GROUPS_MAX];
	size_t ngroups;
};

/*
 * ContainerConfig.User: "user", "user:group", names or numbers; "" is root. A number is always an id, never a name.
 * With a group of its own the user has no others, as Docker has it. 400: no such user or group, an id out of range.
 */
int user_find(const char *text, struct user *out, struct err *e);
/* One more group, by name or number. */
int user_add_group(struct user *u, const char *text, struct err *e);

#endif
