#include "imaged/fetch/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "lib/util.h"

/* What the parser says goes into `out`; false when it is absent or too long. */
static bool get_part(CURLU *u, CURLUPart part, unsigned flags, char *out, size_t size)
{
	char *text = NULL;

	if (curl_url_get(u, part, &text, flags) != CURLUE_OK)
		return false;
	int n = snprintf(out, size, "%s", text);
	curl_free(text);
	return n >= 0 && (size_t)n < size;
}

static bool has_part(CURLU *u, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return has;
}

static int take_apart(CURLU *u, struct url *out, struct err *e)
{
	char *whole = NULL;

	if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
		return err_set(e, -EINVAL, "a URL with a user name or password in it");
	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	if (!get_part(u, CURLUPART_SCHEME, 0, out->scheme, sizeof out->scheme) ||
	    !get_part(u, CURLUPART_HOST, 0, out->host, sizeof out->host) ||
	    !get_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, out->port, sizeof out->port) ||
	    curl_url_get(u, CURLUPART_URL, &whole, 0) != CURLUE_OK)
		return err_set(e, -EINVAL, "a malformed URL");
	out->text = xstrdup(whole);
	curl_free(whole);
	if (!str_eq(out->scheme, "http") && !str_eq(out->scheme, "https"))
		return err_set(e, -EINVAL, "a URL that is neither http nor https");
	if (has_part(u, CURLUPART_PORT))
		snprintf(out->site, sizeof out->site, "%s:%s", out->host, out->port);
	else
		snprintf(out->site, sizeof out->site, "%s", out->host);
	size_t n = strlen(out->host);
	if (out->host[0] == '[' && n > 2) {
		memmove(out->host, out->host + 1, n - 2);
		out->host[n - 2] = '\0';
	}
	return 0;
}

int url_parse(const char *text, const char *base, struct url *out, struct err *e)
{
	CURLU *u = curl_url();
	int rc = 0;

	*out = (struct url){0};
	if (!u)
		return err_set(e, -ENOMEM, "cannot parse a URL");
	if ((base && curl_url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK) ||
	    curl_url_set(u, CURLUPART_URL, text, 0) != CURLUE_OK)
		rc = err_set(e, -EINVAL, "a malformed URL");
	if (rc == 0)
		rc = take_apart(u, out, e);
	curl_url_cleanup(u);
	if (rc < 0)
		url_clean(out);
	return rc;
}

void url_clean(struct url *u)
{
	free(u->text);
	u->text = NULL;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return str_eq(a->scheme, b->scheme) && strcasecmp(a->host, b->host) == 0 && str_eq(a->port, b->port);
}

static bool is_address(const char *host)
{
	unsigned char raw[16];

	return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

bool host_is_loopback(const char *host)
{
	unsigned char raw[16];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, raw) == 1)
		return raw[0] == 127;
	return inet_pton(AF_INET6, host, raw) == 1 && memcmp(raw, &in6addr_loopback, 16) == 0;
}

/*
 * The last two labels, three below a country's second level ("example.co.uk"). Without a list of public suffixes this
 * is as near as one gets; what lies wrong is for registries.NAME.auth-hosts to say.
 */
static const char *domain_of(const char *host)
{
	const char *dots[3] = {0};

	for (const char *p = host + strlen(host); p > host && !dots[2];)
		if (*--p == '.')
			dots[dots[0] ? dots[1] ? 2 : 1 : 0] = p;
	if (!dots[0])
		return host;
	bool country = strlen(dots[0] + 1) == 2 && dots[1] && dots[0] - dots[1] - 1 <= 3;
	const char *dot = dots[country ? 2 : 1];
	return dot ? dot + 1 : host;
}

bool host_is_related(const char *host, const char *realm)
{
	if (strcasecmp(host, realm) == 0)
		return true;
	if (is_address(host) || is_address(realm) || !strchr(host, '.') || !strchr(realm, '.'))
		return false;
	return strcasecmp(domain_of(host), domain_of(realm)) == 0;
}
