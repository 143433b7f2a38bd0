#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "ipc/codec.h"
#include "lib/config.h"
#include "lib/guard_private.h"
#include "lib/log.h"
#include "lib/sha256.h"
#include "lib/util.h"

/* A change waits this long for its record before it is refused. */
#define RECORD_TIMEOUT_MS 5000

/* ---- the digest ---- */

static bool secret(const struct ipc_field *f)
{
	return f->where == W_HEADER || (f->type == T_DOC && str_starts(schema_name((enum schema_id)f->rule), "AUTH_"));
}

static void add_number(struct sha256 *s, int64_t v)
{
	char text[32];

	sha256_add(s, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v));
}

static int add_json(const char *data, size_t len, void *s)
{
	sha256_add(s, data, len);
	return 0;
}

static void add_value(struct sha256 *s, const struct ipc_field *f, const void *p)
{
	const struct ipc_doc *doc = p;

	if (f->type == T_BOOL)
		add_number(s, *(const bool *)p);
	else if (f->type == T_U32)
		add_number(s, *(const uint32_t *)p);
	else if (f->type == T_U64)
		add_number(s, (int64_t) * (const uint64_t *)p);
	else if (f->type == T_I64)
		add_number(s, *(const int64_t *)p);
	else if (f->type == T_STR && *(const char *const *)p)
		sha256_add(s, *(const char *const *)p, strlen(*(const char *const *)p));
	else if (f->type == T_BYTES && ((const struct ipc_bytes *)p)->data)
		sha256_add(s, ((const struct ipc_bytes *)p)->data, ((const struct ipc_bytes *)p)->len);
	else if (f->type == T_DOC && doc->json)
		json_dump_callback(doc->json, add_json, s, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	else if (f->type == T_DOC && doc->raw.data)
		sha256_add(s, doc->raw.data, doc->raw.len);
}

static bool of_asker(const struct ipc_field *f)
{
	return f->offset < sizeof(struct ipc_asker);
}

void guard_digest(const struct ipc_message *message, const void *msg, char hex[65])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, message->name, strlen(message->name) + 1);
	for (size_t i = 0; i < message->nfields; i++) {
		const struct ipc_field *f = &message->fields[i];
		if ((message->op && of_asker(f)) || f->type == T_FD || secret(f))
			continue;
		sha256_add(&s, f->name, strlen(f->name) + 1);
		add_value(&s, f, (const char *)msg + f->offset);
		sha256_add(&s, "", 1);
	}
	sha256_hex(&s, hex);
}

/* ---- what the request is about ---- */

/* Texts of these grammars name objects; no other text of a request goes on record. */
static bool names_object(const struct ipc_field *f)
{
	static const enum grammar names[] = {G_CONTAINER_REF, G_CONTAINER_OR_LINK, G_CONTAINER_NAME, G_IMAGE_REF, G_TAG,
					     G_DIGEST,	      G_VOLUME_NAME,	   G_NETWORK_REF};

	if (f->type != T_STR || (f->where != W_PATH && f->where != W_QUERY))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (f->rule == (int)names[i])
			return true;
	return false;
}

static void add_object(json_t *objects, const char *kind, const char *id)
{
	json_t *list = json_object_get(objects, kind);

	if (!list) {
		list = json_array();
		json_object_set_new(objects, kind, list);
	}
	json_array_append_new(list, json_string(id));
}

/* {"asked": ["web"], "container": ["4f2a…"]}; NULL when there is nothing. */
static json_t *objects_of(const struct guard_record *r)
{
	const struct ipc_message *message = r->message;
	const struct ipc_request *req = r->req;
	const void *msg = req ? ipc_request_msg(req) : r->msg;
	json_t *objects = json_object();
	const char *kind, *id;

	for (size_t i = 0; msg && i < message->nfields; i++) {
		const struct ipc_field *f = &message->fields[i];
		const char *text = names_object(f) ? *(const char *const *)((const char *)msg + f->offset) : NULL;
		if (text)
			add_object(objects, "asked", text);
	}
	for (size_t i = 0; req && ipc_request_object_at(req, i, &kind, &id); i++)
		add_object(objects, kind, id);
	if (json_object_size(objects))
		return objects;
	json_decref(objects);
	return NULL;
}

const struct config_listener *guard_listener(const struct config *config, const struct caller *caller)
{
	if (!caller->local)
		return caller->listener < config->listeners.n &&
				       config->listeners.v[caller->listener].type != LISTENER_UNIX
			       ? &config->listeners.v[caller->listener]
			       : NULL;
	for (size_t i = 0; i < config->listeners.n; i++) {
		const struct config_listener *l = &config->listeners.v[i];
		if (l->type == LISTENER_UNIX && strcmp(l->path, caller->socket) == 0)
			return l;
	}
	return NULL;
}

/* ---- sending ---- */

struct waiting {
	struct ipc_request *req;
	void (*ready)(struct ipc_request *req, int result);
};

static void on_recorded(void *arg, void *reply, const struct err *e)
{
	struct waiting *w = arg;

	(void)reply;
	if (e)
		log_error("audit record not written: %s", e->text);
	if (!w)
		return;
	struct waiting now = *w;
	free(w);
	now.ready(now.req, e ? e->code : 0);
}

static const struct ipc_call_events events = {.done = on_recorded};

static const char *listener_name(const struct guard *g, const struct caller *c)
{
	const struct config_listener *l = c ? guard_listener(g->d->config, c) : NULL;

	if (l && l->name[0])
		return l->name;
	return c ? c->socket : "";
}

static int send_record(struct guard *g, const struct guard_record *r, struct waiting *w, struct err *e)
{
	static const struct caller nobody = {.uid = (uid_t)-1, .loginuid = CALLER_NO_LOGINUID};
	const struct caller *c = r->caller ? r->caller : &nobody;
	struct ipc_call_options options = {.deadline_ms = RECORD_TIMEOUT_MS, .repeatable = true};
	json_auto_t *objects = objects_of(r);
	char request[128];
	struct audit_append m;

	snprintf(request, sizeof request, "%d.%llu%s%.64s", (int)getpid(),
		 r->req ? (unsigned long long)ipc_request_id(r->req) : 0ull, r->audit_id ? "/" : "",
		 r->audit_id ? r->audit_id : "");
	ipc_init(IPC_audit_append, &m);
	m.stage = r->stage;
	m.request = request;
	m.operation = r->message->name;
	m.permission = r->permission ? r->permission : r->message->op->permission;
	m.principal = r->principal;
	m.listener = listener_name(g, r->caller);
	m.local = c->local;
	m.uid = c->uid;
	m.auid = c->loginuid;
	m.pid = (uint32_t)c->pid;
	m.cgroup = c->cgroup;
	m.attested = c->attested[0] ? c->attested : NULL;
	m.objects.json = objects;
	m.status = (uint32_t)r->status;
	m.reason = r->reason;
	m.digest = r->digest && r->digest[0] ? r->digest : NULL;
	return ipc_call(g->audit, IPC_audit_append, &m, &options, &events, w, e) ? 0 : e->code ? e->code : -EIO;
}

void guard_record(struct guard *g, const struct guard_record *record)
{
	struct err e = {0};

	if (send_record(g, record, NULL, &e) < 0)
		log_error("audit record of %s not written: %s", record->message->name, e.text);
}

void guard_record_first(struct guard *g, const struct guard_record *record, struct ipc_request *req,
			void (*ready)(struct ipc_request *req, int result))
{
	struct waiting *w = XNEW(struct waiting);
	struct err e = {0};

	*w = (struct waiting){.req = req, .ready = ready};
	int r = send_record(g, record, w, &e);
	if (r < 0) {
		log_error("audit record of %s not written: %s", record->message->name, e.text);
		free(w);
		ready(req, r);
	}
}
