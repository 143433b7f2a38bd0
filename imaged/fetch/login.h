/*
 * login: what a client gave for one registry, in any form that clients have: user and password, both in one text,
 * an identity token, a token of the registry. In this process's memory, and nowhere else.
 */
#ifndef POUCH_IMAGE_FETCH_LOGIN_H
#define POUCH_IMAGE_FETCH_LOGIN_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/secret.h"

struct worker;

struct login {
	char *registry;
	char *user;		       /* NULL */
	struct secret *password;       /* NULL */
	struct secret *identity_token; /* gets tokens; NULL */
	struct secret *registry_token; /* is one; NULL */
	bool offline;		       /* `docker login`: what can be kept in place of the password is asked for */
	struct secret *granted;	       /* that, from the token service; NULL */
	struct err refused;	       /* it was malformed: code < 0, and nothing may be asked */
};

/*
 * `text` is base64 or base64url, padded or not, of an AuthConfig as JSON; NULL, "" and what decodes to null or {} are
 * no credentials. -EINVAL names what is wrong and quotes nothing.
 */
int login_parse(const char *registry, const char *text, struct login **out, struct err *e);
void login_free(struct login *l);

static inline bool login_has_credentials(const struct login *l)
{
	return (l->user && l->password) || l->identity_token || l->registry_token;
}

/* "Basic …" of user and password; NULL without both. Clear it with login_forget(). */
char *login_basic(const struct login *l);
/* Clear and free a text that carries a secret; takes NULL. */
void login_forget(char *text);

#endif
