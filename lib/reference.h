/*
 * reference: names of images, by the grammar of the distribution project (distribution/reference):
 * [domain/]path[:tag][@digest]. Held in full ("docker.io/library/busybox"), shown short ("busybox").
 */
#ifndef POUCH_LIB_REFERENCE_H
#define POUCH_LIB_REFERENCE_H

#include <stdbool.h>

#include "lib/err.h"

#define REFERENCE_NAME_MAX 255
#define REFERENCE_TAG_MAX  128
#define REFERENCE_TEXT	   768
#define DIGEST_TEXT_SIZE   72 /* "sha256:", 64 digits, NUL */

struct reference {
	char domain[REFERENCE_NAME_MAX + 1]; /* "docker.io" */
	char path[REFERENCE_NAME_MAX + 1];   /* "library/busybox" */
	char tag[REFERENCE_TAG_MAX + 1];     /* "" without */
	char digest[DIGEST_TEXT_SIZE];	     /* "" without */
};

/* Parse; names without a domain belong to `default_domain`. 400 with Docker's "invalid reference format…". */
int reference_parse(const char *text, const char *default_domain, struct reference *out, struct err *e);
/* Give it the tag "latest" when it has neither tag nor digest. */
void reference_default_tag(struct reference *r);

/* Texts into buffers of REFERENCE_TEXT bytes; each returns its buffer. */
/* "docker.io/library/busybox" */
char *reference_repository(const struct reference *r, char *buf);
/* "docker.io/library/busybox:latest"; with a digest and no tag "…@sha256:…". */
char *reference_full(const struct reference *r, char *buf);
/* "docker.io/library/busybox@sha256:…" */
char *reference_by_digest(const struct reference *r, const char *digest, char *buf);

/* The short form of a full name of any of these kinds. */
char *reference_familiar(const char *full, const char *default_domain, char *buf);

/* "sha256:" and 64 lower-case hexadecimal digits: nothing else becomes a path or part of a URL. */
bool digest_valid(const char *text);
/* The 64 digits of a valid digest. */
const char *digest_hex(const char *digest);
bool tag_valid(const char *text);

/* Does a familiar name match a pattern of `--filter reference=`: a shell glob on the name, or on name:tag? */
bool reference_matches(const char *familiar, const char *pattern);

#endif
