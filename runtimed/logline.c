/* logline: one line of a json-file log. Written for speed: `docker logs` reads millions of them. */
#include <stdlib.h>
#include <string.h>

#include "lib/words.h"
#include "runtimed/logs.h"

static int hex4(const char *p)
{
	int value = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static char *put_utf8(char *to, unsigned cp)
{
	if (cp < 0x80) {
		*to++ = (char)cp;
	} else if (cp < 0x800) {
		*to++ = (char)(0xc0 | cp >> 6);
		*to++ = (char)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		*to++ = (char)(0xe0 | cp >> 12);
		*to++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*to++ = (char)(0x80 | (cp & 0x3f));
	} else {
		*to++ = (char)(0xf0 | cp >> 18);
		*to++ = (char)(0x80 | (cp >> 12 & 0x3f));
		*to++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*to++ = (char)(0x80 | (cp & 0x3f));
	}
	return to;
}

/* \uXXXX at p (behind the u), with its low surrogate when it has one. NULL: malformed. */
static const char *unescape_u(const char *p, const char *end, char **to)
{
	int cp = end - p >= 4 ? hex4(p) : -1;

	if (cp < 0)
		return NULL;
	p += 4;
	if (cp >= 0xd800 && cp < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		int low = hex4(p + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	*to = put_utf8(*to, (unsigned)cp);
	return p;
}

/* How many bytes stand before the next quotation mark or backslash. */
static size_t plain(const char *p, const char *end)
{
	size_t n = 0, len = (size_t)(end - p);

	for (; n + sizeof(words) <= len; n += sizeof(words)) {
		words w = words_load(p + n);
		size_t first = words_first((words)((w == '"') | (w == '\\')));
		if (first < sizeof(words))
			return n + first;
	}
	while (n < len && p[n] != '"' && p[n] != '\\')
		n++;
	return n;
}

/* What stands behind a backslash and is no u; NUL for nonsense. */
static char unescape_one(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case '"':
	case '\\':
	case '/':
		return c;
	default:
		return '\0';
	}
}

/* The JSON string at p (behind its quote) in place; *len is its length. Returns what is behind its closing quote, or
 * NULL. */
static char *unescape(char *p, char *end, size_t *len)
{
	char *start = p, *to = p;

	while (p < end) {
		size_t n = plain(p, end);
		if (to != p && n)
			memmove(to, p, n);
		to += n;
		p += n;
		if (p >= end)
			return NULL;
		if (*p == '"') {
			*len = (size_t)(to - start);
			return p + 1;
		}
		char one = unescape_one(p[1]); /* the line ends with a NUL */
		if (one) {
			*to++ = one;
			p += 2;
		} else if (p[1] == 'u') {
			const char *next = unescape_u(p + 2, end, &to);
			if (!next)
				return NULL;
			p += next - p;
		} else {
			return NULL;
		}
	}
	return NULL;
}

/* Whether `text`, a literal, stands at *p, which is moved behind it then. */
#define TAKE(p, end, text) take(p, end, text, sizeof(text) - 1)

static inline bool take(char **p, const char *end, const char *text, size_t n)
{
	if ((size_t)(end - *p) < n || memcmp(*p, text, n) != 0)
		return false;
	*p += n;
	return true;
}

/* The members in the order in which the shim and Docker write them; attrs and nothing else may be among them. */
bool log_line_parse(char *line, size_t len, struct log_line *out)
{
	char *p = line, *end = line + len, *close;

	*out = (struct log_line){0};
	if (!TAKE(&p, end, "{\"log\":\""))
		return false;
	out->text = p;
	p = unescape(p, end, &out->len);
	if (!p || !TAKE(&p, end, ",\"stream\":\"std"))
		return false;
	out->is_stderr = *p == 'e';
	if (!TAKE(&p, end, "err\"") && !TAKE(&p, end, "out\""))
		return false;
	if (TAKE(&p, end, ",\"attrs\":")) {
		/* Values may hold any character, but quotes only behind a backslash. */
		close = memmem(p, (size_t)(end - p), "},\"time\":\"", 10);
		if (!close)
			return false;
		out->attrs = p;
		out->attrs_len = (size_t)(close + 1 - p);
		p = close + 1;
	}
	if (!TAKE(&p, end, ",\"time\":\""))
		return false;
	close = memchr(p, '"', (size_t)(end - p));
	if (!close)
		return false;
	out->time = p;
	out->time_len = (size_t)(close - p);
	return true;
}
