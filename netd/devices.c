#include "netd/devices.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/waiting.h"

struct removal {
	struct netd *d;
	struct link_space *space;
	char device[LINK_NAME_MAX + 1];
	char endpoint[65];
	struct err e;
	devices_done done;
	void *arg;
};

/* In the thread: the socket is this job's alone. */
static void remove_device(void *arg, const atomic_bool *stop)
{
	struct removal *r = arg;

	(void)stop;
	link_space_delete(r->space, r->device, &r->e);
}

static void removal_free(void *arg)
{
	struct removal *r = arg;

	link_space_free(r->space);
	free(r);
}

static void removed(void *arg)
{
	struct removal *r = arg;

	if (r->e.code)
		log_error("%s", r->e.text);
	else
		networks_forget_endpoint(r->d->networks, r->endpoint);
	if (r->done)
		r->done(r->arg, &r->e);
	waiting_retry(r->d);
	removal_free(r);
}

void devices_remove(struct netd *d, struct endpoint *ep, struct link_space *take_space, devices_done done, void *arg)
{
	static const struct job_kind kind = {.run = remove_device, .done = removed, .drop = removal_free};
	struct removal *r = XNEW(struct removal);

	*r = (struct removal){.d = d, .space = take_space, .done = done, .arg = arg};
	snprintf(r->endpoint, sizeof r->endpoint, "%s", ep->id);
	snprintf(r->device, sizeof r->device, "%s", ep->device);
	jobs_add(d->jobs, &kind, r);
}
