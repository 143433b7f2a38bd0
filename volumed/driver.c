#include "volumed/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/util.h"
#include "volumed/plugin.h"

/* The worker gives up by itself; what it takes to come and to say so. */
#define WORKER_MS 10000

/* A request to a plugin or to the mount worker, until its answer. */
struct pending {
	struct volumed *d;
	char *volume;
	driver_done done;
	void *arg;
	struct ipc_client *worker; /* the connection that is a mount worker's life; NULL without */
};

static struct pending *pending_new(struct volumed *d, const char *volume, driver_done done, void *arg)
{
	struct pending *p = XNEW(struct pending);

	*p = (struct pending){d, xstrdup(volume), done, arg, NULL};
	return p;
}

static void pending_end(struct pending *p, const char *path, const struct err *e)
{
	p->done(p->arg, path, e);
	free(p->volume);
	free(p);
}

static bool is_local(const char *driver)
{
	return str_eq(driver, VOLUME_LOCAL);
}

/* ---- plugins ---- */

static void plugin_simple_done(void *arg, const json_t *answer, const struct err *e)
{
	(void)answer;
	pending_end(arg, NULL, e);
}

static void plugin_mount_done(void *arg, const json_t *answer, const struct err *e)
{
	struct pending *p = arg;
	const char *path = json_string_value(json_object_get(answer, "Mountpoint"));
	struct err bad = {0};

	if (!e && (!path || *path != '/')) {
		err_http(&bad, 500, "volume driver: the mount point of %s is no absolute path", p->volume);
		e = &bad;
	}
	pending_end(p, e ? NULL : path, e);
}

static void ask_plugin(struct volumed *d, const char *driver, const char *method, json_t *take_body, plugin_done done,
		       struct pending *p)
{
	plugin_call(d->daemon.base, d->daemon.config, driver, method, 0, take_body, done, p);
}

/* ---- the mount worker ---- */

static void free_worker(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ipc_client_free(arg);
}

static void worker_done(void *arg, void *reply, const struct err *e)
{
	static const struct timeval now = {0, 0};
	struct pending *p = arg;
	AUTO_FREE char *path = local_path(p->d->local, p->volume);
	struct err cut = {0};

	(void)reply;
	if (e && (e->code == -ECONNRESET || e->code == -ETIMEDOUT)) {
		err_http(&cut, 500, "failed to mount local volume %s: given up after %u ms, or by a signal", p->volume,
			 p->d->daemon.config->volumes_mount_timeout);
		e = &cut;
	}
	/* Not from inside of its own callback. The worker ends with its connection. */
	event_base_once(p->d->daemon.base, -1, EV_TIMEOUT, free_worker, p->worker, &now);
	pending_end(p, e ? NULL : path, e);
}

static const struct ipc_call_events worker_events = {.done = worker_done};

static void ask_worker(struct volumed *d, uint16_t number, void *msg, struct pending *p)
{
	const struct ipc_call_options options = {.deadline_ms = d->daemon.config->volumes_mount_timeout + WORKER_MS};
	struct err e = {0};

	p->worker = daemon_client(&d->daemon, PROC_volume_mount, 0);
	if (!ipc_call(p->worker, number, msg, &options, &worker_events, p, &e))
		worker_done(p, NULL, &e);
}

static void limit_local(struct volumed *d, const char *name, uint64_t bytes, struct pending *p)
{
	struct volume_limit m = {.name = name, .bytes = bytes};

	ask_worker(d, IPC_volume_limit, &m, p);
}

/* ---- a new volume of the driver local ---- */

struct making_local {
	struct volumed *d;
	char *name;
	driver_done done;
	void *arg;
};

static void limited(void *arg, const char *path, const struct err *failure)
{
	struct making_local *m = arg;
	struct err e = {0};

	(void)path;
	if (failure) {
		local_remove(m->d->local, m->name, NULL);
		if (failure->code == -EOPNOTSUPP)
			err_http(&e, 400, "invalid option: \"size\": %s", failure->text);
		else
			e = *failure;
	}
	m->done(m->arg, NULL, failure ? &e : NULL);
	free(m->name);
	free(m);
}

static void make_local(struct volumed *d, const char *name, const json_t *options, driver_done done, void *arg)
{
	const uint64_t size = local_size(options);
	struct err e = {0};

	if (local_create(d->local, name, &e) < 0 || !size) {
		done(arg, NULL, e.code ? &e : NULL);
		return;
	}
	struct making_local *m = XNEW(struct making_local);
	*m = (struct making_local){d, xstrdup(name), done, arg};
	limit_local(d, name, size, pending_new(d, name, limited, m));
}

/* ---- the four operations ---- */

int driver_check(struct volumed *d, const char *driver, const char *name, const json_t *options, struct err *e)
{
	if (is_local(driver) && strlen(name) < LOCAL_NAME_MIN)
		return err_http(e, 400,
				"volume name is too short, names should be at least two alphanumeric characters");
	if (is_local(driver))
		return local_check_options(options, e);
	const char *dir = d->daemon.config->volumes_plugin_dir, *how;

	if (plugin_exists(dir, driver))
		return 0;
	if (plugin_described(dir, driver, &how))
		return err_http(e, 400,
				"error looking up volume plugin %s: %s.%s leads to where the engine does not reach; it "
				"needs a socket %s/%s.sock",
				driver, driver, how, dir, driver);
	return err_http(e, 404, "error looking up volume plugin %s: plugin \"%s\" not found", driver, driver);
}

void driver_create(struct volumed *d, const char *driver, const char *name, const json_t *options, driver_done done,
		   void *arg)
{
	if (is_local(driver)) {
		make_local(d, name, options, done, arg);
		return;
	}
	json_t *body = json_pack("{s:s, s:O}", "Name", name, "Opts", options);
	ask_plugin(d, driver, "VolumeDriver.Create", body, plugin_simple_done, pending_new(d, name, done, arg));
}

void driver_remove(struct volumed *d, const char *driver, const char *name, driver_done done, void *arg)
{
	struct err e = {0};

	if (is_local(driver)) {
		const int rc = local_remove(d->local, name, &e);
		done(arg, NULL, rc < 0 ? &e : NULL);
		return;
	}
	ask_plugin(d, driver, "VolumeDriver.Remove", json_pack("{s:s}", "Name", name), plugin_simple_done,
		   pending_new(d, name, done, arg));
}

static void mount_local(struct volumed *d, struct volume *v, struct pending *p)
{
	AUTO_FREE char *path = local_path(d->local, v->name);
	const uint64_t size = local_size(v->options);

	if (!local_is_mount(v->options)) {
		/* Again, as a removal that was cut off may have lifted it, or its files have come from elsewhere. */
		if (size)
			limit_local(d, v->name, size, p);
		else
			pending_end(p, path, NULL);
		return;
	}
	struct volume_mount_do m = {
		.name = v->name,
		.type = json_string_value(json_object_get(v->options, "type")),
		.device = json_string_value(json_object_get(v->options, "device")),
		.options = json_string_value(json_object_get(v->options, "o")),
	};
	ask_worker(d, IPC_volume_mount_do, &m, p);
}

void driver_mount(struct volumed *d, struct volume *v, const char *id, driver_done done, void *arg)
{
	struct pending *p = pending_new(d, v->name, done, arg);

	if (is_local(v->driver))
		mount_local(d, v, p);
	else
		ask_plugin(d, v->driver, "VolumeDriver.Mount", json_pack("{s:s, s:s}", "Name", v->name, "ID", id),
			   plugin_mount_done, p);
}

void driver_unmount(struct volumed *d, struct volume *v, const char *id, driver_done done, void *arg)
{
	struct pending *p = pending_new(d, v->name, done, arg);
	struct volume_mount_undo m = {.name = v->name};

	if (!is_local(v->driver))
		ask_plugin(d, v->driver, "VolumeDriver.Unmount", json_pack("{s:s, s:s}", "Name", v->name, "ID", id),
			   plugin_simple_done, p);
	else if (local_is_mount(v->options))
		ask_worker(d, IPC_volume_mount_undo, &m, p);
	else
		pending_end(p, NULL, NULL);
}

void driver_abandon(struct volumed *d, struct volume *v, driver_done done, void *arg)
{
	if (is_local(v->driver) && local_size(v->options))
		limit_local(d, v->name, 0, pending_new(d, v->name, done, arg));
	else
		driver_unmount(d, v, "", done, arg);
}
