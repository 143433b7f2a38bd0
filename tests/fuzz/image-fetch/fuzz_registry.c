/*
 * What image-fetch takes apart: a WWW-Authenticate header, a URL and where it redirects to, credentials of a client, an
 * error's body. The first byte says which.
 */
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

#include "imaged/fetch/challenge.h"
#include "imaged/fetch/failure.h"
#include "imaged/fetch/login.h"
#include "ipc/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_challenge(const char *text)
{
	struct challenge c;

	if (challenge_parse(text, &c) && c.scheme == CHALLENGE_NONE)
		abort();
	for (const char *p = c.realm; *p; p++)
		if ((unsigned char)*p < 0x20)
			abort();
}

/* Two lines: a URL, and one that is taken relative to it. What is accepted says the same when it is read again. */
static void try_url(char *text)
{
	char *second = strchr(text, '\n');
	AUTO_URL struct url base = {0}, to = {0}, again = {0};

	if (!second)
		return;
	*second++ = '\0';
	if (url_parse(text, NULL, &base, NULL) < 0 || url_parse(second, base.text, &to, NULL) < 0)
		return;
	if (url_parse(to.text, NULL, &again, NULL) < 0 || !url_same_origin(&to, &again))
		abort();
	if (!str_eq(to.scheme, "http") && !str_eq(to.scheme, "https"))
		abort();
	if (host_is_related(base.host, to.host) != host_is_related(to.host, base.host))
		abort();
}

static void try_login(const char *text)
{
	struct login *l = NULL;
	struct err e = {0};

	if (!grammar_check(G_BASE64, text, strlen(text)))
		return;
	if (login_parse("registry.example", text, &l, &e) == 0) {
		char *basic = login_basic(l);
		if (basic && !login_has_credentials(l))
			abort();
		login_forget(basic);
	}
	login_free(l);
}

static void try_failure(char *text, size_t len)
{
	struct response r = {.status = 404, .body = text, .len = len};
	struct err e = {0};

	if (failure_of_response(&r, &e) >= 0 || !grammar_check(G_TEXT, e.text, strlen(e.text)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xcalloc(size + 1, 1);

	if (size < 2 || size > 16384)
		return 0;
	memcpy(text, data, size);
	switch (text[0]) {
	case 'c':
		try_challenge(text + 1);
		break;
	case 'u':
		try_url(text + 1);
		break;
	case 'l':
		try_login(text + 1);
		break;
	case 'f':
		try_failure(text + 1, size - 1);
		break;
	default:
		break;
	}
	return 0;
}
