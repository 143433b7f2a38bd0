/* guard_private: the inside of the guard, for lib/guard*.c only. */
#ifndef POUCH_LIB_GUARD_PRIVATE_H
#define POUCH_LIB_GUARD_PRIVATE_H

#include "ipc/client.h"
#include "lib/guard.h"

struct guard {
	struct daemon *d;
	struct guard_hooks hooks;
	struct policy *policy;
	unsigned generation; /* of policy and config: one more at each reload */
	struct ipc_client *audit;
	struct ipc_client *runtimed; /* knows whose id range a uid is in; NULL in runtimed itself */
	struct ipc_guard plug;
};

/* What the guard keeps with a request. */
struct guard_note {
	struct guard *guard;
	struct policy_grant *grant;	  /* NULL until it has been identified */
	struct guard_container container; /* that the caller is in; "" for none */
	bool decided;			  /* "decided" is on record, so "done" has to follow */
	char digest[65];
};

/* What a record says, beside what auditd adds. */
struct guard_record {
	const char *stage;
	const struct ipc_message *message;
	const void *msg;	     /* of `message`; NULL: that of `req` */
	const struct caller *caller; /* NULL: its socket was refused */
	const char *principal;
	const char *audit_id;	       /* apid's id of the HTTP request */
	const struct ipc_request *req; /* NULL in apid */
	const char *permission;	       /* NULL: the operation's own */
	const char *digest;	       /* NULL without */
	int status;
	const char *reason;
};

/* The listener that the client came in by, by the kernel's word for local ones; NULL when it is not known. */
const struct config_listener *guard_listener(const struct config *config, const struct caller *caller);

/* SHA-256 of the decoded request without what is secret in it: credentials in headers and bodies. */
void guard_digest(const struct ipc_message *message, const void *msg, char hex[65]);

/* Record and go on; what cannot be recorded is logged. */
void guard_record(struct guard *g, const struct guard_record *record);
/* Record, then `ready` with 0 or -errno. */
void guard_record_first(struct guard *g, const struct guard_record *record, struct ipc_request *req,
			void (*ready)(struct ipc_request *req, int result));

#endif
