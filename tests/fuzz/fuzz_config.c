/* pouch.json and --set: the file, or, behind a NUL, a setting. What is accepted is accepted again from its own text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	size_t len = nul ? (size_t)(nul - data) : size;
	AUTO_FREE char *set = nul ? xstrndup((const char *)nul + 1, size - len - 1) : NULL;
	const char *sets[] = {set};
	struct config_source source = {.file = "pouch.json",
				       .text = (const char *)data,
				       .len = len,
				       .root = "/var/lib/pouch",
				       .run = "/run/pouch",
				       .sets = sets,
				       .nsets = set ? 1 : 0};
	struct config *config = NULL;
	struct err e = {0};

	if (config_parse(&source, &config, &e) < 0) {
		if (!e.text[0])
			abort();
		return 0;
	}
	AUTO_FREE char *text = NULL;
	if (config_text(&source, &text, &len, &e) < 0)
		abort();
	source.text = text;
	source.len = len;
	source.nsets = 0;
	struct config *again = NULL;
	if (config_parse(&source, &again, &e) < 0 || config_fixed_difference(config, again))
		abort();
	config_free(again);
	config_free(config);
	return 0;
}
