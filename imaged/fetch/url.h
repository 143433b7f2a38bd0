/* url: the parts of a URL that decisions are made on, by the same parser that will connect to it (libcurl's). */
#ifndef POUCH_IMAGE_FETCH_URL_H
#define POUCH_IMAGE_FETCH_URL_H

#include <stdbool.h>

#include "lib/err.h"

struct url {
	char *text; /* the whole, without a fragment */
	char scheme[8];
	char host[256]; /* as written, without port; IPv6 without brackets */
	char port[8];	/* always, also where it is the scheme's */
	char site[280]; /* "host" or "host:port" as a registry is named in the configuration */
};

/*
 * Absolute, or relative to `base` (may be NULL). http and https only, without user or password. -EINVAL; the error does
 * not quote a URL, which may carry a signature.
 */
int url_parse(const char *text, const char *base, struct url *out, struct err *e);
void url_clean(struct url *u);
#define AUTO_URL CLEANUP(url_clean)

/* Same scheme, host and port. */
bool url_same_origin(const struct url *a, const struct url *b);
/* "localhost", 127.0.0.0/8 and ::1. */
bool host_is_loopback(const char *host);
/*
 * May the token service at `realm` get what was given for the registry at `host`? The same host, or one of the same
 * domain ("auth.docker.io" for "registry-1.docker.io"); addresses have no domain.
 */
bool host_is_related(const char *host, const char *realm);

#endif
