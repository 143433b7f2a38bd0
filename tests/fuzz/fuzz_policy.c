/* policy.json: what is accepted is accepted again from the text that the helpers get. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/config.h"
#include "lib/policy.h"
#include "lib/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *defaults(void)
{
	struct config_source source = {.root = "/var/lib/pouch", .run = "/run/pouch"};
	struct config *config = NULL;
	struct err e = {0};

	if (config_parse(&source, &config, &e) < 0)
		abort();
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config *config;
	struct policy *policy = NULL, *again = NULL;
	struct err e = {0};
	AUTO_FREE char *text = NULL;
	size_t len;

	if (!config)
		config = defaults();
	if (policy_parse("policy.json", (const char *)data, size, config, &policy, &e) < 0) {
		if (!e.text[0])
			abort();
		return 0;
	}
	if (policy_text("policy.json", (const char *)data, size, config, &text, &len, &e) < 0 ||
	    policy_parse("again", text, len, config, &again, &e) < 0)
		abort();
	policy_unref(again);
	policy_unref(policy);
	return 0;
}
