#include "imaged/fetch/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "imaged/fetch/challenge.h"
#include "imaged/fetch/failure.h"
#include "imaged/fetch/token.h"
#include "lib/log.h"
#include "lib/times.h"

#define REDIRECTS_MAX	8
#define AUTH_MAX	3   /* answers of 401: without a token, with one that has expired, with Basic */
#define PAUSE_FIRST_MS	200 /* doubled with each attempt */
#define PAUSE_MAX_MS	5000
#define RETRY_AFTER_MAX 60 /* seconds that are waited when a server asks for it */

struct ask {
	struct worker *w;
	struct ask_request request;
	char *path, *scope, *headers[ASK_HEADERS];
	struct url fixed;
	const struct ask_events *events;
	void *arg;

	size_t site;	/* of w->sites */
	struct url url; /* where the present transfer goes */
	unsigned attempts, redirects, challenged;
	struct transfer *transfer;
	struct token_call *token;
	struct event *timer;
};

static void ask_send(struct ask *a);

/* Who is asked; NULL for a URL without a login. */
static struct site *site_of(const struct ask *a)
{
	if (!a->w->sites)
		return NULL;
	return a->request.url ? sites_own(a->w->sites) : &a->w->sites->v[a->site];
}

void ask_free(struct ask *a)
{
	if (!a)
		return;
	transfer_free(a->transfer);
	token_cancel(a->token);
	event_free(a->timer);
	url_clean(&a->url);
	url_clean(&a->fixed);
	for (size_t i = 0; i < ASK_HEADERS; i++)
		free(a->headers[i]);
	free(a->path);
	free(a->scope);
	free(a);
}

static void finish(struct ask *a, struct response *r, const struct err *e)
{
	const struct ask_events *events = a->events;
	void *arg = a->arg;
	struct err why = e ? *e : (struct err){0};
	struct url url = a->url;

	/* A registry's faults are not the client's, whatever the code. */
	if (why.code && !why.status)
		why.status = 500;
	a->url = (struct url){0};
	ask_free(a);
	events->done(arg, r, &url, e ? &why : NULL);
	url_clean(&url);
}

/* ---- where to ---- */

static void send_later(struct ask *a, uint32_t ms)
{
	const struct timeval after = timeval_ms(ms);

	event_add(a->timer, &after);
}

/* The next mirror, or the registry itself; false: there is none left. */
static bool next_site(struct ask *a)
{
	while (!a->request.url && a->w->sites && a->site + 1 < a->w->sites->n) {
		a->site++;
		if (!a->w->sites->v[a->site].dead)
			return true;
	}
	return false;
}

/* This site does not answer: ask the next one, or say why. */
static void give_up(struct ask *a, struct response *r, const struct err *e)
{
	struct site *s = site_of(a);

	if (s && !s->own && !r)
		s->dead = true;
	if (s && !s->own)
		log_debug("mirror %s: %s", s->base.site, e->text);
	if (!next_site(a)) {
		finish(a, r, e);
		return;
	}
	a->attempts = a->redirects = a->challenged = 0;
	send_later(a, 0);
}

static uint32_t pause_ms(const struct ask *a)
{
	uint32_t ms = (uint32_t)PAUSE_FIRST_MS << (a->attempts < 6 ? a->attempts : 6);

	return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

/* `after`: seconds that the server wants to be left alone, -1. */
static void try_again(struct ask *a, struct response *r, long after, const struct err *e)
{
	struct err why = *e;

	if (a->request.once || a->attempts >= a->w->daemon.config->images_retries) {
		if (a->attempts)
			err_prefix(&why, "after %u attempts", a->attempts + 1);
		give_up(a, r, &why);
		return;
	}
	if (after > RETRY_AFTER_MAX) {
		err_http(&why, 429, "%s; the registry asks to come back in %ld s", e->text, after);
		give_up(a, r, &why);
		return;
	}
	uint32_t ms = after >= 0 ? (uint32_t)after * 1000 : pause_ms(a);
	a->attempts++;
	a->redirects = a->challenged = 0;
	send_later(a, ms);
}

/* ---- what came ---- */

/* No answer. */
static void on_trouble(struct ask *a, const struct err *e)
{
	struct site *s = site_of(a);
	bool broke = e->code == -ECONNRESET || e->code == -ETIME;
	struct err why = *e;

	if (s && a->redirects == 0 && !s->reached && s->may_fall_back &&
	    (broke || e->code == -EPROTO || e->code == -ECONNREFUSED)) {
		site_fall_back(s);
		send_later(a, 0);
		return;
	}
	/* Another question has found out meanwhile. */
	if (s && a->redirects == 0 && !a->request.url && !str_eq(s->base.scheme, a->url.scheme)) {
		send_later(a, 0);
		return;
	}
	err_prefix(&why, "%s", a->url.site);
	if (broke || (e->code == -ECONNREFUSED && s && s->reached))
		try_again(a, NULL, -1, &why);
	else
		give_up(a, NULL, &why);
}

static int follow(struct ask *a, const struct response *r, struct err *e)
{
	struct url to;

	if (++a->redirects > REDIRECTS_MAX)
		return err_set(e, -ELOOP, "%s: stopped after %d redirects", a->url.site, REDIRECTS_MAX);
	int rc = url_parse(r->location, a->url.text, &to, e);
	if (rc < 0)
		return err_prefix(e, "%s redirects to", a->url.site);
	if (str_eq(a->url.scheme, "https") && str_eq(to.scheme, "http")) {
		url_clean(&to);
		return err_set(e, -EPROTO, "%s redirects from TLS to plain HTTP", a->url.site);
	}
	url_clean(&a->url);
	a->url = to;
	ask_send(a);
	return 0;
}

static void on_token(void *arg, const struct err *e)
{
	struct ask *a = arg;

	a->token = NULL;
	if (e)
		give_up(a, NULL, e);
	else
		ask_send(a);
}

static bool known_to_origin(const struct ask *a)
{
	const struct site *s = site_of(a);

	return s && url_same_origin(&a->url, &s->base);
}

/* 401: get what is asked for, and ask again. */
static int authenticate(struct ask *a, const struct response *r, struct err *e)
{
	struct site *s = site_of(a);
	const struct login *l = s && s->own ? a->w->login : NULL;
	struct challenge best = {0};

	for (size_t i = 0; i < r->nchallenges; i++) {
		struct challenge c;
		if (challenge_parse(r->challenges[i], &c) && c.scheme > best.scheme)
			best = c;
	}
	if (!a->scope || !known_to_origin(a) || ++a->challenged > AUTH_MAX || (l && l->registry_token))
		return failure_of_response(r, e);
	if (best.scheme == CHALLENGE_BEARER && a->challenged < AUTH_MAX) {
		site_drop_token(s, a->scope);
		a->token = token_get(a->w, s, &best, a->scope, on_token, a, e);
		return a->token ? 0 : e->code;
	}
	if (best.scheme == CHALLENGE_BASIC && l && l->user && l->password && a->challenged == 1) {
		s->basic = true;
		ask_send(a);
		return 0;
	}
	return failure_of_response(r, e);
}

static bool worth_another(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

static void on_done(void *arg, struct response *r, const struct err *e)
{
	struct ask *a = arg;
	struct site *s = site_of(a);
	struct err why = {0};
	bool read = str_eq(a->request.method, "GET") || str_eq(a->request.method, "HEAD");
	int rc = 0;

	a->transfer = NULL;
	if (e) {
		on_trouble(a, e);
		return;
	}
	if (s && a->redirects == 0)
		s->reached = true;
	if (r->status >= 200 && r->status < 300) {
		finish(a, r, NULL);
		return;
	}
	if (read && r->location &&
	    (r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307 || r->status == 308))
		rc = follow(a, r, &why);
	else if (r->status == 401)
		rc = authenticate(a, r, &why);
	else
		rc = failure_of_response(r, &why);
	if (rc < 0 && worth_another(r->status))
		try_again(a, r, r->retry_after, &why);
	else if (rc < 0)
		give_up(a, r, &why);
}

static enum transfer_taken on_data(void *arg, const struct response *r, const void *bytes, size_t n)
{
	struct ask *a = arg;

	return a->events->data(a->arg, r, bytes, n);
}

static void on_sent(void *arg, uint64_t bytes)
{
	struct ask *a = arg;

	if (a->events->sent)
		a->events->sent(a->arg, bytes);
}

static const struct transfer_events events = {.data = on_data, .sent = on_sent, .done = on_done};

/* ---- asking ---- */

/* What may be said to this URL about who is asking; to be cleared. */
static char *authorization(const struct ask *a)
{
	const struct site *s = site_of(a);
	const struct login *l = s && s->own ? a->w->login : NULL;

	if (!a->scope || !known_to_origin(a))
		return NULL;
	if (l && l->registry_token)
		return xasprintf("Bearer %s", secret_reveal(l->registry_token, NULL));
	const struct token *token = site_token(s, a->scope);
	if (token)
		return xasprintf("Bearer %s", secret_reveal(token->value, NULL));
	return s->basic && l ? login_basic(l) : NULL;
}

static void ask_send(struct ask *a)
{
	uint64_t from = a->request.sink ? a->events->begin(a->arg) : 0;
	char range[64];
	struct transfer_request t = {
		.method = a->request.method,
		.url = &a->url,
		.body = a->request.body,
		.body_len = a->request.body_len,
		.file = a->request.file,
		.file_size = a->request.file_size,
		.max_body = a->request.max_body,
		.sink = a->request.sink,
	};
	struct err e = {0};
	size_t n = 0;

	for (size_t i = 0; i < ASK_HEADERS && a->headers[i]; i++)
		t.headers[n++] = a->headers[i];
	if (from) {
		snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-", from);
		t.headers[n++] = range;
	}
	char *secret = authorization(a);
	t.authorization = secret;
	a->transfer = transfer_new(a->w, &t, &events, a, &e);
	login_forget(secret);
	if (!a->transfer)
		give_up(a, NULL, &e);
}

/* From the site's own address on. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct ask *a = arg;
	struct err e = {0};

	(void)fd;
	(void)what;
	const struct site *s = site_of(a);
	AUTO_FREE char *text = a->request.url ? xstrdup(a->fixed.text) : xasprintf("%s%s", s->base.text, a->path);
	url_clean(&a->url);
	if (url_parse(text, NULL, &a->url, &e) < 0)
		give_up(a, NULL, &e);
	else
		ask_send(a);
}

struct ask *ask_new(struct worker *w, const struct ask_request *request, const struct ask_events *ask_events, void *arg)
{
	struct ask *a = XNEW(struct ask);

	*a = (struct ask){.w = w, .request = *request, .events = ask_events, .arg = arg};
	a->path = request->path ? xstrdup(request->path) : NULL;
	a->scope = request->scope ? xstrdup(request->scope) : NULL;
	for (size_t i = 0; i < ASK_HEADERS; i++)
		a->headers[i] = request->headers[i] ? xstrdup(request->headers[i]) : NULL;
	if (request->url) {
		a->fixed = *request->url;
		a->fixed.text = xstrdup(request->url->text);
		a->request.url = &a->fixed;
	} else if (!request->mirrors) {
		a->site = w->sites->n - 1;
	} else if (w->sites->v[0].dead) {
		next_site(a);
	}
	a->timer = evtimer_new(w->daemon.base, on_timer, a);
	send_later(a, 0);
	return a;
}

void ask_resume(struct ask *a)
{
	if (a->transfer)
		transfer_resume(a->transfer);
}
