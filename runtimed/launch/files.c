/* files: requests about a container's files, each to a rootfs worker of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/client.h"
#include "ipc/codec.h"
#include "lib/fd.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

/* A request. With a stopped container first a shim mounts it, in a namespace that is gone when the worker is. */
struct launch_files {
	struct launch *launch;
	const struct launch_files_events *events;
	void *arg;
	uint16_t number;
	char *path;
	int tar;  /* of rootfs_put: to read from; of rootfs_get, rootfs_export: the worker's end */
	int pipe; /* our end, to give away */
	bool keep_kinds;
	int64_t uid, gid;
	struct launch_ids ids;
	struct launch_run *mounted; /* the stopped container's; NULL with a running one */
	struct ipc_client *client;
	struct ipc_call *call;
	struct event *ending;
	struct err failure;
};

static void files_free(struct launch_files *f)
{
	if (f->ending)
		event_free(f->ending);
	if (f->client)
		ipc_client_free(f->client);
	if (f->mounted) {
		trash_put(f->launch->trash, TRASH_RUN, f->launch->runs_dir, f->mounted->id, NULL);
		run_free(f->mounted);
	}
	fd_close(&f->tar);
	fd_close(&f->pipe);
	free(f->path);
	free(f);
}

static void end(struct launch_files *f, json_t *result, const struct err *e)
{
	const struct launch_files_events *events = f->events;
	void *arg = f->arg;

	events->done(arg, result, e);
	files_free(f);
}

/* ---- the worker ---- */

static void on_chunk(void *arg, struct chunk *chunk)
{
	struct launch_files *f = arg;
	json_t *info = json_loadb(chunk->data.data ? chunk->data.data : "", chunk->data.len, 0, NULL);

	if (f->pipe >= 0 && f->events->stream)
		f->events->stream(f->arg, info, &f->pipe);
	json_decref(info);
}

static void on_ending(evutil_socket_t fd, short what, void *arg)
{
	struct launch_files *f = arg;

	(void)fd;
	(void)what;
	end(f, NULL, &f->failure);
}

/* The client of the call cannot be freed from within its callback when it failed: later. */
static void fail_later(struct launch_files *f, const struct err *e)
{
	const struct timeval now = {0};

	f->failure = *e;
	f->ending = evtimer_new(f->launch->c.base, on_ending, f);
	event_add(f->ending, &now);
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct launch_files *f = arg;
	struct rootfs_result *result = reply;

	f->call = NULL;
	end(f, result ? result->result.json : NULL, result ? NULL : e);
}

static const struct ipc_call_events call_events = {.chunk = on_chunk, .done = on_done};

static int ask(struct launch_files *f, int root, struct err *e)
{
	const struct ipc_client_config config = {.self = PROC_runtimed,
						 .peer = PROC_rootfs,
						 .path = f->launch->c.rootfs_socket,
						 .ids_base = f->launch->c.ids_base};
	union {
		struct rootfs_stat stat;
		struct rootfs_get get;
		struct rootfs_export export;
		struct rootfs_put put;
	} m;

	ipc_init(f->number, &m);
	switch (f->number) {
	case IPC_rootfs_stat:
		m.stat = (struct rootfs_stat){.root = root, .base = f->ids.base, .size = f->ids.size, .path = f->path};
		break;
	case IPC_rootfs_get:
		m.get = (struct rootfs_get){
			.root = root, .base = f->ids.base, .size = f->ids.size, .path = f->path, .tar = f->tar};
		break;
	case IPC_rootfs_export:
		m.export =
			(struct rootfs_export){.root = root, .base = f->ids.base, .size = f->ids.size, .tar = f->tar};
		break;
	default:
		m.put = (struct rootfs_put){.root = root,
					    .base = f->ids.base,
					    .size = f->ids.size,
					    .path = f->path,
					    .tar = f->tar,
					    .keep_kinds = f->keep_kinds,
					    .uid = f->uid,
					    .gid = f->gid};
	}
	f->client = ipc_client_new(f->launch->c.base, &config);
	f->call = ipc_call(f->client, f->number, &m, NULL, &call_events, f, e);
	fd_close(&f->tar);
	if (!f->call)
		return e->code ? e->code : -EIO;
	if (f->number == IPC_rootfs_export && f->events->stream)
		f->events->stream(f->arg, NULL, &f->pipe);
	return 0;
}

/* ---- the root ---- */

static void on_mounted(void *arg, const struct wire_head *head, char *text, size_t len, int *fds)
{
	struct launch_files *f = arg;
	struct err e = {0};

	(void)len;
	if (f->client || f->ending)
		return; /* the shim's end, after its answer */
	if (head && head->type == WIRE_STATE) {
		AUTO_CLOSE int root = STEAL_FD(fds[0]);
		if (ask(f, root, &e) < 0)
			fail_later(f, &e);
		return;
	}
	err_set(&e, -EIO, "mount the container's files: %s", head ? text : "the shim was killed");
	fail_later(f, &e);
}

static int mount_stopped(struct launch_files *f, const struct launch_spec *spec, struct err *e)
{
	struct shim_settings settings = {0};
	int r = run_check_free(f->launch, spec->id, e);

	if (r < 0)
		return r == -EALREADY ? err_http(e, 409, "container %.12s is being worked on", spec->id) : r;
	f->mounted = run_new(f->launch, spec, NULL, NULL);
	f->mounted->shim.on = on_mounted;
	f->mounted->shim.arg = f;
	r = run_prepare_mount(f->mounted, spec, &settings, e);
	if (r == 0)
		r = shim_start(&f->mounted->shim, spec->id, &settings, e);
	settings_free(&settings);
	return r;
}

static int begin(struct launch_files *f, const struct launch_root *root, struct launch_files **out, struct err *e)
{
	char path[40];
	int r;

	if (root->run && root->run->state == RUN_RUNNING) {
		f->ids = root->run->ids;
		snprintf(path, sizeof path, "/proc/%d/root", root->run->pid);
		AUTO_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		/* The pid is still the container's: else this is a stranger's root. */
		if (fd < 0 || syscall(SYS_pidfd_send_signal, root->run->pidfd, 0, NULL, 0) < 0)
			r = err_http(e, 409, "container %.12s is not running any more", root->run->id);
		else
			r = ask(f, fd, e);
	} else {
		f->ids = root->spec->ids;
		r = mount_stopped(f, root->spec, e);
	}
	if (r < 0) {
		files_free(f);
		return r;
	}
	*out = f;
	return 0;
}

static struct launch_files *files_new(const struct launch_root *root, uint16_t number, const char *path,
				      const struct launch_files_events *ev, void *arg)
{
	struct launch_files *f = XNEW(struct launch_files);

	f->launch = root->launch;
	f->events = ev;
	f->arg = arg;
	f->number = number;
	f->path = path ? xstrdup(path) : NULL;
	f->tar = f->pipe = -1;
	f->uid = f->gid = -1;
	return f;
}

static int open_pipe(struct launch_files *f, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	f->pipe = p[0];
	f->tar = p[1];
	return 0;
}

/* ---- what can be asked ---- */

int launch_archive_head(const struct launch_root *root, const char *path, const struct launch_files_events *ev,
			void *arg, struct launch_files **out, struct err *e)
{
	return begin(files_new(root, IPC_rootfs_stat, path, ev, arg), root, out, e);
}

int launch_archive_get(const struct launch_root *root, const char *path, const struct launch_files_events *ev,
		       void *arg, struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, IPC_rootfs_get, path, ev, arg);
	int r = open_pipe(f, e);

	if (r < 0) {
		files_free(f);
		return r;
	}
	return begin(f, root, out, e);
}

/* "uid[:gid]" of ContainerConfig.User in numbers; names are not looked up here. */
static int numeric_user(const char *user, int64_t *uid, int64_t *gid, struct err *e)
{
	char *end;

	if (!*user || str_eq(user, "root"))
		user = "0:0";
	long long u = strtoll(user, &end, 10), g = *end == ':' ? strtoll(end + 1, &end, 10) : u;
	if (*end || end == user || u < 0 || g < 0)
		return err_http(e, 501, "not implemented: copyUIDGID for the user %s, which is not a number", user);
	*uid = u;
	*gid = g;
	return 0;
}

int launch_archive_put(const struct launch_root *root, const char *path, int tar, bool no_overwrite_dir_non_dir,
		       bool copy_uid_gid, const struct launch_files_events *ev, void *arg, struct launch_files **out,
		       struct err *e)
{
	struct launch_files *f = files_new(root, IPC_rootfs_put, path, ev, arg);
	int r = copy_uid_gid ? numeric_user(doc_text(root->spec->config, "User"), &f->uid, &f->gid, e) : 0;

	f->keep_kinds = no_overwrite_dir_non_dir;
	f->tar = fcntl(tar, F_DUPFD_CLOEXEC, 3);
	if (r < 0) {
		files_free(f);
		return r;
	}
	return begin(f, root, out, e);
}

int launch_export(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		  struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, IPC_rootfs_export, NULL, ev, arg);
	int r = open_pipe(f, e);

	if (r < 0) {
		files_free(f);
		return r;
	}
	return begin(f, root, out, e);
}

void launch_files_cancel(struct launch_files *f)
{
	if (f)
		files_free(f);
}

/* ---- what waits for the worker to learn layers ---- */

static int refused(const char *what, struct err *e)
{
	return err_http(e, 501, "not implemented: %s", what);
}

int launch_changes(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		   struct launch_files **out, struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("container_changes", e);
}

int launch_commit_tar(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		      struct launch_files **out, struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("container_commit", e);
}

int launch_size(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		struct launch_files **out, struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("size of a container", e);
}

int launch_copy_up(const struct launch_root *root, const char *path, int target, const struct launch_files_events *ev,
		   void *arg, struct launch_files **out, struct err *e)
{
	(void)root, (void)path, (void)target, (void)ev, (void)arg, (void)out;
	return refused("copy into a new volume", e);
}
