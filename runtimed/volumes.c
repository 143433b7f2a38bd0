#include "runtimed/volumes.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/log.h"
#include "runtimed/create.h"
#include "runtimed/db.h"
#include "runtimed/runtimed.h"

/* A volume may have to wait for its turn, its mount or plugin, and what that has left. */
#define VOLUMED_MS 30000

/* One volume after the other. */
struct volume_calls {
	struct container *container;
	volumes_done done;
	void *arg;
	size_t at;
	bool use;
};

static bool is_volume(const json_t *m)
{
	return str_eq(json_text(m, "Type"), "volume");
}

bool volumes_any(const struct container *c)
{
	json_t *m;
	size_t i;

	json_array_foreach(c->mounts, i, m)
		if (is_volume(m))
			return true;
	return false;
}

static bool available(const struct runtimed *rt)
{
	return rt->volumed && access(daemon_socket_path(&rt->d, PROC_volumed), F_OK) == 0;
}

static void next_call(struct volume_calls *v);

static void end_calls(struct volume_calls *v, int rc, const struct err *e)
{
	struct container *c = v->container;

	/* Those before the one that failed are in use. */
	if (rc < 0 && v->use && v->at > 0)
		volumes_unuse(c);
	v->done(c, rc, e, v->arg);
	container_unref(c);
	free(v);
}

static void on_held(void *arg, void *reply, const struct err *e)
{
	struct volume_calls *v = arg;
	struct volume_held *held = reply;

	if (!held) {
		end_calls(v, e->code, e);
		return;
	}
	json_t *m = json_array_get(v->container->mounts, v->at++);
	json_object_set_new(m, "Name", json_string(held->name));
	json_object_set_new(m, "Driver", json_string(held->driver));
	json_object_set_new(m, "Source", json_string(held->path));
	if (!v->use)
		json_object_set_new(json_object_get(m, "_"), "empty", json_boolean(held->empty));
	next_call(v);
}

static const struct ipc_call_events held_events = {.done = on_held};

static struct ipc_call_options patience(const struct runtimed *rt)
{
	const struct config *c = rt->d.config;
	const uint32_t ms = c->volumes_mount_timeout > c->volumes_plugin_timeout ? c->volumes_mount_timeout
										 : c->volumes_plugin_timeout;

	return (struct ipc_call_options){.deadline_ms = ms + VOLUMED_MS, .repeatable = true};
}

static struct ipc_call *acquire(struct volume_calls *v, const json_t *m, struct err *e)
{
	const struct ipc_call_options options = patience(v->container->rt);
	const json_t *extra = json_object_get(m, "_");
	const char *name = json_text(m, "Name"), *driver = json_text(m, "Driver");
	struct volume_acquire a = {
		.container = v->container->id,
		.name = name && *name ? name : NULL,
		.driver = driver && *driver ? driver : NULL,
		.options = {.json = json_object_get(extra, "options")},
		.labels = {.json = json_object_get(extra, "labels")},
		.owner = v->container->owner,
		.own = v->container->own_volumes,
	};

	return ipc_call(v->container->rt->volumed, IPC_volume_acquire, &a, &options, &held_events, v, e);
}

static void next_call(struct volume_calls *v)
{
	struct container *c = v->container;
	const struct ipc_call_options options = patience(c->rt);
	json_t *m;
	struct err e;

	while ((m = json_array_get(c->mounts, v->at)) && !is_volume(m))
		v->at++;
	if (!m) {
		end_calls(v, 0, NULL);
		return;
	}
	struct volume_use u = {.container = c->id, .name = json_text(m, "Name")};
	struct ipc_call *call = v->use ? ipc_call(c->rt->volumed, IPC_volume_use, &u, &options, &held_events, v, &e)
				       : acquire(v, m, &e);
	if (!call)
		end_calls(v, e.code, &e);
}

static void begin(struct container *c, bool use, volumes_done done, void *arg)
{
	struct volume_calls *v = XNEW(struct volume_calls);
	struct err e;

	*v = (struct volume_calls){.container = container_ref(c), .done = done, .arg = arg, .use = use};
	if (available(c->rt)) {
		next_call(v);
		return;
	}
	err_http(&e, 501, "volumes are not available: the engine runs without volumed");
	end_calls(v, e.code, &e);
}

void volumes_acquire(struct container *c, volumes_done done, void *arg)
{
	struct err e;

	/* What is made for a container that comes to nothing must not stay. */
	if (db_owe(c, true, &e) < 0) {
		done(c, e.code, &e, arg);
		return;
	}
	begin(c, false, done, arg);
}

void volumes_use(struct container *c, volumes_done done, void *arg)
{
	begin(c, true, done, arg);
}

static void on_released(void *arg, void *reply, const struct err *e)
{
	struct volume_calls *v = arg;

	if (reply)
		db_paid(v->container->rt, v->container->id);
	end_calls(v, reply ? 0 : e->code, e);
}

static const struct ipc_call_events release_events = {.done = on_released};

static void on_told(void *arg, void *reply, const struct err *e)
{
	struct volume_calls *v = arg;

	if (v)
		end_calls(v, reply ? 0 : e->code, e);
	else if (!reply)
		log_warn("volumed: %s", e->text);
}

static const struct ipc_call_events told = {.done = on_told};

void volumes_unuse(struct container *c)
{
	const struct ipc_call_options options = patience(c->rt);
	struct volume_unuse m = {.container = c->id};

	ipc_call(c->rt->volumed, IPC_volume_unuse, &m, &options, &told, NULL, NULL);
}

static void released(struct container *c, int rc, const struct err *e, void *arg)
{
	(void)arg;
	if (rc < 0)
		log_warn("release the volumes of %.12s: %s", c->id, e->text);
}

void volumes_release(struct container *c, bool anonymous, volumes_done done, void *arg)
{
	const struct ipc_call_options options = patience(c->rt);
	struct volume_release m = {.container = c->id, .anonymous = anonymous};
	struct volume_calls *v = XNEW(struct volume_calls);
	struct err e;

	*v = (struct volume_calls){.container = container_ref(c), .done = done ? done : released, .arg = arg};
	if (!available(c->rt))
		err_http(&e, 501, "volumes are not available: the engine runs without volumed");
	else if (ipc_call(c->rt->volumed, IPC_volume_release, &m, &options, &release_events, v, &e))
		return;
	on_released(v, NULL, &e);
}

/* What a crash, or volumed's absence, has left. */
struct debt {
	struct runtimed *rt;
	char id[65];
};

static void on_paid(void *arg, void *reply, const struct err *e)
{
	struct debt *debt = arg;

	if (reply)
		db_paid(debt->rt, debt->id);
	else
		log_warn("release the volumes of %.12s: %s", debt->id, e->text);
	free(debt);
}

static bool being_made(struct runtimed *rt, const char *id)
{
	struct creating *n;

	TAILQ_FOREACH(n, &rt->creating, link)
		if (str_eq(n->container->id, id))
			return true;
	return false;
}

static void pay_debts(struct runtimed *rt)
{
	static const struct ipc_call_events events = {.done = on_paid};
	const struct ipc_call_options options = patience(rt);
	json_t *owed = db_owed(rt), *anonymous;
	const char *id;

	json_object_foreach(owed, id, anonymous) {
		struct volume_release m = {.container = (char *)(uintptr_t)id, .anonymous = json_is_true(anonymous)};
		if (being_made(rt, id))
			continue;
		struct debt *debt = XNEW(struct debt);
		debt->rt = rt;
		snprintf(debt->id, sizeof debt->id, "%s", id);
		if (!ipc_call(rt->volumed, IPC_volume_release, &m, &options, &events, debt, NULL))
			free(debt);
	}
	json_decref(owed);
}

void volumes_reconcile(struct runtimed *rt)
{
	const struct ipc_call_options options = patience(rt);
	json_t *all = json_object();
	struct creating *n;
	struct container *c;

	TAILQ_FOREACH(c, &rt->containers.all, link)
		json_object_set_new(all, c->id, json_boolean(container_alive(c) || c->starting));
	TAILQ_FOREACH(n, &rt->creating, link)
		json_object_set_new(all, n->container->id, json_false());
	pay_debts(rt);
	struct volume_reconcile m = {.containers = {.json = all}};
	ipc_call(rt->volumed, IPC_volume_reconcile, &m, &options, &told, NULL, NULL);
	json_decref(all);
}
