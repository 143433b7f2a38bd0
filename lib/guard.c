#include "lib/guard.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "ipc/codec.h"
#include "lib/config.h"
#include "lib/guard_private.h"
#include "lib/log.h"
#include "lib/util.h"

/* How long runtimed may take to say whose id range a uid is in. */
#define IDENTIFY_TIMEOUT_MS 5000
/* To auditd and to runtimed, in flight or waiting: more than all clients' requests together. */
#define CALLS_MAX 4096

static int deny(struct err *e, const char *principal, const char *permission)
{
	return err_http(e, 403, "permission denied: %s has no permission %s", principal, permission);
}

/* ---- who is the caller, to the policy? ---- */

static bool in_containers_ids(const struct config *c, const struct caller *caller)
{
	uint64_t end = (uint64_t)c->ids_containers_base + (uint64_t)c->ids_containers_count * c->ids_containers_size;

	return caller->local && caller->uid >= c->ids_containers_base && caller->uid < end;
}

static bool some_listener_has_role(const struct config *c)
{
	for (size_t i = 0; i < c->listeners.n; i++)
		if (c->listeners.v[i].role[0])
			return true;
	return false;
}

/* *out is the grant; -EPERM when the way in contradicts itself. `container`: that the caller is in, NULL for none. */
static int grant_for(struct guard *g, const struct caller *caller, const struct guard_container *container,
		     struct policy_grant **out, struct err *e)
{
	const struct config *config = g->d->config;
	const struct config_listener *l = guard_listener(config, caller);
	struct policy_who who = {.caller = caller};

	/* A listener that is not known may be one whose role is less than what the client's ids would give. */
	if (!l && (!caller->local || some_listener_has_role(config)))
		return err_http(e, 403, "permission denied: the client came in by no listener of the config");
	if (l) {
		who.listener = l->name[0] ? l->name : NULL;
		who.listener_role = l->role;
	}
	if (container) {
		who.container = container->id;
		who.labels = container->labels;
	}
	*out = policy_grant_new(g->policy, &who);
	return 0;
}

/* ---- the plug ---- */

static void note_free(void *p)
{
	struct guard_note *note = p;

	policy_grant_free(note->grant);
	json_decref(note->container.labels);
	free(note);
}

/* An id in a container's range that no container has: it gets what its listener gives, and nothing else. */
static const struct guard_container unknown_container = {.id = "unknown"};

struct identifying {
	struct guard *guard;
	struct ipc_request *req;
	void (*ready)(struct ipc_request *req, const struct err *e);
};

static void on_identified(void *arg, void *reply, const struct err *e)
{
	struct identifying i = *(struct identifying *)arg;
	const struct container_of_uid_is *is = reply;
	struct guard_note *note = ipc_request_note(i.req);
	struct err failed;

	free(arg);
	if (!is) {
		err_http(&failed, 503, "the caller's container could not be found out: %s", e->text);
		i.ready(i.req, &failed);
		return;
	}
	if (is->id) {
		snprintf(note->container.id, sizeof note->container.id, "%s", is->id);
		note->container.labels = json_incref(is->labels.json);
	}
	i.ready(i.req, NULL);
}

static void ask_runtimed(struct guard *g, struct ipc_request *req,
			 void (*ready)(struct ipc_request *req, const struct err *e))
{
	static const struct ipc_call_events events = {.done = on_identified};
	static const struct ipc_call_options options = {.deadline_ms = IDENTIFY_TIMEOUT_MS, .repeatable = true};
	struct identifying *i = XNEW(struct identifying);
	struct container_of_uid m;
	struct err e = {0};

	*i = (struct identifying){g, req, ready};
	ipc_init(IPC_container_of_uid, &m);
	m.uid = ipc_request_caller(req)->uid;
	if (!ipc_call(g->runtimed, IPC_container_of_uid, &m, &options, &events, i, &e))
		on_identified(i, NULL, &e);
}

static void on_identify(void *arg, struct ipc_request *req, void (*ready)(struct ipc_request *req, const struct err *e))
{
	struct guard *g = arg;
	const struct caller *caller = ipc_request_caller(req);
	struct guard_note *note = XNEW(struct guard_note);

	note->guard = g;
	ipc_request_set_note(req, note, note_free);
	if (!in_containers_ids(g->d->config, caller)) {
		ready(req, NULL);
		return;
	}
	note->container = unknown_container;
	if (g->runtimed) {
		ask_runtimed(g, req, ready);
		return;
	}
	if (g->hooks.container && g->hooks.container(g->hooks.arg, caller->uid, &note->container) < 0)
		note->container = unknown_container;
	ready(req, NULL);
}

static const struct guard_note *note_of(const struct ipc_request *req)
{
	return ipc_request_note(req);
}

static const char *audit_id(const struct ipc_request *req)
{
	return ((const struct ipc_asker *)ipc_request_msg(req))->audit_id;
}

static struct guard_record record_of(const struct ipc_request *req, const char *stage)
{
	const struct guard_note *note = note_of(req);

	return (struct guard_record){
		.stage = stage,
		.message = ipc_request_message(req),
		.caller = ipc_request_caller(req),
		.principal = note && note->grant ? policy_grant_principal(note->grant) : "unknown",
		.audit_id = audit_id(req),
		.req = req,
		.digest = note ? note->digest : NULL,
	};
}

static void record_denial(struct guard *g, const struct ipc_request *req, const char *permission, const struct err *e)
{
	struct guard_record record = record_of(req, "denied");

	record.permission = permission;
	record.status = err_status(e);
	record.reason = e->text;
	guard_record(g, &record);
}

static int on_allow(void *arg, struct ipc_request *req, struct err *e)
{
	struct guard *g = arg;
	const struct ipc_op *op = ipc_request_message(req)->op;
	struct guard_note *note = ipc_request_note(req);
	struct policy_grant *grant = NULL;

	int r = grant_for(g, ipc_request_caller(req), note->container.id[0] ? &note->container : NULL, &grant, e);
	if (r < 0) {
		record_denial(g, req, NULL, e);
		return r;
	}
	note->grant = grant;
	bool allowed = policy_allows(grant, op->permission);
	if (!allowed || op->effect != SAFE)
		guard_digest(ipc_request_message(req), ipc_request_msg(req), note->digest);
	if (!allowed) {
		r = deny(e, policy_grant_principal(grant), op->permission);
		record_denial(g, req, NULL, e);
		return r;
	}
	if (op->effect == REVEAL) {
		struct guard_record record = record_of(req, "revealed");
		guard_record(g, &record);
	}
	return 0;
}

static void on_before(void *arg, struct ipc_request *req, void (*ready)(struct ipc_request *req, int result))
{
	struct guard_note *note = ipc_request_note(req);
	struct guard_record record = record_of(req, "decided");

	/* If the record fails, the request ends as 503, and on_after() takes that for its end. */
	note->decided = true;
	guard_record_first(arg, &record, req, ready);
}

static void on_after(void *arg, struct ipc_request *req, int status)
{
	const struct guard_note *note = note_of(req);

	if (note && note->decided) {
		struct guard_record record = record_of(req, "done");
		record.status = status;
		guard_record(arg, &record);
	} else if (!ipc_request_caller(req) && status == 403) {
		struct guard_record record = record_of(req, "denied");
		record.status = status;
		record.reason = "the client's identity was refused";
		guard_record(arg, &record);
	}
}

/* ---- life ---- */

int guard_new(struct daemon *d, const struct guard_hooks *hooks, struct guard **out, struct err *e)
{
	struct policy *policy;
	int r = policy_parse(d->config->policy_path, d->policy.text, d->policy.len, d->config, &policy, e);

	if (r < 0)
		return r;
	struct guard *g = XNEW(struct guard);
	g->d = d;
	if (hooks)
		g->hooks = *hooks;
	g->policy = policy;
	g->plug = (struct ipc_guard){
		.arg = g,
		.identify = on_identify,
		.allow = on_allow,
		.before = on_before,
		.after = on_after,
	};
	g->audit = daemon_client(d, PROC_auditd, CALLS_MAX);
	if (d->id != PROC_runtimed)
		g->runtimed = daemon_client(d, PROC_runtimed, CALLS_MAX);
	*out = g;
	return 0;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	ipc_client_free(g->runtimed); /* before audit: what it was asked for ends as a refusal, and that is recorded */
	ipc_client_free(g->audit);
	policy_unref(g->policy);
	free(g);
}

int guard_serve(struct guard *g, const struct ipc_handler *handlers, size_t n, void *daemon, struct ipc_server **out,
		struct err *e)
{
	const struct ipc_server_config config = {
		.self = g->d->id,
		.listen_fd = g->d->listen_fd,
		.ids_base = g->d->config->ids_base,
		.handlers = handlers,
		.nhandlers = n,
		.daemon = daemon,
		.guard = &g->plug,
		.proc_fd = g->d->proc_fd,
	};

	return ipc_server_new(g->d->base, &config, out, e);
}

void guard_reload(struct guard *g)
{
	struct policy *policy;
	const struct daemon *d = g->d;
	struct err e = {0};

	g->generation++; /* the config has changed, even where the policy cannot */
	if (policy_parse(d->config->policy_path, d->policy.text, d->policy.len, d->config, &policy, &e) < 0) {
		log_error("the new policy is not taken: %s", e.text);
		return;
	}
	policy_unref(g->policy);
	g->policy = policy;
}

/* ---- for handlers ---- */

const struct policy_grant *guard_grant(const struct ipc_request *req)
{
	const struct guard_note *note = note_of(req);

	return note ? note->grant : NULL;
}

bool guard_may(const struct ipc_request *req, const char *permission)
{
	const struct guard_note *note = note_of(req);

	return note && policy_allows(note->grant, permission);
}

int guard_require(struct ipc_request *req, const char *permission, struct err *e)
{
	const struct guard_note *note = note_of(req);

	if (note && policy_allows(note->grant, permission))
		return 0;
	deny(e, note ? policy_grant_principal(note->grant) : "unknown", permission);
	if (note)
		record_denial(note->guard, req, permission, e);
	return -EPERM;
}

const char *guard_owner(const struct ipc_request *req)
{
	const struct guard_note *note = note_of(req);

	return note ? policy_grant_principal(note->grant) : "";
}

bool guard_sees(const struct ipc_request *req, const char *owner)
{
	const struct guard_note *note = note_of(req);

	return note && policy_sees(note->grant, ipc_request_message(req)->op->permission, owner);
}

bool guard_sees_all(const struct ipc_request *req)
{
	return guard_sees(req, "*"); /* no principal is called so */
}

static int admitted(struct ipc_request *req, int r, const struct err *e)
{
	const struct guard_note *note = note_of(req);

	if (r < 0 && note)
		record_denial(note->guard, req, NULL, e);
	return r;
}

int guard_admit(struct ipc_request *req, enum policy_document kind, const struct json_t *doc,
		const struct policy_facts *facts, struct err *e)
{
	const struct guard_note *note = note_of(req);
	const char *permission = ipc_request_message(req)->op->permission;
	struct policy_facts known = facts ? *facts : (struct policy_facts){0};

	if (!note)
		return deny(e, "unknown", permission);
	known.config = note->guard->d->config;
	return admitted(req, policy_admit(note->grant, permission, kind, doc, &known, e), e);
}

int guard_admit_bind(struct ipc_request *req, const char *real_path, bool writable, struct err *e)
{
	const struct guard_note *note = note_of(req);
	const char *permission = ipc_request_message(req)->op->permission;

	if (!note)
		return deny(e, "unknown", permission);
	return admitted(req, policy_admit_bind(note->grant, permission, real_path, writable, e), e);
}

int guard_admit_image(struct ipc_request *req, const char *name, bool by_digest, struct err *e)
{
	const struct guard_note *note = note_of(req);
	const char *permission = ipc_request_message(req)->op->permission;

	if (!note)
		return deny(e, "unknown", permission);
	return admitted(req, policy_admit_image(note->grant, permission, name, by_digest, e), e);
}

size_t guard_image_keys(const struct guard *g, const char *name, const char *const **keys, size_t *rule)
{
	return policy_image_keys(g->policy, name, keys, rule);
}

json_t *guard_redact_env(const json_t *env)
{
	json_t *out = json_array();
	size_t i;
	json_t *text;

	json_array_foreach(env, i, text) {
		const char *s = json_is_string(text) ? json_string_value(text) : "";
		json_array_append_new(out, json_sprintf("%.*s=***", (int)strcspn(s, "="), s));
	}
	return out;
}

/* ---- for apid ---- */

void guard_forget(struct guard_known *known)
{
	policy_grant_free(STEAL(known->grant));
}

static int grant_known(struct guard *g, const struct caller *caller, struct guard_known *known, bool in_container,
		       struct err *e)
{
	if (known->grant && known->generation == g->generation)
		return 0;
	guard_forget(known);
	known->generation = g->generation;
	return grant_for(g, caller, in_container ? &unknown_container : NULL, &known->grant, e);
}

int guard_check(struct guard *g, const struct caller *caller, struct guard_known *known,
		const struct ipc_message *message, const void *msg, const char *id, bool mine, struct err *e)
{
	struct guard_record record = {
		.stage = "denied",
		.message = message,
		.msg = msg,
		.caller = caller,
		.principal = "unknown",
		.audit_id = id,
	};

	bool in_container = in_containers_ids(g->d->config, caller);

	/* Which container it is, the owner finds out. Whoever may connect may know what answers. */
	if (in_container && (!mine || strcmp(message->op->permission, "system.version") == 0))
		return 0;
	int r = grant_known(g, caller, known, in_container, e);
	if (r == 0 && !policy_allows(known->grant, message->op->permission))
		r = deny(e, policy_grant_principal(known->grant), message->op->permission);
	if (r < 0) {
		record.principal = known->grant ? policy_grant_principal(known->grant) : "unknown";
		record.status = err_status(e);
		record.reason = e->text;
		guard_record(g, &record);
	}
	return r;
}
