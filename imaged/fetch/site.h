/*
 * site: where a registry's requests go: its mirrors in the order of the configuration, then itself; and what has been
 * learnt of each: does it speak TLS, what does it want to be told, which tokens has it accepted.
 */
#ifndef POUCH_IMAGE_FETCH_SITE_H
#define POUCH_IMAGE_FETCH_SITE_H

#include <stdbool.h>
#include <time.h>

#include "imaged/fetch/url.h"
#include "lib/secret.h"

struct worker;

struct token {
	char *scope;
	struct secret *value;
	time_t until; /* CLOCK_MONOTONIC seconds */
};

struct site {
	struct url base;    /* "https://host:port/prefix/" */
	bool own;	    /* the registry itself: credentials are for it */
	bool may_fall_back; /* to plain HTTP, when TLS does not work */
	bool reached;	    /* it has answered */
	bool basic;	    /* it asks for user and password */
	bool dead;	    /* a mirror that was not reachable; not asked again */
	struct token *tokens;
	size_t ntokens;
};

struct sites {
	struct site *v;
	size_t n;
};

/* Of the login's registry. -EINVAL for a mirror that is no URL. */
int sites_new(struct worker *w, struct sites **out, struct err *e);
void sites_free(struct sites *s);
/* The registry itself. */
static inline struct site *sites_own(const struct sites *s)
{
	return &s->v[s->n - 1];
}

/* From here on by plain HTTP. */
void site_fall_back(struct site *s);
/* A token for the scope that is good for some seconds more; NULL. */
const struct token *site_token(const struct site *s, const char *scope);
/* Takes the value. */
void site_keep_token(struct site *s, const char *scope, struct secret *take_value, long seconds);
void site_drop_token(struct site *s, const char *scope);

#endif
