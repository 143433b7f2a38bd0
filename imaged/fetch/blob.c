/* blob: bytes of any number into a pipe, at the reader's speed, and on from where they were when a transfer breaks off.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "imaged/fetch/answer.h"
#include "lib/times.h"

#define PROGRESS_STEP	 (512u << 10)
#define PROGRESS_STEP_MS 100

struct download {
	struct ipc_request *req;
	struct worker *w;
	struct ask *ask;
	int pipe; /* the message's */
	struct event *writable;
	char *rest; /* what the pipe did not take */
	size_t rest_len, rest_at;
	uint64_t received;	       /* of the blob, and on their way into the pipe */
	uint64_t skip;		       /* bytes of this answer that are there already */
	const struct response *answer; /* whose begin has been looked at */
	uint64_t size, max_bytes;
	uint64_t told;
	int64_t told_at;
	struct err problem; /* why the bytes were refused */
	bool ended;
	json_t *urls; /* that are tried one after the other; NULL: it is a blob of the registry */
	size_t url;   /* the next one */
};

static bool next_url(struct download *x, const struct err *e);

static void download_free(struct download *x)
{
	ask_free(x->ask);
	event_free(x->writable);
	free(x->rest);
	json_decref(x->urls);
	free(x);
}

static void finish(struct download *x, const struct err *e)
{
	struct ipc_request *req = x->req;
	struct err why = e ? *e : (struct err){0};

	if (why.code && !why.status)
		why.status = 500;
	ipc_request_on_cancel(req, NULL, NULL);
	download_free(x);
	if (why.code)
		ipc_reply_error(req, &why);
	else
		ipc_reply_done(req);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	finish(arg, &(struct err){.code = -ECANCELED, .text = "cancelled"});
}

/* ---- into the pipe ---- */

static void tell(struct download *x)
{
	char text[24];
	int64_t now = monotonic_ms();

	if (x->received - x->told < PROGRESS_STEP && now - x->told_at < PROGRESS_STEP_MS)
		return;
	x->told = x->received;
	x->told_at = now;
	/* Without credit nobody looks. */
	ipc_chunk(x->req, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, x->received));
}

/* Bytes that the pipe has taken, or -errno. */
static ssize_t put(struct download *x, const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(x->pipe, bytes + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return err_sys(&x->problem, -errno, "the layer is not taken");
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static void flush_rest(evutil_socket_t fd, short what, void *arg)
{
	struct download *x = arg;
	ssize_t n = put(x, x->rest + x->rest_at, x->rest_len - x->rest_at);

	(void)fd;
	(void)what;
	if (n < 0) {
		finish(x, &x->problem);
		return;
	}
	x->rest_at += (size_t)n;
	if (x->rest_at < x->rest_len) {
		event_add(x->writable, NULL);
		return;
	}
	x->rest_at = x->rest_len = 0;
	if (x->ended)
		finish(x, NULL);
	else
		ask_resume(x->ask);
}

static int keep_rest(struct download *x, const char *bytes, size_t len)
{
	x->rest = xrealloc(x->rest, len, 1);
	memcpy(x->rest, bytes, len);
	x->rest_len = len;
	x->rest_at = 0;
	event_add(x->writable, NULL);
	return 0;
}

/* ---- from the registry ---- */

static uint64_t on_begin(void *arg)
{
	struct download *x = arg;

	x->answer = NULL;
	return x->received;
}

/* An answer to a Range may be the whole, or a part that begins where it should. */
static int begin_answer(struct download *x, const struct response *r)
{
	x->answer = r;
	x->skip = 0;
	if (r->status == 206 && r->range_begin != (int64_t)x->received)
		return err_set(&x->problem, -EBADMSG, "the registry sent another part than was asked for");
	if (r->status != 206)
		x->skip = x->received;
	uint64_t offset = r->status == 206 ? x->received : 0;
	if (x->size && r->length >= 0 && (uint64_t)r->length + offset != x->size)
		return err_set(&x->problem, -EBADMSG,
			       "the registry announces %" PRIu64 " bytes where the manifest says %" PRIu64,
			       (uint64_t)r->length + offset, x->size);
	return 0;
}

static int check_room(struct download *x, size_t n)
{
	if (x->size && n > x->size - x->received)
		return err_set(&x->problem, -EBADMSG,
			       "the registry sends more than the %" PRIu64 " bytes that the manifest says", x->size);
	if (x->max_bytes && n > x->max_bytes - x->received)
		return err_set(&x->problem, -EFBIG, "more than the %" PRIu64 " bytes that the configuration allows",
			       x->max_bytes);
	return 0;
}

static enum transfer_taken on_data(void *arg, const struct response *r, const void *data, size_t n)
{
	struct download *x = arg;
	const char *bytes = data;

	if (x->rest_len)
		return TRANSFER_PAUSE;
	if (!x->answer && begin_answer(x, r) < 0)
		return TRANSFER_REFUSE;
	size_t known = x->skip < n ? (size_t)x->skip : n;
	x->skip -= known;
	bytes += known;
	n -= known;
	if (check_room(x, n) < 0)
		return TRANSFER_REFUSE;
	ssize_t took = put(x, bytes, n);
	if (took < 0)
		return TRANSFER_REFUSE;
	if ((size_t)took < n)
		keep_rest(x, bytes + took, n - (size_t)took);
	x->received += n;
	tell(x);
	return TRANSFER_GO_ON;
}

static void on_done(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	struct download *x = arg;

	(void)r;
	(void)url;
	x->ask = NULL;
	if (x->problem.code)
		e = &x->problem;
	else if (!e && x->size && x->received < x->size &&
		 err_set(&x->problem, -EBADMSG,
			 "the registry sent %" PRIu64 " bytes where the "
			 "manifest says %" PRIu64,
			 x->received, x->size) < 0)
		e = &x->problem;
	if (!e && x->rest_len)
		x->ended = true; /* flush_rest() finishes */
	else if (!e || !next_url(x, e))
		finish(x, e);
}

static const struct ask_events events = {.begin = on_begin, .data = on_data, .done = on_done};

static bool begin(struct ipc_request *req, struct worker *w, struct download *x)
{
	struct err e = {0};

	x->req = req;
	x->w = w;
	if (fd_set_nonblock(x->pipe, &e) < 0) {
		json_decref(x->urls);
		free(x);
		ipc_reply_error(req, &e);
		return false;
	}
	x->writable = event_new(w->daemon.base, x->pipe, EV_WRITE, flush_rest, x);
	ipc_request_on_cancel(req, on_cancel, x);
	return true;
}

void on_fetch_blob(struct ipc_request *req, struct fetch_blob *m, struct worker *w)
{
	AUTO_FREE char *path = xasprintf("v2/%s/blobs/%s", m->repository, m->digest);
	AUTO_FREE char *scope = scope_of(m->repository, "pull");

	if (!worker_ready(req, w, m->registry))
		return;
	struct download *x = XNEW(struct download);
	x->pipe = m->pipe;
	x->size = m->size;
	x->max_bytes = m->max_bytes;
	if (!begin(req, w, x))
		return;
	x->ask = ask_new(
		w,
		&(struct ask_request){
			.method = "GET", .path = path, .scope = scope, .file = -1, .sink = true, .mirrors = true},
		&events, x);
}

/* ---- from any URL ---- */

static void ask_url(struct download *x)
{
	const char *text = json_string_value(json_array_get(x->urls, x->url++));
	AUTO_URL struct url url = {0};
	struct err e = {0};

	if (url_parse(text ? text : "", NULL, &url, &e) < 0) {
		e.status = 400;
		if (!next_url(x, &e))
			finish(x, &e);
		return;
	}
	x->ask = ask_new(x->w, &(struct ask_request){.method = "GET", .url = &url, .file = -1, .sink = true}, &events,
			 x);
}

/* Goes on at the next one, from where the bytes are; not when the fault is the reader's. false: there is none. */
static bool next_url(struct download *x, const struct err *e)
{
	if (x->url >= json_array_size(x->urls) || e->code == -EPIPE || e->code == -EFBIG)
		return false;
	x->problem = (struct err){0};
	ask_url(x);
	return true;
}

void on_fetch_url(struct ipc_request *req, struct fetch_url *m, struct worker *w)
{
	struct download *x = XNEW(struct download);

	x->pipe = m->pipe;
	x->size = m->size;
	x->max_bytes = m->max_bytes;
	x->urls = json_incref(m->urls.json);
	if (begin(req, w, x))
		ask_url(x);
}
