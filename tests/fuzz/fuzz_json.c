/* The strict front of jansson: what it accepts is within its bounds, and every value is found where it stands. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_bounds bounds = {.depth = 16, .values = 1000};

static size_t walk(const char *text, size_t len, const json_t *v, struct json_step *steps, size_t nsteps)
{
	struct json_place place;
	size_t count = 1, index;
	const char *key;
	json_t *inner;

	if (nsteps > bounds.depth || !json_locate(text, len, steps, nsteps, &place))
		abort();
	json_object_foreach((json_t *)(uintptr_t)v, key, inner) {
		steps[nsteps] = (struct json_step){.key = key};
		count += walk(text, len, inner, steps, nsteps + 1);
	}
	json_array_foreach(v, index, inner) {
		steps[nsteps] = (struct json_step){.index = index};
		count += walk(text, len, inner, steps, nsteps + 1);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_step steps[32];
	struct err e = {0};
	json_t *doc;

	if (size > 4096)
		return 0;
	if (json_parse((const char *)data, size, &bounds, &doc, &e) < 0) {
		if (doc || !e.text[0])
			abort();
		return 0;
	}
	if (walk((const char *)data, size, doc, steps, 0) > bounds.values)
		abort();
	json_decref(doc);
	return 0;
}
