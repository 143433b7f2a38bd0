#include "lib/secret.h"

#include <string.h>

#include "lib/util.h"

struct secret {
	size_t len;
	char text[];
};

struct secret *secret_new(const char *text, size_t len)
{
	struct secret *s = xcalloc(1, sizeof *s + len + 1);

	memcpy(s->text, text, len);
	s->len = len;
	return s;
}

struct secret *secret_take(char *text, size_t len)
{
	struct secret *s = secret_new(text, len);

	explicit_bzero(text, len);
	return s;
}

const char *secret_reveal(const struct secret *s, size_t *len)
{
	if (len)
		*len = s->len;
	return s->text;
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	explicit_bzero(s->text, s->len);
	free(s);
}
