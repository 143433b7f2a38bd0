/* prepare: all that a shim is handed at a start: namespaces, clones of mounts, files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/logopt.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define RESOLV_CONF_MAX (64u << 10)

static int copy_fd(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int take_namespaces(struct launch_run *run, const struct launch_spec *spec, struct err *e)
{
	const char *mode = doc_text(spec->host, "NetworkMode");

	run->files_of = spec->files_of ? xstrdup(spec->files_of) : NULL;
	run->host_net = spec->join_net < 0 && str_eq(mode, "host");
	run->own_net = spec->join_net < 0 && !run->host_net;
	run->user_fd = spec->ids.size ? copy_fd(spec->userns) : -1;
	run->net_fd = copy_fd(spec->join_net);
	run->ipc_fd = copy_fd(spec->join_ipc);
	run->pid_fd = copy_fd(spec->join_pid);
	run->uts_fd = copy_fd(spec->join_uts);
	if (run->user_fd >= 0) {
		int none, net = -1;
		int r = run->own_net ? namespaces_make(&run->ids, true, run->user_fd, &none, &net, e) : 0;
		if (net >= 0)
			run->net_fd = net;
		return r;
	}
	int net = -1;
	int r = namespaces_make(&run->ids, run->own_net, -1, &run->user_fd, &net, e);
	if (net >= 0)
		run->net_fd = net;
	return r;
}

static int propagation_flag(enum launch_propagation p)
{
	switch (p) {
	case LAUNCH_RSLAVE:
	case LAUNCH_SLAVE:
		return MS_SLAVE;
	case LAUNCH_RSHARED:
	case LAUNCH_SHARED:
		return MS_SHARED;
	case LAUNCH_RPRIVATE:
	case LAUNCH_PRIVATE:
		break;
	}
	return MS_PRIVATE;
}

/* One mount, without what is below its source unless `deep`. */
static int add_mount(struct launch_run *run, const struct launch_mount *m, bool deep, struct shim_settings *settings,
		     struct err *e)
{
	struct stat st;

	if (fstat(m->source, &st) < 0)
		return err_sys(e, -errno, "stat %s", m->name);
	int fd = clone_mount(m->source, deep, m->read_only && (deep || !m->top_only), propagation_flag(m->propagation),
			     m->plain ? -1 : run->user_fd, e);
	if (fd < 0)
		return err_prefix(e, "mount %s at %s", m->name, m->destination), e->code;
	settings_take_fd(settings, "mount", fd);
	settings_text(settings, "target", m->destination);
	run->mounts = xrealloc(run->mounts, run->nmounts + 1, sizeof *run->mounts);
	run->mounts[run->nmounts++] = (struct bundle_mount){.destination = xstrdup(m->destination),
							    .read_only = m->read_only,
							    .propagation = m->propagation,
							    .is_file = !S_ISDIR(st.st_mode)};
	return 0;
}

static int add_below(struct launch_run *run, const struct launch_mount *top, struct shim_settings *settings,
		     struct err *e)
{
	struct submounts below;
	int r = submounts_find(top->source, &below, e);

	for (size_t i = 0; r == 0 && i < below.n; i++) {
		struct launch_mount m = *top;
		AUTO_FREE char *destination = xasprintf("%s/%s", top->destination, below.v[i].path);
		m.source = below.v[i].fd;
		m.destination = destination;
		m.read_only = top->read_only && !top->top_only;
		r = add_mount(run, &m, false, settings, e);
	}
	submounts_clean(&below);
	return r;
}

/* `view`: for a look at the files, where the shim attaches them; else for the runtime. */
static int add_mounts(struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings, bool view,
		      struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < spec->nmounts; i++) {
		const struct launch_mount *m = &spec->mounts[i];
		r = add_mount(run, m, m->recursive && view, settings, e);
		if (r == 0 && !view && m->recursive)
			r = add_below(run, m, settings, e);
	}
	if (r < 0 || view || spec->join_shm < 0)
		return r;
	/* A clone already, made in the other container's mount namespace. */
	settings_take_fd(settings, "mount", copy_fd(spec->join_shm));
	run->mounts = xrealloc(run->mounts, run->nmounts + 1, sizeof *run->mounts);
	run->mounts[run->nmounts++] = (struct bundle_mount){.destination = xstrdup("/dev/shm")};
	return 0;
}

/* Devices of a container with a user namespace: see add_node() of bundle_devices.c. */
static int add_nodes(struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings,
		     struct err *e)
{
	if (!run->ids.size || json_array_size(json_object_get(spec->host, "Devices")) == 0)
		return 0;
	run->nodes_fd = tmpfs_mount(e);
	if (run->nodes_fd < 0)
		return run->nodes_fd;
	settings_take_fd(settings, "mount", copy_fd(run->nodes_fd));
	run->mounts = xrealloc(run->mounts, run->nmounts + 1, sizeof *run->mounts);
	run->mounts[run->nmounts++] = (struct bundle_mount){0};
	return 0;
}

/* Where the runtime mounts a tmpfs: for the shim to look at, as at the targets of the mounts. */
static void add_tmpfs_targets(const struct launch_spec *spec, struct shim_settings *settings)
{
	const char *path;
	json_t *v, *item;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)json_object_get(spec->host, "Tmpfs"), path, v)
		settings_text(settings, "tmpfs", path);
	json_array_foreach(json_object_get(spec->host, "Mounts"), i, item)
		if (str_eq(doc_text(item, "Type"), "tmpfs"))
			settings_text(settings, "tmpfs", doc_text(item, "Target"));
}

static int add_layers(struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings,
		      struct err *e)
{
	for (size_t i = 0; i < spec->nlayers; i++) {
		if (!id_valid(spec->layers[i]))
			return err_set(e, -EINVAL, "invalid layer id \"%.80s\"", spec->layers[i]);
		AUTO_CLOSE int dir = openat(run->launch->c.layers_dir, spec->layers[i],
					    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir < 0)
			return err_sys(e, -errno, "open layer %.12s", spec->layers[i]);
		int fd = clone_mount(dir, false, true, MS_PRIVATE, run->user_fd, e);
		if (fd < 0)
			return err_prefix(e, "layer %.12s", spec->layers[i]), e->code;
		settings_take_fd(settings, "layer", fd);
	}
	if (run->state_dir < 0)
		return 0;
	int fd = clone_mount(run->state_dir, false, false, MS_PRIVATE, run->user_fd, e);
	if (fd < 0)
		return err_prefix(e, "the container's directory"), e->code;
	settings_take_fd(settings, "top", fd);
	return 0;
}

/* ---- the log ---- */

/* The file that `docker logs` reads: the log itself, or beside a network driver. */
static int add_log_file(struct launch_run *run, const struct launch_spec *spec, enum log_driver driver,
			const json_t *options, struct shim_settings *settings, struct err *e)
{
	const struct launch_config *c = &run->launch->c;
	bool remote = log_driver_remote(driver), local = driver == LOG_DRIVER_local;
	const char *size = remote ? "cache-max-size" : "max-size", *files = remote ? "cache-max-file" : "max-file";
	const char *compress = remote ? "cache-compress" : "compress";
	char name[ID_CHARS + 16];

	int dir = openat(run->state_dir, "log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, -errno, "open the log directory");
	settings_take_fd(settings, "log", dir);
	snprintf(name, sizeof name, "%s-json.log", run->id);
	settings_text(settings, "log-name", spec->log_path_name ? spec->log_path_name : name);
	int64_t most = local ? 20 << 20 : c->log_max_size ? (int64_t)c->log_max_size : 10 << 20;
	if (logopt_text(options, size))
		most = logopt_number(options, size);
	settings_number(settings, "log-size", most < 0 ? 0 : (uint64_t)most);
	int64_t count = local ? 5 : c->log_max_file ? c->log_max_file : 3;
	if (logopt_text(options, files))
		count = logopt_number(options, files);
	settings_number(settings, "log-files", (uint64_t)count);
	settings_number(settings, "log-compress",
			logopt_text(options, compress) ? logopt_bool(options, compress) : local);
	if (!remote && str_eq(logopt_text(options, "mode"), "non-blocking"))
		settings_number(settings, "log-buffer", (uint64_t)logopt_number(options, "max-buffer-size"));
	return 0;
}

/* "attrs":{…}, as it stands in each line. */
static void add_log_attributes(const struct launch_log *log, struct shim_settings *settings)
{
	if (!json_object_size(log->attributes))
		return;
	AUTO_FREE char *text = json_dumps(log->attributes, JSON_COMPACT);
	AUTO_FREE char *member = xasprintf("\"attrs\":%s,", text);
	settings_text(settings, "log-attributes", member);
}

static int add_log(struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings,
		   struct err *e)
{
	const json_t *log = json_object_get(spec->host, "LogConfig"), *options = json_object_get(log, "Config");
	const char *name = doc_text(log, "Type");
	enum log_driver driver = *name ? log_driver_find(name) : LOG_DRIVER_json_file;
	int lines = -1, r = 0;

	if (driver == LOG_DRIVER_none || driver == LOG_DRIVERS)
		return 0;
	if (!log_driver_remote(driver) || !logopt_bool(options, "cache-disabled"))
		r = add_log_file(run, spec, driver, options, settings, e);
	if (r == 0 && spec->log)
		add_log_attributes(spec->log, settings);
	if (r < 0 || !spec->log || !spec->log->setup)
		return r;
	settings_number(settings, "logger-drops", str_eq(logopt_text(options, "mode"), "non-blocking"));
	r = logger_start(run, spec->log->setup, &lines, e);
	if (r == 0)
		settings_take_fd(settings, "logger", lines);
	return r;
}

/* ---- all of it ---- */

static void add_user(const struct launch_spec *spec, struct shim_settings *settings)
{
	const char *workdir = doc_text(spec->config, "WorkingDir");
	json_t *item;
	size_t i;

	if (*workdir && !str_eq(workdir, "/"))
		settings_text(settings, "workdir", workdir);
	settings_text(settings, "user", doc_text(spec->config, "User"));
	json_array_foreach(json_object_get(spec->host, "GroupAdd"), i, item)
		if (json_is_string(item))
			settings_text(settings, "group", json_string_value(item));
}

static int add_runtime(struct launch_run *run, struct shim_settings *settings, struct err *e)
{
	const struct launch_runtime *rt = runtime_of(run->launch, run->host, e);

	if (!rt)
		return -EINVAL;
	settings_text(settings, "runtime", rt->path);
	settings_fd(settings, "program", runtime_copy(run->launch, rt));
	settings_fd(settings, "nulls", run->launch->nulls);
	settings_number(settings, "exec-shows", rt->bpf_annotation); /* it is crun */
	for (size_t i = 0; rt->args && rt->args[i]; i++)
		settings_text(settings, "runtime-arg", rt->args[i]);
	settings_text(settings, "runtime-root", run->launch->runtime_root);
	return 0;
}

void settings_stages(struct shim_settings *s, const struct launch *l)
{
	for (size_t i = 0; i < l->nstages; i++)
		settings_text(s, "stage", l->stages[i]);
}

static void add_process(const struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings)
{
	const json_t *size = json_object_get(spec->host, "ConsoleSize");

	settings_text(settings, "id", run->id);
	settings_number(settings, "base", run->ids.base);
	settings_number(settings, "size", run->ids.size);
	settings_number(settings, "uid", run->launch->c.shim_uid);
	settings_fd(settings, "filter", run->launch->shim_filter);
	settings_number(settings, "tty", doc_true(spec->config, "Tty"));
	settings_number(settings, "stdin", doc_true(spec->config, "OpenStdin"));
	settings_number(settings, "stdin-once", doc_true(spec->config, "StdinOnce"));
	settings_number(settings, "rows", (uint64_t)json_integer_value(json_array_get(size, 0)));
	settings_number(settings, "columns", (uint64_t)json_integer_value(json_array_get(size, 1)));
	settings_stages(settings, run->launch);
	settings_fd(settings, "dir", run->dir);
	settings_fd(settings, "keep", run->user_fd);
	settings_fd(settings, "keep", run->net_fd);
	settings_fd(settings, "keep", run->ipc_fd);
	settings_fd(settings, "keep", run->pid_fd);
	settings_fd(settings, "keep", run->uts_fd);
}

int run_prepare(struct launch_run *run, const struct launch_spec *spec, struct shim_settings *settings, struct err *e)
{
	int r = take_namespaces(run, spec, e);

	if (r == 0)
		r = add_layers(run, spec, settings, e);
	if (r == 0)
		r = add_mounts(run, spec, settings, false, e);
	if (r == 0)
		r = add_nodes(run, spec, settings, e);
	add_tmpfs_targets(spec, settings);
	if (r == 0)
		r = add_log(run, spec, settings, e);
	if (r == 0)
		r = add_runtime(run, settings, e);
	if (r < 0)
		return r;
	add_process(run, spec, settings);
	add_user(spec, settings);
	int listener = shim_listener(run->dir, e);
	if (listener < 0)
		return listener;
	settings_take_fd(settings, "listen", listener);
	int fd = openat(run->dir, "exit", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "make the exit file");
	settings_take_fd(settings, "exit", fd);
	return 0;
}

int run_prepare_mount(struct launch_run *run, const struct launch_spec *spec, enum view_kind kind,
		      struct shim_settings *settings, struct err *e)
{
	int r = 0, net = -1;

	if (kind == VIEW_IMAGE)
		run->ids = (struct launch_ids){0};
	else if (run->ids.size)
		r = namespaces_make(&run->ids, false, -1, &run->user_fd, &net, e);
	if (r == 0 && kind == VIEW_CONTAINER)
		r = state_dirs_make(run->launch, run->id, &run->state_dir, e);
	if (r == 0)
		r = add_layers(run, spec, settings, e);
	if (r == 0 && kind == VIEW_CONTAINER)
		r = add_mounts(run, spec, settings, true, e);
	if (r < 0)
		return r;
	settings_number(settings, "mode", 2);
	settings_text(settings, "id", run->id);
	settings_number(settings, "base", run->ids.base);
	settings_number(settings, "size", run->ids.size);
	settings_number(settings, "read-only", kind == VIEW_CONTAINER && doc_true(spec->host, "ReadonlyRootfs"));
	settings_stages(settings, run->launch);
	return 0;
}

/* ---- /etc/hostname, /etc/hosts, /etc/resolv.conf ---- */

static int write_file(int dir, const char *name, const char *text, size_t len, struct err *e)
{
	unlinkat(dir, name, 0);
	AUTO_CLOSE int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0 || fchmod(fd, 0644) < 0)
		return err_sys(e, -errno, "write the container's %s", name);
	return fd_write_all(fd, text, len, e) < 0 ? err_prefix(e, "write the container's %s", name) : 0;
}

static int write_resolv_conf(const struct launch_run *run, int dir, struct err *e)
{
	AUTO_FREE char *text = run->resolv_conf ? xstrdup(run->resolv_conf) : NULL;
	size_t len = 0;

	if (!text) {
		AUTO_CLOSE int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			fd_read_file(fd, RESOLV_CONF_MAX, &text, &len, NULL);
	}
	return write_file(dir, "resolv.conf", text ? text : "", text ? strlen(text) : 0, e);
}

/* The very files of another container: what changes in them later changes for both. */
static int link_files(const struct launch_run *run, int dir, struct err *e)
{
	static const char *const names[] = {"hostname", "hosts", "resolv.conf"};
	AUTO_FREE char *path = xasprintf("%s/files", run->files_of);
	AUTO_CLOSE int from = openat(run->launch->c.state_dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		unlinkat(dir, names[i], 0);
		if (from < 0 || linkat(from, names[i], dir, names[i], 0) < 0)
			return err_sys(e, -errno, "take %s of container %.12s", names[i], run->files_of);
	}
	return 0;
}

int run_write_files(struct launch_run *run, struct err *e)
{
	static const char plain[] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
				    "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n"
				    "ff02::2\tip6-allrouters\n";
	const char *name = doc_text(run->config, "Hostname"), *hosts = run->hosts ? run->hosts : plain;
	AUTO_CLOSE int dir = openat(run->state_dir, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_FREE char *hostname = xasprintf("%.*s\n", *name ? 253 : 12, *name ? name : run->id);

	if (dir < 0)
		return err_sys(e, -errno, "open the container's files");
	if (run->files_of)
		return link_files(run, dir, e);
	int r = write_file(dir, "hostname", hostname, strlen(hostname), e);
	if (r == 0)
		r = write_file(dir, "hosts", hosts, strlen(hosts), e);
	return r == 0 ? write_resolv_conf(run, dir, e) : r;
}
