/* answer: a question to the registry whose whole answer fits in memory, and goes to imaged as it is. */
#ifndef POUCH_IMAGE_FETCH_ANSWER_H
#define POUCH_IMAGE_FETCH_ANSWER_H

#include "imaged/fetch/ask.h"

/* Ask for `req` and reply with `fetched`. `request` needs method, path, scope, headers, max_body, mirrors. */
void answer_fetched(struct ipc_request *req, struct worker *w, const struct ask_request *request);

/* "repository:NAME:ACTIONS"; the caller's to free. */
char *scope_of(const char *repository, const char *actions);

#endif
