#include "imaged/fetch/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "ipc/grammar.h"
#include "lib/times.h"
#include "lib/version.h"

#define HEADERS_MAX    (64u << 10)
#define ERROR_BODY_MAX (64u << 10) /* of an answer that is none */
#define RECEIVE_BUFFER (256l << 10)
#define SEND_BUFFER    (256l << 10)
#define SMALL_DEADLINE 4  /* times images.stall-timeout, for an answer that is kept in memory */
#define RATE_WINDOW    10 /* times images.stall-timeout, over which images.min-rate is looked at */

struct transfer {
	struct worker *w;
	CURL *easy;
	struct curl_slist *headers;
	const struct transfer_events *events;
	void *arg;
	struct response response;
	size_t header_bytes, max_body;
	bool sink, paused, too_big, refused, began;
	int file;
	uint64_t file_size, file_sent;
	struct event *stall;
	struct event *slow; /* the end of a window */
	uint64_t in_window; /* bytes */
	char problem[CURL_ERROR_SIZE];
};

static void response_clean(struct response *r)
{
	free(r->location);
	free(r->link);
	for (size_t i = 0; i < r->nchallenges; i++)
		free(r->challenges[i]);
	free(r->body);
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	if (t->easy) {
		if (t->began)
			multi_remove(t->w->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	/* An Authorization header is among these. */
	for (struct curl_slist *h = t->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->headers);
	if (t->stall)
		event_free(t->stall);
	if (t->slow)
		event_free(t->slow);
	response_clean(&t->response);
	free(t);
}

/* ---- what comes ---- */

static void expect_within(struct event *timer, uint64_t ms)
{
	const struct timeval after = timeval_ms(ms);

	event_add(timer, &after);
}

static void begin_window(struct transfer *t)
{
	t->in_window = 0;
	if (t->w->daemon.config->images_min_rate)
		expect_within(t->slow, (uint64_t)t->w->daemon.config->images_stall_timeout * RATE_WINDOW);
}

static void mark_progress(struct transfer *t, size_t bytes)
{
	t->in_window += bytes;
	expect_within(t->stall, t->w->daemon.config->images_stall_timeout);
}

/* A header's value without white space around it, NULL when the line has another name. */
static const char *header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return NULL;
	const char *p = line + n + 1, *end = line + len;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && strchr(" \t\r\n", end[-1]))
		end--;
	*value_len = (size_t)(end - p);
	return p;
}

static void set_text(char *out, const char *value, size_t len, const char *stop)
{
	size_t n = 0;

	while (n < len && n < TRANSFER_TEXT - 1 && !strchr(stop, value[n]))
		n++;
	memcpy(out, value, n);
	out[n] = '\0';
}

static void set_copy(char **out, const char *value, size_t len)
{
	free(*out);
	*out = xstrndup(value, len);
}

static void take_header(struct response *r, const char *line, size_t len)
{
	const char *v;
	char text[TRANSFER_TEXT];
	size_t n;

	if ((v = header_value(line, len, "Content-Type", &n)))
		set_text(r->type, v, n, "; ");
	else if ((v = header_value(line, len, "Docker-Content-Digest", &n)))
		set_text(r->digest, v, n, "");
	else if ((v = header_value(line, len, "Location", &n)))
		set_copy(&r->location, v, n);
	else if ((v = header_value(line, len, "Link", &n)))
		set_copy(&r->link, v, n);
	else if ((v = header_value(line, len, "WWW-Authenticate", &n)) && r->nchallenges < CHALLENGES_MAX)
		r->challenges[r->nchallenges++] = xstrndup(v, n);
	else if ((v = header_value(line, len, "Content-Range", &n))) {
		set_text(text, v, n, "");
		if (sscanf(text, "bytes %" SCNd64 "-%*d/%" SCNd64, &r->range_begin, &r->range_total) < 1)
			r->range_begin = -1;
	}
}

static void begin_response(struct response *r)
{
	response_clean(r);
	*r = (struct response){.length = -1, .range_begin = -1, .range_total = -1, .retry_after = -1};
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;

	mark_progress(t, n);
	t->header_bytes += n;
	if (t->header_bytes > HEADERS_MAX) {
		t->too_big = true;
		return 0;
	}
	if (n > 5 && memcmp(line, "HTTP/", 5) == 0)
		begin_response(&t->response); /* an answer to CONNECT, or 100, came before */
	else
		take_header(&t->response, line, n);
	return n;
}

static void complete_head(struct transfer *t)
{
	curl_off_t value = -1;
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	t->response.status = (int)status;
	if (curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &value) == CURLE_OK)
		t->response.length = value;
	if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &value) == CURLE_OK && value > 0)
		t->response.retry_after = (long)value;
}

static size_t keep_body(struct transfer *t, const char *bytes, size_t n)
{
	struct response *r = &t->response;
	bool good = r->status >= 200 && r->status < 300;
	size_t max = good ? t->max_body : ERROR_BODY_MAX;

	if (n > max - r->len && !good)
		return n; /* the begin of what a server says about an error will do */
	if (n > max - r->len) {
		t->too_big = true;
		return 0;
	}
	r->body = xrealloc(r->body, r->len + n + 1, 1);
	memcpy(r->body + r->len, bytes, n);
	r->len += n;
	r->body[r->len] = '\0';
	return n;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;

	complete_head(t);
	if (!t->sink || t->response.status < 200 || t->response.status > 299) {
		mark_progress(t, n);
		return keep_body(t, bytes, n);
	}
	switch (t->events->data(t->arg, &t->response, bytes, n)) {
	case TRANSFER_GO_ON:
		mark_progress(t, n);
		return n;
	case TRANSFER_PAUSE:
		/* Who takes the bytes is slow, not who sends them. */
		event_del(t->stall);
		event_del(t->slow);
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	default:
		t->refused = true;
		return 0;
	}
}

void transfer_resume(struct transfer *t)
{
	if (!t->paused)
		return;
	t->paused = false;
	mark_progress(t, 0);
	begin_window(t);
	curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

/* ---- what goes ---- */

static size_t on_send(char *out, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	uint64_t left = t->file_size - t->file_sent;
	size_t n = size * count < left ? size * count : (size_t)left;
	ssize_t got = n ? pread(t->file, out, n, (off_t)t->file_sent) : 0;

	if (got < 0 || (n && got == 0))
		return CURL_READFUNC_ABORT;
	mark_progress(t, (size_t)got);
	t->file_sent += (uint64_t)got;
	if (t->events->sent)
		t->events->sent(t->arg, t->file_sent);
	return (size_t)got;
}

/* ---- the end ---- */

static void break_off(struct transfer *t, const struct err *e)
{
	const struct transfer_events *events = t->events;
	void *events_arg = t->arg;

	transfer_free(t);
	events->done(events_arg, NULL, e);
}

static void on_stall(evutil_socket_t fd, short what, void *arg)
{
	struct transfer *t = arg;
	struct err e = {0};

	(void)fd;
	(void)what;
	err_set(&e, -ETIME, "no byte has come for %" PRIu32 " ms", t->w->daemon.config->images_stall_timeout);
	break_off(t, &e);
}

/* Who sends a byte now and then never stalls, and would hold a worker and a client for ever. */
static void on_window(evutil_socket_t fd, short what, void *arg)
{
	struct transfer *t = arg;
	const struct config *c = t->w->daemon.config;
	const uint64_t ms = (uint64_t)c->images_stall_timeout * RATE_WINDOW;
	struct err e = {0};

	(void)fd;
	(void)what;
	if (t->in_window >= c->images_min_rate * ms / 1000) {
		begin_window(t);
		return;
	}
	err_set(&e, -ETIME, "only %" PRIu64 " bytes have come in %" PRIu64 " ms, fewer than images.min-rate wants",
		t->in_window, ms);
	break_off(t, &e);
}

static int explain(const struct transfer *t, CURLcode result, struct err *e)
{
	const char *why =
		*t->problem && grammar_utf8(t->problem, strlen(t->problem)) ? t->problem : curl_easy_strerror(result);

	if (t->too_big)
		return err_set(e, -EFBIG, "the answer is larger than the configuration allows");
	switch (result) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return err_set(e, -ECONNREFUSED, "%s", why);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER:
		return err_set(e, -EPROTO, "%s", why);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(e, -ETIMEDOUT, "the answer takes longer than it may");
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return err_set(e, -ECONNRESET, "%s", why);
	default:
		return err_set(e, -EIO, "%s", why);
	}
}

static void on_ended(void *arg, CURLcode result)
{
	struct transfer *t = arg;
	const struct transfer_events *events = t->events;
	void *events_arg = t->arg;
	struct err e = {0};

	t->began = false;
	event_del(t->stall);
	event_del(t->slow);
	complete_head(t);
	if (result != CURLE_OK && !t->refused)
		explain(t, result, &e);
	struct response response = t->response;
	t->response = (struct response){0};
	transfer_free(t);
	events->done(events_arg, &response, e.code ? &e : NULL);
	response_clean(&response);
}

/* ---- the begin ---- */

static void set_pem(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.data = (void *)(uintptr_t)pem, .len = pem ? strlen(pem) : 0, .flags = CURL_BLOB_COPY};

	if (pem)
		curl_easy_setopt(easy, option, &blob);
}

static int set_tls(struct transfer *t, const struct host_settings *s, struct err *e)
{
	if (s->problem)
		return err_set(e, -EACCES, "%s", s->problem);
	if (s->insecure) {
		curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	/* The blob takes the place of the bundle; the directory has the system's. */
	curl_easy_setopt(t->easy, CURLOPT_CAPATH, "/etc/ssl/certs");
	set_pem(t->easy, CURLOPT_CAINFO_BLOB, s->ca);
	set_pem(t->easy, CURLOPT_SSLCERT_BLOB, s->cert);
	set_pem(t->easy, CURLOPT_SSLKEY_BLOB, s->key);
	return 0;
}

static void set_how(struct transfer *t, const struct host_settings *s)
{
	CURL *c = t->easy;
	AUTO_FREE char *agent = xasprintf("pouch/%s", pouch_version);

	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	/* A connection for each transfer: one that waits for the disk holds up no other. */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, agent);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)t->w->daemon.config->images_stall_timeout);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->problem);
	curl_easy_setopt(c, CURLOPT_PROXY, s->proxy);
	curl_easy_setopt(c, CURLOPT_NOPROXY, s->no_proxy);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	if (!t->sink && t->file < 0)
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS,
				 (long)t->w->daemon.config->images_stall_timeout * SMALL_DEADLINE);
}

static void set_what(struct transfer *t, const struct transfer_request *r)
{
	CURL *c = t->easy;

	curl_easy_setopt(c, CURLOPT_URL, r->url->text);
	if (r->authorization) {
		AUTO_FREE char *line = xasprintf("Authorization: %s", r->authorization);
		t->headers = curl_slist_append(t->headers, line);
		explicit_bzero(line, strlen(line));
	}
	for (size_t i = 0; i < TRANSFER_HEADERS && r->headers[i]; i++)
		t->headers = curl_slist_append(t->headers, r->headers[i]);
	t->headers = curl_slist_append(t->headers, "Expect:");
	if (str_eq(r->method, "HEAD")) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	} else if (r->file >= 0) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->file_size);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(c, CURLOPT_READDATA, t);
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
	} else if (!str_eq(r->method, "GET")) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(r->body ? r->body_len : 0));
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
	}
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
}

struct transfer *transfer_new(struct worker *w, const struct transfer_request *request,
			      const struct transfer_events *events, void *arg, struct err *e)
{
	struct transfer *t = XNEW(struct transfer);
	const struct host_settings settings = settings_of(w->settings, request->url);

	*t = (struct transfer){.w = w,
			       .easy = curl_easy_init(),
			       .events = events,
			       .arg = arg,
			       .max_body = request->max_body,
			       .sink = request->sink,
			       .file = request->file,
			       .file_size = request->file_size};
	begin_response(&t->response);
	t->stall = evtimer_new(w->daemon.base, on_stall, t);
	t->slow = evtimer_new(w->daemon.base, on_window, t);
	if (!t->easy || !t->stall || !t->slow) {
		err_set(e, -ENOMEM, "cannot prepare a transfer");
		transfer_free(t);
		return NULL;
	}
	set_how(t, &settings);
	set_what(t, request);
	if (set_tls(t, &settings, e) < 0 || multi_add(w->multi, t->easy, on_ended, t, e) < 0) {
		transfer_free(t);
		return NULL;
	}
	t->began = true;
	mark_progress(t, 0);
	begin_window(t);
	return t;
}
