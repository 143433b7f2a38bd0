/* doc: small readers of the canonical documents. */
#include "lib/util.h"
#include "runtimed/launch/room.h"

const char *doc_text(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

bool doc_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

int64_t doc_int(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool id_valid(const char *id)
{
	return strlen(id) == ID_CHARS && strspn(id, "0123456789abcdef") == ID_CHARS;
}
