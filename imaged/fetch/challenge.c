#include "imaged/fetch/challenge.h"

#include <string.h>
#include <strings.h>

#include "lib/util.h"

#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

static const char *skip(const char *p, const char *set)
{
	return p + strspn(p, set);
}

/* A token or a quoted text; NULL when it is malformed. Without `out` it is only passed over. */
static const char *take_value(const char *p, char *out)
{
	size_t n = 0;

	if (*p != '"') {
		size_t len = strspn(p, TOKEN_CHARS "/:=");
		if (len == 0 || len >= CHALLENGE_TEXT)
			return NULL;
		if (out) {
			memcpy(out, p, len);
			out[len] = '\0';
		}
		return p + len;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		if ((unsigned char)*p < 0x20 || *p == 0x7f || n + 1 >= CHALLENGE_TEXT)
			return NULL;
		if (out)
			out[n] = *p;
		n++;
	}
	if (out)
		out[n] = '\0';
	return *p == '"' ? p + 1 : NULL;
}

static char *place_of(struct challenge *c, const char *name, size_t len)
{
	static const char *const names[] = {"realm", "service", "scope"};
	char *const places[] = {c->realm, c->service, c->scope};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && strncasecmp(names[i], name, len) == 0)
			return places[i];
	return NULL;
}

/* name=value, …: until what follows is another challenge's scheme. */
static const char *take_parameters(const char *p, struct challenge *c)
{
	for (;;) {
		p = skip(p, " \t,");
		size_t len = strspn(p, TOKEN_CHARS);
		const char *sign = skip(p + len, " \t");
		if (len == 0 || *sign != '=')
			return p;
		p = take_value(skip(sign + 1, " \t"), place_of(c, p, len));
		if (!p)
			return NULL;
	}
}

bool challenge_parse(const char *header, struct challenge *out)
{
	const char *p = header;

	*out = (struct challenge){0};
	for (;;) {
		struct challenge c = {0};
		p = skip(p, " \t,");
		size_t len = strspn(p, TOKEN_CHARS);
		if (len == 0)
			break;
		if (len == 5 && strncasecmp(p, "basic", 5) == 0)
			c.scheme = CHALLENGE_BASIC;
		else if (len == 6 && strncasecmp(p, "bearer", 6) == 0)
			c.scheme = CHALLENGE_BEARER;
		p = take_parameters(p + len, &c);
		if (!p)
			return false;
		if (c.scheme > out->scheme)
			*out = c;
	}
	return *p == '\0' && out->scheme != CHALLENGE_NONE;
}
