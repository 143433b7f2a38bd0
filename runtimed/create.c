/* create: POST /containers/create. */
#include <errno.h>

#include "lib/json.h"
#include "lib/log.h"
#include "runtimed/copyup.h"
#include "lib/fault.h"
#include "runtimed/create.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/hostconfig.h"
#include "runtimed/idrange.h"
#include "runtimed/links.h"
#include "runtimed/merge.h"
#include "runtimed/mounts.h"
#include "runtimed/names.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"
#include "runtimed/spec.h"
#include "lib/times.h"
#include "runtimed/volumes.h"

/* imaged answers from its records; more than this means that it is not there. */
#define LEASE_MS 30000

/* 404 means to clients that the image is missing: they pull it and try again. What else is missing is a bad request. */
static void refuse(struct creating *n, const struct err *e)
{
	struct err bad = *e;

	if (n->leased && err_status(&bad) == 404)
		bad.status = 400;
	ipc_reply_error(n->req, &bad);
}

static void creating_free(struct creating *n)
{
	struct runtimed *rt = n->container->rt;

	TAILQ_REMOVE(&rt->creating, n, link);
	if (n->name) {
		table_remove(&rt->reserved, n->name);
		free(n->name);
	}
	json_decref(n->warnings);
	container_unref(n->container);
	free(n);
}

static void given_up(struct creating *n)
{
	refuse(n, &n->failure);
	idrange_drop(n->container->rt->ranges, n->container->range);
	creating_free(n);
}

static void on_lease_released(void *arg, void *reply, const struct err *e)
{
	if (!reply)
		log_warn("not released: %s", e->text);
	given_up(arg);
}

static void release_lease(struct creating *n)
{
	static const struct ipc_call_events events = {.done = on_lease_released};
	static const struct ipc_call_options options = {.deadline_ms = LEASE_MS, .repeatable = true};
	struct rootfs_release m = {.container = n->container->id};

	if (!n->leased || !ipc_call(n->container->rt->imaged, IPC_rootfs_release, &m, &options, &events, n, NULL))
		given_up(n);
}

static void on_volumes_released(struct container *c, int rc, const struct err *e, void *arg)
{
	if (rc < 0)
		log_warn("release the volumes of %.12s: %s", c->id, e->text);
	release_lease(arg);
}

/* Who is refused finds nothing held by what has not come about: the answer comes when all is given back. */
static void give_up(struct creating *n, const struct err *e)
{
	struct container *c = n->container;

	n->failure = *e;
	if (n->volumes_held && volumes_any(c))
		volumes_release(c, true, on_volumes_released, n);
	else
		release_lease(n);
}

/* ---- the last step: files, record, answer ---- */

static int make(struct creating *n, struct err *e)
{
	struct container *c = n->container;
	struct runtimed *rt = c->rt;
	struct spec spec;

	int rc = hostconfig_range(c, n->warnings, e);
	if (rc < 0)
		return rc;
	spec_basic(c, &spec);
	rc = mounts_check(c, &spec.launch.ids, n->warnings, e);
	if (rc == 0)
		rc = launch_check(rt->launch, &spec.launch, n->warnings, e);
	if (rc == 0)
		rc = launch_create(rt->launch, &spec.launch, e);
	spec_clean(&spec);
	if (rc < 0)
		return rc;
	FAULT(create_files);
	c->created = time_now();
	c->name = xstrdup(n->name);
	rc = db_insert(c, e);
	if (rc < 0)
		launch_remove(rt->launch, c->id, NULL);
	return rc;
}

static void finish(struct creating *n)
{
	struct container *c = n->container;
	struct runtimed *rt = c->rt;
	struct err e;

	if (make(n, &e) < 0) {
		give_up(n, &e);
		return;
	}
	FAULT(create_recorded);
	containers_add(&rt->containers, container_ref(c));
	ipc_request_object(n->req, "container", c->id);
	event_container(c, "create", NULL);
	ipc_reply_json(n->req, 201, json_pack("{s:s s:O s:s}", "Id", c->id, "Warnings", n->warnings, "Name", c->name));
	creating_free(n);
}

static void on_network_checked(struct container *c, int rc, const struct err *e, void *arg)
{
	(void)c;
	FAULT(create_checked);
	if (rc < 0)
		give_up(arg, e);
	else
		finish(arg);
}

static void check_networks(struct creating *n)
{
	if (networks_wanted(n->container))
		networks_check(n->container, n->req, on_network_checked, n);
	else
		finish(n);
}

static void on_volumes_filled(struct container *c, int rc, const struct err *e, void *arg)
{
	struct creating *n = arg;

	(void)c;
	if (rc < 0)
		give_up(n, e);
	else
		check_networks(n);
}

/* A name alone may have led to a volume of a plugin: is that one for this caller to use? */
static int admit_drivers(struct creating *n, struct err *e)
{
	const struct policy_facts facts = {0};
	int rc = 0;
	json_t *m;
	size_t i;

	json_array_foreach(n->container->mounts, i, m) {
		const char *driver = json_text(m, "Driver");

		if (rc < 0 || !str_eq(json_text(m, "Type"), "volume") || !driver || str_eq(driver, "local"))
			continue;
		AUTO_JSON json_t *doc = json_pack("{s:s}", "Driver", driver);
		rc = guard_admit(n->req, POLICY_VOLUME, doc, &facts, e);
	}
	return rc;
}

static void on_volumes_acquired(struct container *c, int rc, const struct err *failure, void *arg)
{
	struct err e;

	FAULT(create_held);
	if (rc < 0)
		give_up(arg, failure);
	else if (admit_drivers(arg, &e) < 0)
		give_up(arg, &e);
	else
		copyup(c, on_volumes_filled, arg);
}

/* ---- with the image ---- */

static int admit(struct creating *n, const struct rootfs_leased *image, struct err *e)
{
	struct runtimed *rt = n->container->rt;
	const struct container_create *m = ipc_request_msg(n->req);
	const struct policy_facts facts = {
		.container_owner = request_container_owner,
		.arg = rt,
		.image = image->name,
		.by_digest = image->by_digest,
	};

	return guard_admit(n->req, POLICY_CREATE, m->body.json, &facts, e);
}

static int complete(struct creating *n, const struct rootfs_leased *image, struct err *e)
{
	struct container *c = n->container;

	int rc = admit(n, image, e);
	if (rc == 0)
		rc = hostconfig_check_asked(c, e);
	if (rc < 0)
		return rc;
	c->image = xstrdup(image->image);
	c->layers = json_incref(image->layers.json);
	c->image_size = (int64_t)image->size;
	c->image_labels = labels_of_image(c->config, image->config.json);
	rc = config_merge(c->config, image->config.json, e);
	if (rc == 0)
		rc = links_read(c, e);
	if (rc == 0)
		rc = hostconfig_complete(c, n->warnings, e);
	return rc == 0 ? mounts_read(c, n->req, n->warnings, e) : rc;
}

static void on_leased(void *arg, void *reply, const struct err *why)
{
	struct creating *n = arg;
	struct err e;

	if (!reply) {
		e = *why;
		give_up(n, &e);
		return;
	}
	n->leased = true;
	FAULT(create_leased);
	n->volumes_held = true;
	if (complete(n, reply, &e) < 0)
		give_up(n, &e);
	else if (volumes_any(n->container))
		volumes_acquire(n->container, on_volumes_acquired, n);
	else
		check_networks(n);
}

static void lease(struct creating *n)
{
	static const struct ipc_call_events events = {.done = on_leased};
	static const struct ipc_call_options options = {.deadline_ms = LEASE_MS, .repeatable = true};
	const struct container_create *request = ipc_request_msg(n->req);
	struct container *c = n->container;
	struct rootfs_lease m = {.container = c->id, .image = c->image_name, .platform = request->platform};
	struct err e;

	if (!ipc_call(c->rt->imaged, IPC_rootfs_lease, &m, &options, &events, n, &e))
		give_up(n, &e);
}

/* ---- the request ---- */

static int reserve(struct creating *n, const char *given, struct err *e)
{
	struct runtimed *rt = n->container->rt;
	const char *name = NULL;
	int rc = given && *given ? name_check(given, &name, e) : 0;

	if (rc < 0)
		return rc;
	struct container *other = name ? table_get(&rt->containers.by_name, name) : NULL;
	if (other)
		return err_http(
			e, 409,
			"Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to "
			"remove (or rename) that container to be able to reuse that name.",
			name, other->id);
	if (name && table_get(&rt->reserved, name))
		return err_http(e, 409, "Conflict. The container name \"/%s\" is being taken by another request.",
				name);
	char *free_name = name ? xstrdup(name) : NULL;
	while (!free_name || table_get(&rt->reserved, free_name)) {
		free(free_name);
		free_name = name_generate(&rt->containers);
	}
	n->name = free_name;
	table_put(&rt->reserved, n->name, n);
	return 0;
}

static int read_body(struct container *c, json_t *body, struct err *e)
{
	const char *image = json_text(body, "Image");
	json_t *host = json_object_get(body, "HostConfig"), *networking = json_object_get(body, "NetworkingConfig");

	if (!image || !*image)
		return err_http(e, 400, "config cannot be empty in order to create a container: Image is missing");
	c->config = json_deep_copy(body);
	json_object_del(c->config, "HostConfig");
	json_object_del(c->config, "NetworkingConfig");
	c->host = host ? json_deep_copy(host) : json_object();
	c->endpoints = json_deep_copy(json_object_get(networking, "EndpointsConfig"));
	free(c->image_name);
	c->image_name = xstrdup(image);
	return 0;
}

void on_container_create(struct ipc_request *req, struct container_create *m, struct runtimed *rt)
{
	struct creating *n = XNEW(struct creating);
	struct err e;

	n->req = req;
	n->container = container_new(rt);
	n->warnings = json_array();
	TAILQ_INSERT_TAIL(&rt->creating, n, link);
	free(n->container->owner);
	n->container->owner = xstrdup(guard_owner(req));
	n->container->own_volumes = !guard_sees_all(req);
	int rc = reserve(n, m->name, &e);
	if (rc == 0)
		rc = read_body(n->container, m->body.json, &e);
	if (rc < 0)
		give_up(n, &e);
	else
		lease(n);
}
