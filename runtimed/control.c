/* control: the operations rename and resize. */
#include <errno.h>

#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/names.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"

static int rename_it(struct container *c, const char *given, struct err *e)
{
	struct runtimed *rt = c->rt;
	const char *name;
	int rc = name_check(given ? given : "", &name, e);

	if (rc < 0)
		return rc;
	if (str_eq(name, c->name))
		return err_http(e, 400, "renaming a container with the same name as its current name");
	struct container *other = table_get(&rt->containers.by_name, name);
	if (other)
		return err_http(
			e, 409,
			"Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to "
			"remove (or rename) that container to be able to reuse that name.",
			name, other->id);
	if (table_get(&rt->reserved, name))
		return err_http(e, 409, "Conflict. The container name \"/%s\" is being taken by another request.",
				name);
	rc = db_rename(c, name, e);
	if (rc < 0)
		return rc;
	char old[256];
	const char *const extra[] = {"oldName", old, NULL};
	snprintf(old, sizeof old, "/%s", c->name);
	containers_rename(&rt->containers, c, xstrdup(name));
	container_changed(c);
	event_container(c, "rename", extra);
	return 0;
}

static void on_renamed(void *arg)
{
	reply_no_content(arg);
}

void on_container_rename(struct ipc_request *req, struct container_rename *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	struct err e;

	if (!c)
		return;
	if (rename_it(c, m->name, &e) < 0)
		ipc_reply_error(req, &e);
	else
		networks_renamed(c, on_renamed, req);
}

void on_container_resize(struct ipc_request *req, struct container_resize *m, struct runtimed *rt)
{
	struct container *c = request_container(rt, req, m->id);
	char height[12], width[12];
	const char *const extra[] = {"height", height, "width", width, NULL};
	struct err e;

	if (!c)
		return;
	if (!container_alive(c) || !c->run) {
		ipc_fail(req, 409, "container %s is not running", c->id);
		return;
	}
	if (!json_true_at(c->config, "Tty")) {
		ipc_fail(req, 409, "container %s has no terminal", c->id);
		return;
	}
	if (launch_resize(c->run, (unsigned)m->h, (unsigned)m->w, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	snprintf(height, sizeof height, "%u", (unsigned)m->h);
	snprintf(width, sizeof width, "%u", (unsigned)m->w);
	event_container(c, "resize", extra);
	ipc_reply_json(req, 200, NULL);
}
