#include "ipc/schema.h"

#include <errno.h>
#include <jansson.h>

/* Replaced by the table-driven checker as its tables arrive. */
int schema_parse(enum schema_id id, const char *text, size_t len, struct json_t **out, struct err *e)
{
	json_error_t why;

	*out = NULL;
	if (id == SCH_OPAQUE)
		return 0;
	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	return *out ? 0 : err_set(e, -EINVAL, "%s (line %d, column %d)", why.text, why.line, why.column);
}
