/* line: a line's text for protocols that know only UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "runtimed/log/log.h"

/* Bytes of the character at `s`, 0 when there is none (RFC 3629). jansson knows the finer rules. */
static size_t character(const char *s, size_t len)
{
	unsigned char c = (unsigned char)s[0];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;

	if (n == 0 || n > len)
		return 0;
	json_t *try = json_stringn(s, n);
	json_decref(try);
	return try ? n : 0;
}

json_t *line_json(const struct line *line)
{
	json_t *whole = json_stringn(line->text, line->len);
	size_t to = 0;

	if (whole)
		return whole;
	AUTO_FREE char *clean = xcalloc(line->len + 1, 3);
	for (size_t i = 0; i < line->len;) {
		size_t n = character(line->text + i, line->len - i);
		memcpy(clean + to, n ? line->text + i : "\xef\xbf\xbd", n ? n : 3);
		to += n ? n : 3;
		i += n ? n : 1;
	}
	return json_stringn(clean, to);
}
