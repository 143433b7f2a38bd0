#include "ipc/request.h"

#include <errno.h>
#include <jansson.h>

#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"

/* ---- life ---- */

struct ipc_request *request_find(struct ipc_peer *peer, uint64_t wire_id)
{
	struct ipc_request *req;

	TAILQ_FOREACH(req, &peer->requests, next)
		if (req->wire_id == wire_id)
			return req;
	return NULL;
}

static void detach(struct ipc_request *req)
{
	if (!req->peer)
		return;
	TAILQ_REMOVE(&req->peer->requests, req, next);
	req->peer->nrequests--;
	req->peer = NULL;
}

static void request_free(struct ipc_request *req)
{
	detach(req);
	if (req->deadline)
		event_free(req->deadline);
	for (size_t i = 0; i < req->nobjects; i++) {
		free(req->objects[i].kind);
		free(req->objects[i].id);
	}
	if (req->note_free)
		req->note_free(req->note);
	if (req->has_caller)
		caller_clean(&req->caller);
	channel_msg_free(req->message, req->msg);
	struct ipc_server *s = req->server;
	free(req);
	if (--s->unanswered == 0 && s->freed)
		free(s);
}

/* ---- sending ---- */

static int send_to_peer(struct ipc_request *req, enum ipc_kind kind, uint16_t number, void *msg, struct err *e)
{
	struct ipc_head head = {.message = ipc_message(number), .kind = kind, .id = req->wire_id};

	if (!req->peer)
		return err_set(e, -ECANCELED, "the peer has gone");
	return channel_send(req->peer->channel, &head, msg, e);
}

/* The one place where a request ends: audit, reply, gone. */
static void finish(struct ipc_request *req, int status, enum ipc_kind kind, uint16_t number, void *msg)
{
	const struct ipc_guard *guard = req->server->config.guard;
	struct err e = {0};

	if (req->message->op && guard && guard->after)
		guard->after(guard->arg, req, status);
	int r = send_to_peer(req, kind, number, msg, &e);
	/* Where the peer has gone meanwhile nobody waits for it. */
	if (r < 0 && r != -ECANCELED && r != -EPIPE && r != -ECONNRESET) {
		struct failure failure = {.code = -EIO, .status = 500, .text = e.text};
		log_req(LOG_LEVEL_ERROR, req->id, "%s: answer not sent: %s", req->message->name, e.text);
		send_to_peer(req, K_ERROR, IPC_failure, &failure, NULL);
	}
	request_free(req);
}

void ipc_reply(struct ipc_request *req, void *reply)
{
	finish(req, 200, K_END, req->message->reply, reply);
}

void ipc_reply_done(struct ipc_request *req)
{
	struct api_reply api = {.status = 200};
	struct done done = {};

	if (req->message->op)
		finish(req, 200, K_END, IPC_api_reply, &api);
	else if (req->message->reply == IPC_done)
		finish(req, 200, K_END, IPC_done, &done);
	else
		ipc_fail(req, 500, "%s was answered without its reply", req->message->name);
}

void ipc_reply_text(struct ipc_request *req, int status, const char *text, size_t len)
{
	struct api_reply api = {.status = (uint32_t)status, .body = {.data = text, .len = len}};

	finish(req, status, K_END, IPC_api_reply, &api);
}

void ipc_reply_json(struct ipc_request *req, int status, struct json_t *take_body)
{
	char *text = take_body ? json_dumps(take_body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	json_decref(take_body);
	ipc_reply_text(req, status, text, text ? strlen(text) : 0);
	free_cleared(text);
}

void ipc_reply_api(struct ipc_request *req, struct api_reply *reply)
{
	finish(req, (int)reply->status, K_END, IPC_api_reply, reply);
}

void ipc_reply_error(struct ipc_request *req, const struct err *e)
{
	struct failure failure = {
		.code = e->code <= -1 && e->code >= -4095 ? e->code : -EIO,
		.status = (uint32_t)err_status(e),
		.text = e->text,
	};

	if (!grammar_check(G_TEXT, e->text, strlen(e->text)))
		failure.text = "failed (the reason holds bytes that are not text)";
	finish(req, (int)failure.status, K_ERROR, IPC_failure, &failure);
}

void ipc_fail(struct ipc_request *req, int status, const char *fmt, ...)
{
	struct err e;
	va_list ap;

	va_start(ap, fmt);
	err_setv(&e, err_code_of_status(status), fmt, ap);
	va_end(ap);
	e.status = status;
	ipc_reply_error(req, &e);
}

/* ---- streams ---- */

int ipc_chunk(struct ipc_request *req, const void *data, size_t len)
{
	const char *p = data;

	if (!req->peer || req->cancelled)
		return -ECANCELED;
	if (req->credit <= 0)
		return -EAGAIN;
	do {
		size_t part = len < IPC_INLINE_MAX / 2 ? len : IPC_INLINE_MAX / 2;
		struct chunk chunk = {.data = {.data = p, .len = part}, .pipe = -1};
		int r = send_to_peer(req, K_CHUNK, IPC_chunk, &chunk, NULL);
		if (r < 0)
			return r;
		p += part;
		len -= part;
	} while (len);
	req->credit -= (const char *)p - (const char *)data;
	return 0;
}

int ipc_chunk_pipe(struct ipc_request *req, int pipe_read, const char *content_type, const char *headers)
{
	struct chunk chunk = {.pipe = pipe_read, .content_type = content_type, .headers = headers};

	return send_to_peer(req, K_CHUNK, IPC_chunk, &chunk, NULL);
}

size_t ipc_request_credit(const struct ipc_request *req)
{
	return req->peer && req->credit > 0 ? (size_t)req->credit : 0;
}

void ipc_request_on_credit(struct ipc_request *req, void (*fn)(struct ipc_request *, void *), void *arg)
{
	req->on_credit = fn;
	req->credit_arg = arg;
}

void request_credit(struct ipc_request *req, uint32_t bytes)
{
	if (!req)
		return;
	req->credit += bytes;
	if (req->on_credit && req->credit > 0)
		req->on_credit(req, req->credit_arg);
}

/* ---- cancel, deadline ---- */

void ipc_request_on_cancel(struct ipc_request *req, void (*fn)(struct ipc_request *, void *), void *arg)
{
	req->on_cancel = fn;
	req->cancel_arg = arg;
}

bool ipc_request_cancelled(const struct ipc_request *req)
{
	return req->cancelled;
}

void request_cancel(struct ipc_request *req)
{
	if (!req || req->cancelled)
		return;
	req->cancelled = true;
	if (req->on_cancel)
		req->on_cancel(req, req->cancel_arg);
}

void request_orphan(struct ipc_request *req)
{
	detach(req);
	request_cancel(req);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	request_cancel(arg);
}

static void arm_deadline(struct ipc_request *req, uint32_t ms)
{
	struct timeval after = timeval_ms(ms);

	if (!ms)
		return;
	req->deadline = evtimer_new(req->server->base, on_deadline, req);
	event_add(req->deadline, &after);
}

/* ---- hijack ---- */

void ipc_hijack(struct ipc_request *req, const char *content_type,
		void (*go)(struct ipc_request *, const void *, size_t, void *), void *arg)
{
	struct chunk ready = {.pipe = -1, .content_type = content_type};
	struct err e;

	req->on_go = go;
	req->go_arg = arg;
	req->awaiting_go = true;
	if (send_to_peer(req, K_GO, IPC_chunk, &ready, &e) < 0)
		request_cancel(req);
}

void request_go(struct ipc_request *req, const struct go *go)
{
	if (!req || !req->awaiting_go)
		return;
	req->awaiting_go = false;
	req->on_go(req, go->early.data, go->early.len, req->go_arg);
}

/* ---- start ---- */

static void refuse(struct ipc_request *req, int code, int status, const char *text)
{
	struct err e;

	err_set(&e, code, "%s", text);
	e.status = status;
	ipc_reply_error(req, &e);
}

void request_run(struct ipc_request *req)
{
	const struct ipc_op *op = req->message->op;

	/* Cancelled before it came here: a handler would wait for a cancel that has been. */
	if (req->cancelled && op && (op->answer != REPLY || (op->effect == CHANGE && !req->peer))) {
		refuse(req, -ECANCELED, 503, "the peer has gone");
		return;
	}
	req->handler->fn(req, req->msg, req->server->config.daemon);
}

static void run_handler(struct ipc_request *req, int result)
{
	struct ipc_server *s = req->server;

	if (result < 0)
		refuse(req, result, 503, "the audit log cannot be written: changes are refused");
	else if (s->hold && !req->handler->at_once)
		TAILQ_INSERT_TAIL(&s->held, req, held);
	else
		request_run(req);
}

/* May the caller, and is it on record: only then the handler. */
static void authorise(struct ipc_request *req, const struct err *refusal)
{
	const struct ipc_guard *guard = req->server->config.guard;
	struct err e = {0};

	if (!refusal && guard->allow(guard->arg, req, &e) < 0)
		refusal = &e;
	if (refusal)
		ipc_reply_error(req, refusal);
	else if (req->message->op->effect == CHANGE && guard->before)
		guard->before(guard->arg, req, run_handler);
	else
		run_handler(req, 0);
}

/* Who asks. */
static void identify(struct ipc_request *req)
{
	const struct ipc_server_config *c = &req->server->config;
	struct err e = {0};

	int r = caller_read(req->msg, c->proc_fd, c->ids_base, &req->caller, &e);
	req->has_caller = r == 0;
	if (r < 0)
		ipc_reply_error(req, &e);
	else if (c->guard->identify)
		c->guard->identify(c->guard->arg, req, authorise);
	else
		authorise(req, NULL);
}

static const struct ipc_handler *find_handler(const struct ipc_server_config *c, uint16_t number)
{
	for (size_t i = 0; i < c->nhandlers; i++)
		if (c->handlers[i].number == number)
			return &c->handlers[i];
	return NULL;
}

void request_start(struct ipc_peer *peer, const struct ipc_head *head, void *take_msg)
{
	static uint64_t next_id;
	struct ipc_server *s = peer->server;
	struct ipc_request *req = XNEW(struct ipc_request);

	req->server = s;
	s->unanswered++;
	req->peer = peer;
	req->sender = peer->process;
	req->sender_pid = peer->pid;
	req->message = head->message;
	req->msg = take_msg;
	req->wire_id = head->id;
	req->id = ++next_id;
	req->credit = IPC_CREDIT;
	req->handler = find_handler(&s->config, head->message->number);
	TAILQ_INSERT_TAIL(&peer->requests, req, next);
	if (++peer->nrequests > s->config.max_requests) {
		refuse(req, -EBUSY, 503, "busy: too many requests in flight");
		return;
	}
	if (!req->handler) {
		ipc_fail(req, 501, "not implemented: %s", head->message->name);
		return;
	}
	arm_deadline(req, head->deadline_ms);
	if (!req->message->op)
		run_handler(req, 0);
	else if (s->config.guard)
		identify(req);
	else
		refuse(req, -EPERM, 403, "this process answers no API operation");
}

/* ---- what a handler may ask ---- */

const struct ipc_message *ipc_request_message(const struct ipc_request *req)
{
	return req->message;
}

void *ipc_request_msg(const struct ipc_request *req)
{
	return req->msg;
}

uint64_t ipc_request_id(const struct ipc_request *req)
{
	return req->id;
}

enum process_id ipc_request_sender(const struct ipc_request *req)
{
	return req->sender;
}

pid_t ipc_request_sender_pid(const struct ipc_request *req)
{
	return req->sender_pid;
}

const struct caller *ipc_request_caller(const struct ipc_request *req)
{
	return req->has_caller ? &req->caller : NULL;
}

void ipc_request_object(struct ipc_request *req, const char *kind, const char *id)
{
	if (req->nobjects == REQUEST_OBJECTS_MAX)
		return;
	req->objects[req->nobjects++] = (struct request_object){xstrdup(kind), xstrdup(id)};
}

bool ipc_request_object_at(const struct ipc_request *req, size_t i, const char **kind, const char **id)
{
	if (i >= req->nobjects)
		return false;
	*kind = req->objects[i].kind;
	*id = req->objects[i].id;
	return true;
}

void ipc_request_set_note(struct ipc_request *req, void *take_note, void (*free_fn)(void *))
{
	if (req->note_free)
		req->note_free(req->note);
	req->note = take_note;
	req->note_free = free_fn;
}

void *ipc_request_note(const struct ipc_request *req)
{
	return req->note;
}
