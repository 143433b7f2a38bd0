#include "imaged/fetch/login.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "imaged/fetch/worker.h"
#include "lib/json.h"

#define TEXT_MAX 65536

/* ---- base64 ---- */

/* Either alphabet, with or without padding; *out with a NUL behind it, to be cleared. */
static int decode(const char *text, size_t len, char **out, size_t *out_len, struct err *e)
{
	while (len && text[len - 1] == '=')
		len--;
	size_t padded = (len + 3) / 4 * 4;
	AUTO_FREE char *copy = xcalloc(padded + 1, 1);
	for (size_t i = 0; i < padded; i++)
		copy[i] = i >= len ? '=' : text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	*out = xcalloc(padded + 1, 1);
	int n = len % 4 == 1 || memchr(copy, '=', len)
			? -1
			: EVP_DecodeBlock((unsigned char *)*out, (const unsigned char *)copy, (int)padded);
	explicit_bzero(copy, padded);
	if (n < 0) {
		login_forget(STEAL(*out));
		return err_set(e, -EINVAL, "not base64");
	}
	*out_len = (size_t)n - (padded - len);
	(*out)[*out_len] = '\0';
	return 0;
}

void login_forget(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

/* ---- the document ---- */

/* A member's text, cleared where it stood. */
static struct secret *take_secret(json_t *doc, const char *key)
{
	json_t *value = json_object_get(doc, key);
	const char *text = json_string_value(value);

	if (!text || !*text)
		return NULL;
	return secret_take((char *)(uintptr_t)text, json_string_length(value));
}

/* "user:password" in base64, as ~/.docker/config.json has it. */
static int take_pair(struct login *l, const struct secret *pair, struct err *e)
{
	char *text = NULL;
	size_t len;
	const char *coded = secret_reveal(pair, &len);

	if (decode(coded, len, &text, &len, e) < 0)
		return err_prefix(e, "auth");
	char *colon = memchr(text, ':', len);
	if (!colon || memchr(text, '\0', len)) {
		login_forget(text);
		return err_set(e, -EINVAL, "auth: not user:password");
	}
	l->user = xstrndup(text, (size_t)(colon - text));
	l->password = secret_new(colon + 1, len - (size_t)(colon + 1 - text));
	login_forget(text);
	return 0;
}

static int take_document(struct login *l, json_t *doc, struct err *e)
{
	const char *user = json_string_value(json_object_get(doc, "username"));
	struct secret *pair = take_secret(doc, "auth");
	int rc = 0;

	if (user && *user)
		l->user = xstrdup(user);
	l->password = take_secret(doc, "password");
	l->identity_token = take_secret(doc, "identitytoken");
	l->registry_token = take_secret(doc, "registrytoken");
	if (pair && !l->user)
		rc = take_pair(l, pair, e);
	secret_free(pair);
	if (rc == 0 && l->registry_token && strpbrk(secret_reveal(l->registry_token, NULL), "\r\n"))
		rc = err_set(e, -EINVAL, "registrytoken: a line break");
	return rc;
}

int login_parse(const char *registry, const char *text, struct login **out, struct err *e)
{
	struct login *l = XNEW(struct login);
	size_t len = text ? strlen(text) : 0, plain_len = 0;
	char *plain = NULL;
	json_t *doc = NULL;
	int rc = 0;

	l->registry = xstrdup(registry);
	*out = l;
	if (len == 0)
		return 0;
	rc = decode(text, len, &plain, &plain_len, e);
	if (rc == 0 && plain_len > TEXT_MAX)
		rc = err_set(e, -EINVAL, "too long");
	if (rc == 0 && plain_len && !str_eq(plain, "null"))
		rc = schema_parse(SCH_AUTH_CONFIG, plain, plain_len, &doc, e);
	login_forget(plain);
	if (rc == 0 && doc)
		rc = take_document(l, doc, e);
	json_decref(doc);
	if (rc < 0) {
		err_prefix(e, "invalid X-Registry-Auth header");
		if (e)
			e->status = 400;
	}
	return rc;
}

void login_free(struct login *l)
{
	if (!l)
		return;
	secret_free(l->password);
	secret_free(l->identity_token);
	secret_free(l->registry_token);
	secret_free(l->granted);
	free(l->user);
	free(l->registry);
	free(l);
}

char *login_basic(const struct login *l)
{
	if (!l->user || !l->password)
		return NULL;
	char *pair = xasprintf("%s:%s", l->user, secret_reveal(l->password, NULL));
	size_t n = strlen(pair);
	char *coded = xcalloc(n * 2 + 8, 1);
	EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)pair, (int)n);
	char *out = xasprintf("Basic %s", coded);
	login_forget(pair);
	login_forget(coded);
	return out;
}

/* ---- the message ---- */

void on_fetch_login(struct ipc_request *req, struct fetch_login *m, struct worker *w)
{
	struct err e = {0};

	if (w->login) {
		ipc_fail(req, 409, "the registry is named once");
		return;
	}
	int rc = login_parse(m->registry, m->auth, &w->login, &e);
	if (m->auth)
		explicit_bzero((char *)(uintptr_t)m->auth, strlen(m->auth));
	settings_keep(w->settings, m->registry);
	w->login->refused = e;
	if (rc == 0)
		rc = sites_new(w, &w->sites, &e);
	if (rc < 0)
		w->login->refused = e;
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}

bool worker_ready(struct ipc_request *req, const struct worker *w, const char *registry)
{
	if (!w->login || !str_eq(w->login->registry, registry))
		ipc_fail(req, 400, "fetch_login has not named this registry");
	else if (w->login->refused.code < 0)
		ipc_reply_error(req, &w->login->refused);
	else
		return true;
	return false;
}
