/* ancestor: which images the filter of that name means: those named and what was made from them. imaged knows. */
#ifndef POUCH_RUNTIMED_ANCESTOR_H
#define POUCH_RUNTIMED_ANCESTOR_H

#include <jansson.h>

#include "lib/err.h"

struct ipc_request;
struct runtimed;

/*
 * `names` is borrowed. `then` gets {"sha256:…": true}, borrowed, or the request is answered with the reason why not;
 * not before this has returned. On an error the request is still the caller's to answer.
 */
int ancestor_ask(struct ipc_request *req, struct runtimed *rt, json_t *names,
		 void (*then)(struct ipc_request *req, struct runtimed *rt, const json_t *images), struct err *e);

#endif
