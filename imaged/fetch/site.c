#include "imaged/fetch/site.h"

#include <errno.h>

#include "imaged/fetch/worker.h"

#define TOKEN_RESERVE  5  /* seconds that a token must still be good for */
#define TOKEN_LIFE     60 /* where the service does not say; as distribution's token specification has it */
#define TOKEN_LIFE_MAX 86400

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static int add_site(struct sites *s, const char *base, bool own, struct err *e)
{
	AUTO_FREE char *text = xasprintf("%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/");
	struct site *x;

	s->v = xrealloc(s->v, s->n + 1, sizeof *s->v);
	x = &s->v[s->n];
	*x = (struct site){.own = own};
	if (url_parse(text, NULL, &x->base, e) < 0)
		return err_prefix(e, "registry or mirror %s", base);
	s->n++;
	return 0;
}

/* A registry that is insecure is asked by TLS first, all the same. */
static int add_own(const struct worker *w, struct sites *s, const char *registry, struct err *e)
{
	AUTO_FREE char *base =
		xasprintf("https://%s", str_eq(registry, "docker.io") ? "registry-1.docker.io" : registry);
	int rc = add_site(s, base, true, e);

	if (rc == 0)
		s->v[s->n - 1].may_fall_back = settings_of(w->settings, &s->v[s->n - 1].base).insecure;
	return rc;
}

int sites_new(struct worker *w, struct sites **out, struct err *e)
{
	const struct config_registry *config = config_registry(w->daemon.config, w->login->registry);
	struct sites *s = XNEW(struct sites);
	int rc = 0;

	for (size_t i = 0; rc == 0 && config && i < config->mirrors.n; i++)
		rc = add_site(s, config->mirrors.v[i], false, e);
	if (rc == 0)
		rc = add_own(w, s, w->login->registry, e);
	if (rc < 0)
		sites_free(s);
	else
		*out = s;
	return rc;
}

void sites_free(struct sites *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct site *x = &s->v[i];
		for (size_t k = 0; k < x->ntokens; k++) {
			secret_free(x->tokens[k].value);
			free(x->tokens[k].scope);
		}
		free(x->tokens);
		url_clean(&x->base);
	}
	free(s->v);
	free(s);
}

void site_fall_back(struct site *s)
{
	AUTO_FREE char *text = xasprintf("http://%s", strstr(s->base.text, "://") + 3);
	struct url url;

	s->may_fall_back = false;
	if (url_parse(text, NULL, &url, NULL) < 0)
		return;
	url_clean(&s->base);
	s->base = url;
}

const struct token *site_token(const struct site *s, const char *scope)
{
	for (size_t i = 0; i < s->ntokens; i++)
		if (str_eq(s->tokens[i].scope, scope) && s->tokens[i].until > now())
			return &s->tokens[i];
	return NULL;
}

void site_drop_token(struct site *s, const char *scope)
{
	for (size_t i = 0; i < s->ntokens; i++)
		if (str_eq(s->tokens[i].scope, scope)) {
			secret_free(s->tokens[i].value);
			free(s->tokens[i].scope);
			s->tokens[i] = s->tokens[--s->ntokens];
			return;
		}
}

void site_keep_token(struct site *s, const char *scope, struct secret *take_value, long seconds)
{
	long life = seconds <= 0 ? TOKEN_LIFE : seconds > TOKEN_LIFE_MAX ? TOKEN_LIFE_MAX : seconds;

	site_drop_token(s, scope);
	s->tokens = xrealloc(s->tokens, s->ntokens + 1, sizeof *s->tokens);
	s->tokens[s->ntokens++] = (struct token){
		.scope = xstrdup(scope),
		.value = take_value,
		.until = now() + (life > 2 * TOKEN_RESERVE ? life - TOKEN_RESERVE : life),
	};
}
