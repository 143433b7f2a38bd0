/* auditd: owns the audit chain: one append-only file at a time, no capability, no peer that it calls. */
#include "auditd/auditd.h"

#include <stdio.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"

/* ---- appending ---- */

static void on_sync(evutil_socket_t fd, short what, void *arg)
{
	struct auditd *d = arg;
	struct err e;

	(void)fd;
	(void)what;
	if (chain_sync(d->chain, &e) < 0)
		log_error("%s", e.text);
}

/* At once where the config says so, else within audit.fsync. */
static int make_durable(struct auditd *d, struct err *e)
{
	uint32_t ms = d->daemon.config->audit_fsync;
	struct timeval after = timeval_ms(ms);

	if (ms == 0)
		return chain_sync(d->chain, e);
	if (!evtimer_pending(d->sync, NULL))
		evtimer_add(d->sync, &after);
	return 0;
}

static int append(struct auditd *d, const json_t *record, struct err *e)
{
	AUTO_FREE char *line = NULL;
	int r = chain_append(d->chain, record, d->copy ? &line : NULL, e);

	if (r == 0)
		r = make_durable(d, e);
	if (r == 0 && line)
		copy_send(d->copy, line);
	return r;
}

/* auditd's own words: when it begins, ends and gets a new policy. */
static void append_own(struct auditd *d, const char *stage)
{
	json_auto_t *record =
		json_pack("{s:s,s:i,s:s}", "daemon", "auditd", "daemon_pid", (int)getpid(), "stage", stage);
	struct err e;

	if (append(d, record, &e) < 0)
		log_error("audit record \"%s\" not written: %s", stage, e.text);
}

static void set_text(json_t *record, const char *name, const char *text)
{
	if (text && text[0])
		json_object_set_new(record, name, json_string(text));
}

static json_t *client_of(const struct audit_append *m)
{
	json_t *client = json_pack("{s:s}", "principal", m->principal);

	if (m->local) {
		json_object_set_new(client, "uid", json_integer(m->uid));
		if (m->auid != UINT32_MAX)
			json_object_set_new(client, "auid", json_integer(m->auid));
		json_object_set_new(client, "pid", json_integer(m->pid));
		set_text(client, "cgroup", m->cgroup);
	}
	set_text(client, "attested", m->attested);
	set_text(client, "listener", m->listener);
	return client;
}

static void on_audit_append(struct ipc_request *req, struct audit_append *m, struct auditd *d)
{
	enum process_id sender = ipc_request_sender(req);
	json_auto_t *record = json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:o}", "daemon", process_name(sender), "daemon_pid",
					(int)ipc_request_sender_pid(req), "stage", m->stage, "request", m->request,
					"operation", m->operation, "permission", m->permission, "client", client_of(m));
	struct err e = {0};

	if (m->objects.json)
		json_object_set(record, "objects", m->objects.json);
	set_text(record, "digest", m->digest);
	if (m->status)
		json_object_set_new(record, "status", json_integer(m->status));
	set_text(record, "reason", m->reason);
	if (append(d, record, &e) < 0) {
		log_error("%s: %s", m->operation, e.text);
		ipc_reply_error(req, &e);
		return;
	}
	struct audit_appended reply = {.sequence = chain_head(d->chain).sequence};
	ipc_reply(req, &reply);
}

static void on_audit_end(struct ipc_request *req, struct audit_end *m, struct auditd *d)
{
	struct audit_head head = chain_head(d->chain);
	struct audit_ended reply = {.sequence = head.sequence, .hash = head.hash};

	(void)m;
	ipc_reply(req, &reply);
}

static void on_service_status(struct ipc_request *req, struct service_status *m, struct auditd *d)
{
	json_t *state = daemon_state_json(&d->daemon);
	struct service_state reply = {.state = {.json = state}};

	(void)m;
	ipc_reply(req, &reply);
	json_decref(state);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(audit_append, struct auditd),
	IPC_HANDLER(audit_end, struct auditd),
	IPC_HANDLER(service_status, struct auditd),
};

/* ---- life ---- */

static void on_reload(struct daemon *daemon, void *arg)
{
	struct auditd *d = arg;

	chain_set_limits(d->chain, daemon->config->audit_rotate_size, daemon->config->audit_rotate_count);
	append_own(d, "reloaded");
}

static int serve(struct auditd *d, struct err *e)
{
	const struct config *config = d->daemon.config;
	const struct ipc_server_config server = {
		.self = PROC_auditd,
		.listen_fd = d->daemon.listen_fd,
		.ids_base = config->ids_base,
		.handlers = handlers,
		.nhandlers = ARRAY_LEN(handlers),
		.daemon = d,
		.proc_fd = -1,
		.max_requests = 4096,
	};
	int r = chain_open(d->daemon.root_fd, config->audit_rotate_size, config->audit_rotate_count, &d->chain, e);

	if (r < 0)
		return r;
	d->sync = evtimer_new(d->daemon.base, on_sync, d);
	append_own(d, "started");
	return ipc_server_new(d->daemon.base, &server, &d->server, e);
}

static void clean(struct auditd *d)
{
	ipc_server_free(d->server);
	if (d->sync)
		event_free(d->sync);
	chain_free(d->chain);
	copy_free(d->copy);
}

int main(int argc, char **argv)
{
	struct auditd d = {0};
	struct err e = {0};

	daemon_init(&d.daemon, PROC_auditd, argc, argv);
	d.daemon.arg = &d;
	d.daemon.reload = on_reload;
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write(2), not an end */
	d.copy = copy_new(d.daemon.config);
	daemon_confine(&d.daemon);
	if (serve(&d, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	const int code = daemon_run(&d.daemon);
	append_own(&d, "stopped");
	clean(&d);
	return code;
}
