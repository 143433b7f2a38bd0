/* target: a request's target taken apart: version, path segments, query; percent-decoded once, here. */
#ifndef POUCH_APID_TARGET_H
#define POUCH_APID_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/schema.h"
#include "lib/err.h"

#define TARGET_SEGMENTS_MAX 64
#define TARGET_ARGS_MAX	    256

/* The version whose paths are the Pouch API; all others are Docker's. */
#define API_VERSION_POUCH 24

/*
 * Below API_VERSION_FIRST only routes that say so: skopeo and podman move images to and from a daemon as of 1.22, in
 * words that have not changed since.
 */
#define API_VERSION_OLDEST 22

struct query_arg {
	const char *name, *value; /* decoded, NUL-terminated, without NUL inside */
};

struct target {
	char *text;	/* owned; everything below points into it */
	unsigned minor; /* of API 1.x; API_VERSION_LAST when the path names none */
	bool versioned;
	const char **segments; /* owned, as args is */
	size_t nsegments;
	struct query_arg *args;
	size_t nargs;
};

/* Parse "/v1.43/containers/json?all=1". e->status is what to answer (400, 404 for a version that is none). */
int target_parse(const char *text, struct target *t, struct err *e);
/* 400 with Docker's words. */
int target_too_old(unsigned minor, struct err *e);
void target_clean(struct target *t);

#endif
