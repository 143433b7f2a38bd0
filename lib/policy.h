/*
 * policy: policy.json: roles (named sets of permissions, with rules for what a request may ask for), bindings of
 * callers to roles, the ceiling for callers that only apid vouches for, and rules for images. docs/policy.md
 * describes
 * the file; policy.json(5) is its reference.
 */
#ifndef POUCH_LIB_POLICY_H
#define POUCH_LIB_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "ipc/caller.h"
#include "lib/err.h"

#define POLICY_TEXT_MAX (1u << 20)

struct policy;
struct config;
struct json_t;

/*
 * Parse strictly: an unknown key, a wrong type, a role that does not exist, a name of a user or group that does not
 * exist is -EINVAL with "file:line: key: what was expected". `text` NULL: the built-in policy (root, and the group of
 * the config's first UNIX listener, are admin). User and group names are looked up here, so it must run before the
 * sandbox unless the text has numbers only, as policy_text() makes it.
 */
int policy_parse(const char *file, const char *text, size_t len, const struct config *config, struct policy **out,
		 struct err *e);
/*
 * What the supervisor hands its children: the checked policy with every name replaced by its number, the built-in one
 * written out. *out is the caller's to free.
 */
int policy_text(const char *file, const char *text, size_t len, const struct config *config, char **out,
		size_t *out_len, struct err *e);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);

/* ---- who ---- */

struct policy_who {
	const struct caller *caller;
	const char *listener;	     /* name of the listener in the config, NULL when unproven */
	const char *listener_role;   /* its "role" setting; NULL or "" for none */
	const char *container;	     /* id of the container that the caller is in; NULL for none */
	const struct json_t *labels; /* that container's labels */
};

/* What a caller may do: the roles it is bound to, and the ceiling over them. Holds a reference to the policy. */
struct policy_grant;

/* Never NULL; a caller that nothing is bound to gets a grant that allows nothing. */
struct policy_grant *policy_grant_new(struct policy *p, const struct policy_who *who);
void policy_grant_free(struct policy_grant *g);

/* "uid:1000", "cert:CN=ops", "container:ID", "tcp" */
const char *policy_grant_principal(const struct policy_grant *g);

/* A permission for a part of an operation, beside those of the operations themselves. */
struct policy_permission {
	const char *name, *doc;
};
const struct policy_permission *policy_permissions(size_t *n);
/* Is there one, of either sort, that the text or pattern means? */
bool policy_permission_exists(const char *pattern);

bool policy_allows(const struct policy_grant *g, const char *permission);
/* Does some role with `permission` reach objects of this owner? Roles with "own" reach the caller's own only. */
bool policy_sees(const struct policy_grant *g, const char *permission, const char *owner);
/* The names of the roles, separated by commas, for records and explanations; the caller's to free. */
char *policy_grant_roles(const struct policy_grant *g);

/* ---- what a request may ask for ---- */

enum policy_document { POLICY_CREATE, POLICY_UPDATE, POLICY_EXEC, POLICY_VOLUME, POLICY_NETWORK, POLICY_CONNECT };

/* What the document's decision needs besides it. Members that are not known stay NULL. */
struct policy_facts {
	/*
	 * The owner of a container (name, id or prefix), for joins, links and volumes from it. Returns NULL when there
	 * is none of that name: the request will fail anyway, so that decides nothing.
	 */
	const char *(*container_owner)(void *arg, const char *ref);
	void *arg;
	const char *image; /* full name of the image, docker.io/library/busybox:latest; NULL when given by id */
	bool by_digest;
	const struct config *config; /* for the engine's defaults; guard_admit() fills it in */
};

/*
 * Is the document within the rules of some role that has `permission`, and of the ceiling? Every field that is set
 * must have
 * a rule that lets it pass; a field without a rule is denied. 0, or -EPERM with status 403 naming field, value and
 * rule.
 */
int policy_admit(const struct policy_grant *g, const char *permission, enum policy_document kind,
		 const struct json_t *doc, const struct policy_facts *facts, struct err *e);
int policy_admit_bind(const struct policy_grant *g, const char *permission, const char *real_path, bool writable,
		      struct err *e);
int policy_admit_image(const struct policy_grant *g, const char *permission, const char *name, bool by_digest,
		       struct err *e);

/*
 * The public keys (PEM) of which one must have signed what goes by this full name, by the engine's own rules for
 * images. *keys belongs to the policy. 0: no signature is asked for. *rule (may be NULL): the rule's number.
 */
size_t policy_image_keys(const struct policy *p, const char *name, const char *const **keys, size_t *rule);

#endif
