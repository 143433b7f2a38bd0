/* challenge: a WWW-Authenticate header (RFC 9110, 11.6.1), as registries send it. */
#ifndef POUCH_IMAGE_FETCH_CHALLENGE_H
#define POUCH_IMAGE_FETCH_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>

#define CHALLENGE_TEXT 1024

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	char realm[CHALLENGE_TEXT], service[CHALLENGE_TEXT], scope[CHALLENGE_TEXT];
};

/*
 * Of all the challenges in a header the strongest that is known here, Bearer before Basic. false: none, or the header
 * is malformed, or a value is too long.
 */
bool challenge_parse(const char *header, struct challenge *out);

#endif
