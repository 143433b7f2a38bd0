/* changes: Dockerfile instructions that change an image's config (`docker import --change`, `docker commit --change`).
 */
#ifndef POUCH_IMAGED_CHANGES_H
#define POUCH_IMAGED_CHANGES_H

#include <jansson.h>

#include "lib/err.h"

/*
 * Apply instructions, one a line, to `config` (Docker's image Config object). CMD, ENTRYPOINT, ENV, EXPOSE,
 * HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR; others are 400, as they are in Docker.
 */
int changes_apply(json_t *config, const char *changes, struct err *e);

#endif
