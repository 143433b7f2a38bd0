/* Every document: one byte of schema ('A' is the first), one of API version ('~' is the last), then the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ipc/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schema_context context = {API_VERSION_LAST};
	json_t *once = NULL, *twice = NULL;
	struct err e = {0};

	if (size < 2)
		return 0;
	enum schema_id id = (enum schema_id)((unsigned)(data[0] - 'A') % SCH_COUNT);
	if (data[1] != '~')
		context.version = API_VERSION_FIRST + data[1] % (API_VERSION_LAST - API_VERSION_FIRST + 1);
	if (schema_parse_as(id, &context, (const char *)data + 2, size - 2, &once, &e) < 0) {
		if (once || !e.text[0] || !grammar_utf8(e.text, strlen(e.text)))
			abort();
		return 0;
	}
	/* What is canonical for the client's version is canonical for the owner's. */
	if (once) {
		context.version = API_VERSION_LAST;
		if (schema_check(id, &context, once, &twice, &e) < 0 || !json_equal(once, twice))
			abort();
	}
	json_decref(once);
	json_decref(twice);
	return 0;
}
