/* platform: what an image runs on, "os/architecture[/variant]" in Go's names, and which of several fits best. */
#ifndef POUCH_IMAGED_PLATFORM_H
#define POUCH_IMAGED_PLATFORM_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/err.h"

struct platform {
	char os[32], architecture[32], variant[32]; /* variant "" for none */
};

/* This machine's. */
void platform_host(struct platform *out);
/*
 * As users write it ("linux/arm64/v8", "arm64", "linux") or as clients do since 1.48 ({"os":…}); what is left out is
 * this machine's. -EINVAL with status 400.
 */
int platform_parse(const char *text, struct platform *out, struct err *e);
/* Of an image or an entry of an index: {"os","architecture","variant"}. */
void platform_of_json(const json_t *doc, struct platform *out);
/* "linux/arm64/v8" into 100 bytes; returns `out`. */
char *platform_text(const struct platform *p, char *out);

/* How well does `have` run where `want` is asked for? 0: not at all; the greatest is best. */
#define PLATFORM_EXACT 1000
int platform_fit(const struct platform *have, const struct platform *want);

#endif
