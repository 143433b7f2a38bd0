/* listfilter: the filters of GET /containers/json. */
#ifndef POUCH_RUNTIMED_LISTFILTER_H
#define POUCH_RUNTIMED_LISTFILTER_H

#include "lib/filters.h"
#include "runtimed/container.h"

struct ipc_request;

struct list_filter {
	struct filters filters;
	bool reaches_stopped;  /* it asks for containers that do not run, so all are looked at */
	int64_t before, since; /* creation times; 0: any */
	const json_t *images;  /* {id: true} that `ancestor` means, borrowed; NULL: not asked for */
};

/* `doc` is borrowed and may be NULL. -EINVAL by name; -ENOENT for a container of before or since. */
int list_filter_read(struct list_filter *f, struct runtimed *rt, struct ipc_request *req, json_t *doc, struct err *e);
bool list_filter_match(const struct list_filter *f, struct container *c);

#endif
