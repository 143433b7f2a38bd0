/*
 * runtimed: owns containers, execs, id ranges and events. What a container is made of is built by launch/; this process
 * decides, remembers, and answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/process.h"
#include "lib/config_derive.h"
#include "lib/log.h"
#include "runtimed/db.h"
#include "runtimed/events.h"
#include "runtimed/idrange.h"
#include "runtimed/merge.h"
#include "runtimed/networks.h"
#include "runtimed/run.h"
#include "runtimed/runtimed.h"
#include "runtimed/volumes.h"

/* ---- what others ask about containers ---- */

void on_service_status(struct ipc_request *req, struct service_status *m, struct runtimed *rt)
{
	json_t *state = daemon_state_json(&rt->d);
	struct service_state reply = {.state = {.json = state}};

	(void)m;
	ipc_reply(req, &reply);
	json_decref(state);
}

void on_container_counts(struct ipc_request *req, struct container_counts *m, struct runtimed *rt)
{
	struct container_counted counted = {.total = (uint32_t)rt->containers.count};
	struct container *c;

	(void)m;
	TAILQ_FOREACH(c, &rt->containers.all, link) {
		counted.running += container_running(c) && c->state.status != CT_PAUSED;
		counted.paused += c->state.status == CT_PAUSED;
	}
	counted.stopped = counted.total - counted.running - counted.paused;
	if (rt->d.config->userns_enabled)
		counted.host_ids = launch_cannot_idmap(rt->launch);
	ipc_reply(req, &counted);
}

void on_containers_running(struct ipc_request *req, struct containers_running *m, struct runtimed *rt)
{
	struct containers_that_run reply = {.containers.json = json_array()};
	json_t *id;
	size_t i;

	json_array_foreach(m->containers.json, i, id) {
		const char *text = json_string_value(id);
		const struct container *c = text ? table_get(&rt->containers.by_id, text) : NULL;
		if (c && container_running(c))
			json_array_append(reply.containers.json, id);
	}
	ipc_reply(req, &reply);
	json_decref(reply.containers.json);
}

/* Containers share a range only by joining each other, and then the one that was joined came first. */
static struct container *container_of_range(struct runtimed *rt, uid_t uid)
{
	const uint32_t range = idrange_of(rt->ranges, uid);
	struct container *c;

	if (range == RANGE_NONE)
		return NULL;
	TAILQ_FOREACH(c, &rt->containers.all, link)
		if (c->range == range)
			return c;
	return NULL;
}

static void on_container_of_uid(struct ipc_request *req, struct container_of_uid *m, struct runtimed *rt)
{
	struct container *c = container_of_range(rt, m->uid);
	struct container_of_uid_is is = {0};

	if (c) {
		is.id = c->id;
		is.labels.json = labels_asked(c->config, c->image_labels);
	}
	ipc_reply(req, &is);
	json_decref(is.labels.json);
}

static int find_caller(void *arg, uid_t uid, struct guard_container *out)
{
	struct container *c = container_of_range(arg, uid);

	if (!c)
		return -ENOENT;
	snprintf(out->id, sizeof out->id, "%s", c->id);
	out->labels = labels_asked(c->config, c->image_labels);
	return 0;
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(container_create, struct runtimed),
	IPC_HANDLER_AT_ONCE(container_list, struct runtimed),
	IPC_HANDLER(container_inspect, struct runtimed),
	IPC_HANDLER(container_top, struct runtimed),
	IPC_HANDLER(container_logs, struct runtimed),
	IPC_HANDLER(container_resize, struct runtimed),
	IPC_HANDLER(container_start, struct runtimed),
	IPC_HANDLER(container_stop, struct runtimed),
	IPC_HANDLER(container_restart, struct runtimed),
	IPC_HANDLER(container_kill, struct runtimed),
	IPC_HANDLER(container_update, struct runtimed),
	IPC_HANDLER(container_rename, struct runtimed),
	IPC_HANDLER(container_pause, struct runtimed),
	IPC_HANDLER(container_unpause, struct runtimed),
	IPC_HANDLER(container_attach, struct runtimed),
	IPC_HANDLER(container_attach_ws, struct runtimed),
	IPC_HANDLER(container_wait, struct runtimed),
	IPC_HANDLER(container_remove, struct runtimed),
	IPC_HANDLER(container_unlink, struct runtimed),
	IPC_HANDLER(container_prune, struct runtimed),
	IPC_HANDLER(exec_create, struct runtimed),
	IPC_HANDLER(exec_start, struct runtimed),
	IPC_HANDLER(exec_resize, struct runtimed),
	IPC_HANDLER(exec_inspect, struct runtimed),
	IPC_HANDLER(network_connect, struct runtimed),
	IPC_HANDLER(network_disconnect, struct runtimed),
	IPC_HANDLER_AT_ONCE(system_events, struct runtimed),
	IPC_HANDLER_AT_ONCE(event_publish, struct runtimed),
	IPC_HANDLER_AT_ONCE(container_counts, struct runtimed),
	IPC_HANDLER_AT_ONCE(containers_running, struct runtimed),
	IPC_HANDLER_AT_ONCE(container_of_uid, struct runtimed),
	IPC_HANDLER(container_netns, struct runtimed),
	IPC_HANDLER(container_archive_head, struct runtimed),
	IPC_HANDLER(container_archive_get, struct runtimed),
	IPC_HANDLER(container_archive_put, struct runtimed),
	IPC_HANDLER(container_changes, struct runtimed),
	IPC_HANDLER(container_commit, struct runtimed),
	IPC_HANDLER(container_usage, struct runtimed),
	IPC_HANDLER(container_export, struct runtimed),
	IPC_HANDLER(container_stats, struct runtimed),
	IPC_HANDLER(socket_holder, struct runtimed),
	IPC_HANDLER_AT_ONCE(service_status, struct runtimed),
};

/* What launch_config points to; as long as the daemon lives. */
struct runtimed_paths {
	char *run, *shim, *rootfs_socket, *log_socket;
	int state, layers;
	struct launch_runtime *runtimes;
};

/* The directory that this program lies in has the shim, too. */
static char *beside_this_program(const char *name)
{
	char self[4096];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		return xstrdup(name);
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	return xasprintf("%.*s/%s", (int)(slash - self), self, name);
}

/* Open, made when missing. */
static int open_directory(const char *path, mode_t mode, struct err *e)
{
	if (mkdir(path, mode) && errno != EEXIST)
		return err_sys(e, -errno, "create %s", path);
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open %s", path) : fd;
}

/* imaged's store of layers; at the very first start it may not have made it yet. */
static int open_layers(struct runtimed *rt, struct err *e)
{
	const uid_t uid = process_uid(PROC_imaged, rt->d.config->ids_base);
	AUTO_CLOSE int state = daemon_state_dir(rt->d.root, PROC_imaged, rt->d.config->ids_base, e);

	if (state < 0)
		return state;
	/* Made as its owner, so that imaged, which may be starting just now, never sees it as anybody else's. */
	setfsgid(uid);
	setfsuid(uid);
	const int made = mkdirat(state, "layers", 0700) == 0 ? 0 : -errno;
	setfsuid(0);
	setfsgid(0);
	if (made < 0 && made != -EEXIST)
		return err_sys(e, made, "create the store of layers");
	const int fd = openat(state, "layers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open the store of layers") : fd;
}

static int open_paths(struct runtimed *rt, struct err *e)
{
	struct runtimed_paths *p = rt->paths = XNEW(struct runtimed_paths);
	AUTO_FREE char *state = xasprintf("%s/runtimed/containers", rt->d.root);

	p->run = xasprintf("%s/runtimed", rt->d.run);
	p->shim = beside_this_program("shim");
	p->rootfs_socket = xstrdup(daemon_socket_path(&rt->d, PROC_rootfs));
	p->log_socket = xstrdup(daemon_socket_path(&rt->d, PROC_log));
	rt->first_start = access(p->run, F_OK) != 0;
	p->layers = -1;
	p->state = open_directory(state, 0700, e);
	if (p->state < 0)
		return p->state;
	AUTO_CLOSE int run = open_directory(p->run, 0700, e);
	if (run < 0)
		return run;
	p->layers = open_layers(rt, e);
	return p->layers < 0 ? p->layers : 0;
}

static void fill_runtimes(struct runtimed_paths *p, const struct config *c, struct launch_config *out)
{
	size_t n = 0;

	free(p->runtimes);
	p->runtimes = xcalloc(c->runtimes.n + 1, sizeof *p->runtimes);
	/* The default comes first. */
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < c->runtimes.n; i++) {
			const struct config_runtime *r = &c->runtimes.v[i];

			if (str_eq(r->key, c->runtime_default) == (round == 0))
				p->runtimes[n++] =
					(struct launch_runtime){r->key, r->path, r->args.v, r->bpf_annotation};
		}
	}
	out->runtimes = p->runtimes;
	out->nruntimes = n;
}

/* It points into the configuration: after each reload it is made anew. */
static struct launch_config launch_settings(struct runtimed *rt)
{
	const struct config *c = rt->d.config;
	const struct runtimed_paths *p = rt->paths;
	char derived[64];
	struct launch_config config = {
		.base = rt->d.base,
		.state_dir = p->state,
		.run_dir = p->run,
		.layers_dir = p->layers,
		.shim = p->shim,
		.rootfs_socket = p->rootfs_socket,
		.log_socket = p->log_socket,
		.ids_base = c->ids_base,
		.shim_uid = process_uid(PROC_shim, c->ids_base),
		.cgroup_parent = c->cgroup_parent,
		.cgroup_parent_derived =
			str_eq(c->cgroup_parent, config_derive("cgroup.parent", rt->d.root, derived, sizeof derived)),
		.init = c->containers_init,
		.seccomp_profile = c->seccomp_profile,
		.pids_limit = c->containers_pids_limit,
		.capabilities = c->containers_capabilities.v,
		.ncapabilities = c->containers_capabilities.n,
		.no_new_privileges = c->containers_no_new_privileges,
		.shm_size = c->containers_shm_size,
		.log_max_size = c->log_driver_max_size,
		.log_max_file = c->log_driver_max_file,
		.log_quota = c->log_driver_quota,
		.view_ended = run_view_ended,
		.left = run_left,
		.found = run_found,
		.arg = rt,
	};

	fill_runtimes(rt->paths, c, &config);
	return config;
}

static int open_launch(struct runtimed *rt, struct err *e)
{
	const struct launch_config config = launch_settings(rt);

	int r = launch_new(&config, &rt->launch, e);
	if (r == 0 && rt->d.config->userns_enabled && launch_cannot_idmap(rt->launch))
		log_warn("containers run with the ids of the host: %s", launch_cannot_idmap(rt->launch));
	return r;
}

/* ---- who holds what, after either side has been away ---- */

static void told(void *arg, void *reply, const struct err *e)
{
	(void)arg;
	(void)reply;
	if (e)
		log_warn("imaged was not told which images are in use: %s", e->text);
}

static void on_imaged(void *arg, bool connected)
{
	static const struct ipc_call_events events = {.done = told};
	const struct ipc_call_options options = {.repeatable = true};
	struct runtimed *rt = arg;
	json_t *all = json_object();
	struct container *c;
	struct creating *n;
	struct err e = {0};

	if (connected) {
		TAILQ_FOREACH(c, &rt->containers.all, link)
			json_object_set_new(all, c->id, json_string(c->image));
		TAILQ_FOREACH(n, &rt->creating, link)
			json_object_set_new(all, n->container->id,
					    json_string(n->container->image ? n->container->image : ""));
		struct rootfs_reconcile m = {.containers = {.json = all}};
		if (!ipc_call(rt->imaged, IPC_rootfs_reconcile, &m, &options, &events, NULL, &e))
			log_warn("%s", e.text);
	}
	json_decref(all);
}

static void on_netd(void *arg, bool connected)
{
	if (connected)
		networks_reconcile(arg);
}

static void on_volumed(void *arg, bool connected)
{
	if (connected)
		volumes_reconcile(arg);
}

static void open_clients(struct runtimed *rt)
{
	rt->imaged = daemon_client(&rt->d, PROC_imaged, 0);
	rt->netd = daemon_client(&rt->d, PROC_netd, 0);
	rt->volumed = daemon_client(&rt->d, PROC_volumed, 0);
	ipc_client_on_state(rt->imaged, on_imaged, rt);
	ipc_client_on_state(rt->netd, on_netd, rt);
	ipc_client_on_state(rt->volumed, on_volumed, rt);
}

/* ---- life ---- */

static int open_all(struct runtimed *rt, struct err *e)
{
	const struct config *c = rt->d.config;
	AUTO_FREE char *db = xasprintf("%s/runtimed/runtimed.db", rt->d.root);
	int rc;

	TAILQ_INIT(&rt->containers.all);
	TAILQ_INIT(&rt->creating);
	rt->ranges = idranges_new(c->ids_containers_base, c->ids_containers_size, c->ids_containers_count);
	rt->events = events_new(rt);
	if ((rc = open_paths(rt, e)) < 0 || (rc = db_open(rt, db, e)) < 0 || (rc = open_launch(rt, e)) < 0)
		return rc;
	open_clients(rt);
	if ((rc = db_load(rt, e)) < 0)
		return rc;
	run_reattach_all(rt);
	/* They learn who is there, and get back what a crash has left them with. */
	ipc_client_connect(rt->imaged);
	ipc_client_connect(rt->volumed);
	ipc_client_connect(rt->netd);
	return 0;
}

static void on_reload(struct daemon *daemon, void *arg)
{
	struct runtimed *rt = arg;

	(void)daemon;
	const struct launch_config settings = launch_settings(rt);
	launch_reconfigure(rt->launch, &settings);
	guard_reload(rt->guard);
}

/* Containers run on: the next runtimed finds them. The rest of the memory goes with the process. */
static void finish(struct runtimed *rt)
{
	db_flush(rt);
	launch_free(rt->launch);
	db_close(rt);
}

int main(int argc, char **argv)
{
	static struct runtimed rt;
	const struct guard_hooks hooks = {.arg = &rt, .container = find_caller};
	struct err e = {0};

	daemon_init(&rt.d, PROC_runtimed, argc, argv);
	rt.d.arg = &rt;
	rt.d.reload = on_reload;
	if (guard_new(&rt.d, &hooks, &rt.guard, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	daemon_confine(&rt.d);
	if (open_all(&rt, &e) < 0 || guard_serve(rt.guard, handlers, ARRAY_LEN(handlers), &rt, &rt.server, &e) < 0) {
		log_error("%s", e.text);
		return 1;
	}
	ipc_server_hold(rt.server); /* until run_found() */
	const int code = daemon_run(&rt.d);
	finish(&rt);
	return code;
}
