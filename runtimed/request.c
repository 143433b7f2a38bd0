/* request: what every handler begins and ends with. */
#include "runtimed/links.h"
#include "runtimed/names.h"
#include "runtimed/runtimed.h"

struct container *request_container(struct runtimed *rt, struct ipc_request *req, const char *ref)
{
	struct err e = {0};
	struct container *c = containers_find(&rt->containers, ref, &e);

	/* Not in containers_find(): links themselves are read by that. */
	if (!c)
		c = links_resolve(&rt->containers, ref);
	if (!c) {
		ipc_reply_error(req, &e);
		return NULL;
	}
	if (!guard_sees(req, c->owner)) {
		ipc_fail(req, 404, "No such container: %s", ref);
		return NULL;
	}
	ipc_request_object(req, "container", c->id);
	return c;
}

void reply_no_content(struct ipc_request *req)
{
	ipc_reply_json(req, 204, NULL);
}

const char *request_container_owner(void *arg, const char *ref)
{
	struct runtimed *rt = arg;
	struct container *c = containers_find(&rt->containers, ref, NULL);

	return c ? c->owner : NULL;
}
