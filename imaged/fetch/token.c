#include "imaged/fetch/token.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "imaged/fetch/failure.h"
#include "imaged/fetch/transfer.h"
#include "lib/json.h"

#define ANSWER_MAX (256u << 10)

struct token_call {
	struct worker *w;
	struct site *site;
	struct challenge challenge;
	char *scope, *form; /* form: of a POST, NULL: it was a GET */
	struct transfer *transfer;
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

void token_cancel(struct token_call *c)
{
	if (!c)
		return;
	transfer_free(c->transfer);
	login_forget(c->form);
	free(c->scope);
	free(c);
}

/* ---- may it be asked? ---- */

static bool is_auth_host(const struct config_registry *config, const struct url *realm)
{
	for (size_t i = 0; config && i < config->auth_hosts.n; i++)
		if (strcasecmp(config->auth_hosts.v[i], realm->site) == 0 ||
		    strcasecmp(config->auth_hosts.v[i], realm->host) == 0)
			return true;
	return false;
}

static int check_realm(const struct worker *w, const struct site *site, const struct url *realm, bool credentials,
		       struct err *e)
{
	char host[280];

	text_clean(host, sizeof host, realm->site, strlen(realm->site));
	if (str_eq(realm->scheme, "http") &&
	    !(str_eq(site->base.scheme, "http") && strcasecmp(realm->host, site->base.host) == 0))
		return err_set(e, -EPERM, "the registry's token service at %s is not reached by TLS", host);
	if (credentials && !host_is_related(site->base.host, realm->host) &&
	    !is_auth_host(config_registry(w->daemon.config, w->login->registry), realm))
		return err_set(
			e, -EPERM,
			"the registry sends its clients to a token service of another domain, %s; the credentials "
			"were not sent there (auth-hosts of the registry in the configuration names who may have them)",
			host);
	return 0;
}

/* ---- the answer ---- */

static void keep_granted(struct login *l, json_t *value)
{
	const char *text = json_string_value(value);

	if (!l || !l->offline || !text || !*text)
		return;
	secret_free(l->granted);
	l->granted = secret_take((char *)(uintptr_t)text, json_string_length(value));
}

static int keep_answer(struct token_call *c, const struct response *r, struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	json_t *doc = NULL;

	if (r->status < 200 || r->status > 299)
		return r->status >= 300 && r->status < 400 ? err_set(e, -EPROTO, "the token service redirects")
							   : failure_of_response(r, e);
	int rc = json_parse(r->body ? r->body : "", r->len, &bounds, &doc, e);
	if (rc < 0)
		return err_prefix(e, "the token service's answer");
	json_t *token = json_object_get(doc, "token"), *life = json_object_get(doc, "expires_in");
	const char *text = json_string_value(token);
	if (!text || !*text) {
		token = json_object_get(doc, "access_token");
		text = json_string_value(token);
	}
	if (!text || !*text || strpbrk(text, "\r\n"))
		rc = err_set(e, -EPROTO, "the token service's answer has no token");
	else
		site_keep_token(c->site, c->scope, secret_take((char *)(uintptr_t)text, json_string_length(token)),
				(long)json_integer_value(life));
	if (rc == 0 && c->site->own)
		keep_granted(c->w->login, json_object_get(doc, "refresh_token"));
	json_decref(doc);
	return rc;
}

static const struct login *login_for(const struct token_call *c)
{
	return c->site->own ? c->w->login : NULL;
}

static bool has_password(const struct login *l)
{
	return l && !l->identity_token && l->user && l->password;
}

/* A service that hands out tokens by OAuth 2 alone does not know the question. */
static bool wants_post(const struct token_call *c, const struct response *r)
{
	return !c->form && (r->status == 404 || r->status == 405);
}

static int ask_by_password(struct token_call *c, const struct login *l, struct err *e);

static void on_done(void *arg, struct response *r, const struct err *e)
{
	struct token_call *c = arg;
	const struct login *l = login_for(c);
	struct err why = e ? *e : (struct err){0};
	void (*done)(void *, const struct err *) = c->done;
	void *done_arg = c->arg;

	c->transfer = NULL;
	if (!e && has_password(l) && wants_post(c, r) && ask_by_password(c, l, &why) == 0)
		return;
	if (!e && !why.code)
		keep_answer(c, r, &why);
	if (r && r->body)
		explicit_bzero(r->body, r->len);
	token_cancel(c);
	done(done_arg, why.code ? &why : NULL);
}

static const struct transfer_events events = {.done = on_done};

/* ---- the question ---- */

static char *escaped(const char *text)
{
	char *coded = curl_easy_escape(NULL, text, 0);
	char *out = xstrdup(coded ? coded : "");

	if (coded)
		explicit_bzero(coded, strlen(coded));
	curl_free(coded);
	return out;
}

/* "service=…&scope=…&scope=…": several scopes are written with spaces between. */
static char *parameters(const struct challenge *challenge, const char *scope, bool apart)
{
	AUTO_FREE char *service = escaped(challenge->service), *list = xstrdup(scope);
	char *out = xasprintf("service=%s", service), *state = NULL;

	if (!apart && *scope) {
		AUTO_FREE char *coded = escaped(scope);
		char *more = xasprintf("%s&scope=%s", out, coded);
		free(out);
		return more;
	}
	for (char *one = strtok_r(list, " ", &state); one; one = strtok_r(NULL, " ", &state)) {
		AUTO_FREE char *coded = escaped(one);
		char *more = xasprintf("%s&scope=%s", out, coded);
		free(out);
		out = more;
	}
	return out;
}

/* An identity token is exchanged by OAuth 2's refresh. */
static char *refresh_form(const struct login *l, const struct challenge *challenge, const char *scope)
{
	AUTO_FREE char *rest = parameters(challenge, scope, false);
	char *token = escaped(secret_reveal(l->identity_token, NULL));
	char *out = xasprintf("grant_type=refresh_token&client_id=pouch&refresh_token=%s&%s", token, rest);

	login_forget(token);
	return out;
}

static char *password_form(const struct login *l, const struct challenge *challenge, const char *scope)
{
	AUTO_FREE char *rest = parameters(challenge, scope, false), *user = escaped(l->user);
	char *password = escaped(secret_reveal(l->password, NULL));
	char *out = xasprintf("grant_type=password&client_id=pouch%s&username=%s&password=%s&%s",
			      l->offline ? "&access_type=offline" : "", user, password, rest);

	login_forget(password);
	return out;
}

/* A login asks for an identity token beside: distribution's token specification, "Requesting a Token". */
static char *offline_parameters(const struct login *l)
{
	AUTO_FREE char *account = escaped(l->user);

	return xasprintf("&offline_token=true&client_id=pouch&account=%s", account);
}

/* With a form by POST. */
static int ask(struct token_call *c, const char *question, char *take_authorization, struct err *e)
{
	struct transfer_request request = {.method = c->form ? "POST" : "GET",
					   .file = -1,
					   .max_body = ANSWER_MAX,
					   .authorization = take_authorization};
	AUTO_URL struct url url = {0};
	int rc = url_parse(question, NULL, &url, e);

	if (rc < 0)
		err_prefix(e, "the registry's token service");
	else
		rc = check_realm(c->w, c->site, &url, c->form || take_authorization, e);
	if (c->form) {
		request.headers[0] = "Content-Type: application/x-www-form-urlencoded";
		request.body = c->form;
		request.body_len = strlen(c->form);
	}
	request.url = &url;
	if (rc == 0)
		c->transfer = transfer_new(c->w, &request, &events, c, e);
	login_forget(take_authorization);
	return c->transfer ? 0 : e->code;
}

static int ask_by_password(struct token_call *c, const struct login *l, struct err *e)
{
	c->form = password_form(l, &c->challenge, c->scope);
	return ask(c, c->challenge.realm, NULL, e);
}

static int ask_service(struct token_call *c, struct err *e)
{
	const struct login *l = login_for(c);
	const char *realm = c->challenge.realm;

	if (l && l->identity_token) {
		c->form = refresh_form(l, &c->challenge, c->scope);
		return ask(c, realm, NULL, e);
	}
	AUTO_FREE char *rest = parameters(&c->challenge, c->scope, true);
	AUTO_FREE char *offline = has_password(l) && l->offline ? offline_parameters(l) : xstrdup("");
	AUTO_FREE char *question = xasprintf("%s%c%s%s", realm, strchr(realm, '?') ? '&' : '?', rest, offline);
	return ask(c, question, has_password(l) ? login_basic(l) : NULL, e);
}

struct token_call *token_get(struct worker *w, struct site *site, const struct challenge *challenge, const char *scope,
			     void (*done)(void *arg, const struct err *e), void *arg, struct err *e)
{
	struct token_call *c = XNEW(struct token_call);

	*c = (struct token_call){
		.w = w, .site = site, .challenge = *challenge, .scope = xstrdup(scope), .done = done, .arg = arg};
	if (ask_service(c, e) == 0)
		return c;
	token_cancel(c);
	return NULL;
}
