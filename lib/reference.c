#include "lib/reference.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"

#define HEX	 "0123456789abcdef"
#define LOWER	 "abcdefghijklmnopqrstuvwxyz0123456789"
#define ALNUM	 LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TAG_REST ALNUM "_.-"

bool digest_valid(const char *text)
{
	return str_starts(text, "sha256:") && strlen(text) == 71 && strspn(text + 7, HEX) == 64;
}

const char *digest_hex(const char *digest)
{
	return digest + strlen("sha256:");
}

bool tag_valid(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= REFERENCE_TAG_MAX && text[0] != '.' && text[0] != '-' && strspn(text, TAG_REST) == n;
}

/* [a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])? joined by dots, or [IPv6]; then :port */
static bool domain_valid(const char *text, size_t len)
{
	size_t host = len;

	const char *colon = memrchr(text, ':', len);
	if (text[0] == '[') {
		const char *close = memchr(text, ']', len);
		if (!close || strspn(text + 1, "0123456789abcdefABCDEF:") != (size_t)(close - text - 1))
			return false;
		host = (size_t)(close - text) + 1;
	} else {
		if (colon)
			host = (size_t)(colon - text);
		if (host == 0)
			return false;
		for (size_t i = 0; i < host; i++) {
			bool edge = i == 0 || i + 1 == host || text[i - 1] == '.' || text[i + 1] == '.';
			if (!strchr(edge ? ALNUM : ALNUM "-.", text[i]))
				return false;
		}
	}
	if (host == len)
		return true;
	size_t digits = strspn(text + host + 1, "0123456789");
	return text[host] == ':' && digits == len - host - 1 && digits > 0 && digits <= 5;
}

/* One component: alphanumerics, joined by ".", "_", "__" or dashes. */
static bool component_valid(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t word = strspn(text + i, LOWER);
		if (word == 0)
			return false;
		i += word;
		if (i >= len)
			return i == len;
		size_t dashes = strspn(text + i, "-");
		size_t bars = strspn(text + i, "_");
		if (dashes)
			i += dashes;
		else if (bars == 1 || bars == 2)
			i += bars;
		else if (text[i] == '.')
			i++;
		else
			return false;
		if (i >= len)
			return false;
	}
	return false;
}

static bool path_valid(const char *text)
{
	while (*text) {
		char one[REFERENCE_NAME_MAX + 1];
		size_t n = strcspn(text, "/");
		if (n == 0 || n > REFERENCE_NAME_MAX)
			return false;
		memcpy(one, text, n);
		one[n] = '\0';
		if (!component_valid(one, n))
			return false;
		text += n;
		if (*text == '/' && !*++text)
			return false;
	}
	return true;
}

static int invalid(struct err *e)
{
	return err_http(e, 400, "invalid reference format");
}

/* Is what stands before the first slash a domain? As distribution tells them apart. */
static bool looks_like_domain(const char *text, size_t len)
{
	if (memchr(text, '.', len) || memchr(text, ':', len) || (len == 9 && memcmp(text, "localhost", 9) == 0))
		return true;
	for (size_t i = 0; i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			return true;
	return false;
}

static int take_domain(const char **rest, const char *default_domain, struct reference *out, struct err *e)
{
	const char *slash = strchr(*rest, '/');
	size_t len = slash ? (size_t)(slash - *rest) : 0;

	if (!slash || !looks_like_domain(*rest, len)) {
		snprintf(out->domain, sizeof out->domain, "%s", default_domain);
		return 0;
	}
	if (len >= sizeof out->domain || !domain_valid(*rest, len))
		return invalid(e);
	memcpy(out->domain, *rest, len);
	out->domain[len] = '\0';
	if (str_eq(out->domain, "index.docker.io"))
		strcpy(out->domain, "docker.io");
	*rest = slash + 1;
	return 0;
}

int reference_parse(const char *text, const char *default_domain, struct reference *out, struct err *e)
{
	char name[REFERENCE_TEXT];

	*out = (struct reference){0};
	if (!*text || strlen(text) >= sizeof name)
		return invalid(e);
	strcpy(name, text);
	char *at = strchr(name, '@');
	if (at) {
		*at = '\0';
		if (!digest_valid(at + 1))
			return err_http(
				e, 400,
				"invalid reference format: the digest must be sha256 and 64 hexadecimal digits");
		strcpy(out->digest, at + 1);
	}
	char *last = strrchr(name, '/');
	char *colon = strchr(last ? last : name, ':');
	if (colon) {
		*colon = '\0';
		if (!tag_valid(colon + 1))
			return invalid(e);
		strcpy(out->tag, colon + 1);
	}
	if (!last && strlen(name) == 64 && strspn(name, HEX) == 64)
		return err_http(e, 400, "invalid repository name (%s), cannot specify 64-byte hexadecimal strings",
				name);
	const char *rest = name;
	int rc = take_domain(&rest, default_domain, out, e);
	if (rc < 0)
		return rc;
	for (const char *p = rest; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			return err_http(e, 400, "invalid reference format: repository name (%s) must be lowercase",
					rest);
	bool official = str_eq(out->domain, "docker.io") && !strchr(rest, '/');
	int n = snprintf(out->path, sizeof out->path, "%s%s", official ? "library/" : "", rest);
	if (!*rest || !path_valid(rest))
		return invalid(e);
	if (n < 0 || strlen(out->domain) + 1 + (size_t)n > REFERENCE_NAME_MAX)
		return err_http(e, 400,
				"invalid reference format: repository name must not be longer than %d characters",
				REFERENCE_NAME_MAX);
	return 0;
}

void reference_default_tag(struct reference *r)
{
	if (!*r->tag && !*r->digest)
		strcpy(r->tag, "latest");
}

char *reference_repository(const struct reference *r, char *buf)
{
	snprintf(buf, REFERENCE_TEXT, "%s/%s", r->domain, r->path);
	return buf;
}

char *reference_full(const struct reference *r, char *buf)
{
	if (*r->tag || !*r->digest)
		snprintf(buf, REFERENCE_TEXT, "%s/%s:%s", r->domain, r->path, *r->tag ? r->tag : "latest");
	else
		reference_by_digest(r, r->digest, buf);
	return buf;
}

char *reference_by_digest(const struct reference *r, const char *digest, char *buf)
{
	snprintf(buf, REFERENCE_TEXT, "%s/%s@%s", r->domain, r->path, digest);
	return buf;
}

char *reference_familiar(const char *full, const char *default_domain, char *buf)
{
	size_t n = strlen(default_domain);

	if (strncmp(full, default_domain, n) == 0 && full[n] == '/')
		full += n + 1;
	if (str_eq(default_domain, "docker.io") && str_starts(full, "library/") && !strchr(full + 8, '/'))
		full += 8;
	snprintf(buf, REFERENCE_TEXT, "%s", full);
	return buf;
}

bool reference_matches(const char *familiar, const char *pattern)
{
	char name[REFERENCE_TEXT];

	if (fnmatch(pattern, familiar, FNM_PATHNAME) == 0)
		return true;
	snprintf(name, sizeof name, "%s", familiar);
	char *last = strrchr(name, '/');
	char *end = strpbrk(last ? last : name, ":@");
	if (end)
		*end = '\0';
	return fnmatch(pattern, name, FNM_PATHNAME) == 0;
}
