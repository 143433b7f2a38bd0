/*
 * guard: who may do what, and who remembers it: the engine's struct ipc_guard. Every daemon that owns operations
 * makes
 * one and serves with it:
 *
 *   daemon_init(…);
 *   guard_new(&d, &hooks, &guard, &e);              before daemon_confine(): it may look up a group's name
 *   daemon_confine(&d);
 *   guard_serve(guard, handlers, ARRAY_LEN(handlers), &daemon, &server, &e);
 *   ... in d.reload: guard_reload(guard);
 *
 * What it does for each OP, without the handler's help: finds the caller's roles in the policy, demands the OP's
 * permission (403 naming it), and writes the audit records: CHANGE "decided" before the handler and "done" with the
 * status, REVEAL "revealed", every denial "denied". While the audit log cannot be written, changes are 503.
 *
 * What is left to handlers: guard_may() for parts of an answer, guard_sees() and guard_owner() for objects with an
 * owner, guard_admit_…() for what a request asks for, ipc_request_object() for what the record shall name.
 */
#ifndef POUCH_LIB_GUARD_H
#define POUCH_LIB_GUARD_H

#include "ipc/caller.h"
#include "ipc/server.h"
#include "lib/daemon.h"
#include "lib/policy.h"

struct guard;
struct json_t;

/* A container as the policy sees it, when one of its processes is the client. */
struct guard_container {
	char id[65];
	struct json_t *labels; /* name → text; a new reference */
};

struct guard_hooks {
	void *arg;
	/*
	 * Whose id range holds `uid`: 0 with *out filled, -ENOENT when no container has it. Only runtimed knows;
	 * the other daemons leave it NULL, and runtimed is asked for them.
	 */
	int (*container)(void *arg, uid_t uid, struct guard_container *out);
};

/*
 * Parse d->policy and prepare the connection to auditd. `hooks` may be NULL; it is copied. `d` must outlive the
 * guard.
 * -EINVAL with file, line and key for a bad policy.
 */
int guard_new(struct daemon *d, const struct guard_hooks *hooks, struct guard **out, struct err *e);
void guard_free(struct guard *g);
/*
 * A server on the daemon's own socket, whose requests this guard decides on and records. `handlers` must be static;
 * `daemon` is handed to them. What it returns is the caller's, and is freed before the guard.
 */
int guard_serve(struct guard *g, const struct ipc_handler *handlers, size_t n, void *daemon, struct ipc_server **out,
		struct err *e);
/* d->policy and d->config are new: take them. On failure the old policy stays, and the log says why. */
void guard_reload(struct guard *g);

/* ---- for handlers; `req` is an OP that this guard has let through ---- */

/* Does the caller have this further permission? E.g. "container.inspect.env" for environment values. */
bool guard_may(const struct ipc_request *req, const char *permission);
/* The same as a check: 0, or -EPERM with status 403 and the permission's name. The denial is recorded. */
int guard_require(struct ipc_request *req, const char *permission, struct err *e);

/* What to store as the owner of an object that this request makes: "uid:1000", "cert:CN=ops", "container:ID". */
const char *guard_owner(const struct ipc_request *req);
/*
 * May the caller know of an object with this owner (NULL or "": nobody's)? False: answer exactly as if it did not
 * exist,
 * and leave it out of lists and events.
 */
bool guard_sees(const struct ipc_request *req, const char *owner);
/* Does it see every owner's? */
bool guard_sees_all(const struct ipc_request *req);

/*
 * What a caller asks for, against the rules of its roles; `doc` is the decoded, canonical document, `facts` may be
 * NULL. 0, or -EPERM with status
 * 403 naming field, value and rule. The denial is recorded.
 */
int guard_admit(struct ipc_request *req, enum policy_document kind, const struct json_t *doc,
		const struct policy_facts *facts, struct err *e);
/* A bind's source: the path of the opened descriptor itself (/proc/self/fd/N), which is then what gets mounted. */
int guard_admit_bind(struct ipc_request *req, const char *real_path, bool writable, struct err *e);
/* An image's full name ("docker.io/library/busybox:latest"); `by_digest`: the reference names its content. */
int guard_admit_image(struct ipc_request *req, const char *name, bool by_digest, struct err *e);

/* policy_image_keys() of the policy that is in force. */
size_t guard_image_keys(const struct guard *g, const char *name, const char *const **keys, size_t *rule);

/*
 * "NAME=value" texts with the values struck out, for callers without "container.inspect.env" (images:
 * "image.inspect.env"). A new list.
 */
struct json_t *guard_redact_env(const struct json_t *env);

/* The grant itself, for policy_…() calls; lives as long as the request. */
const struct policy_grant *guard_grant(const struct ipc_request *req);

/* ---- for apid ---- */

/* What a client may do, kept with its connection: worked out once, and again when policy or config have changed. */
struct guard_known {
	struct policy_grant *grant;
	unsigned generation;
};

void guard_forget(struct guard_known *known);

/*
 * The early decision, before a request is read to its end or forwarded. `known` belongs to this caller; zeroed at
 * first. `msg`: the message, as far as it is filled. `mine`: apid answers it itself, nobody decides after it.
 * Otherwise a caller from inside a container is let through: its roles are known to the owner. A denial is recorded.
 */
int guard_check(struct guard *g, const struct caller *caller, struct guard_known *known,
		const struct ipc_message *message, const void *msg, const char *audit_id, bool mine, struct err *e);

#endif
