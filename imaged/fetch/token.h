/* token: bearer tokens, from the service that a registry names (distribution's token specification, and OAuth 2). */
#ifndef POUCH_IMAGE_FETCH_TOKEN_H
#define POUCH_IMAGE_FETCH_TOKEN_H

#include "imaged/fetch/challenge.h"
#include "imaged/fetch/worker.h"

struct token_call;

/*
 * Get a token for `scope` ("repository:x:pull", "" for a login) and keep it at the site. Credentials are sent to a
 * service of the registry's own domain, or one that registries.NAME.auth-hosts names, and by TLS only unless the
 * registry itself is spoken to without. NULL with the reason; else `done` is called once.
 */
struct token_call *token_get(struct worker *w, struct site *site, const struct challenge *challenge, const char *scope,
			     void (*done)(void *arg, const struct err *e), void *arg, struct err *e);
/* Without the event. Takes NULL. */
void token_cancel(struct token_call *c);

#endif
