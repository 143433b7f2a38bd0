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
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define PIPE_BYTES (512 << 10)

/* What a request is about. */
enum about {
	ABOUT_CONTAINER, /* the files as the container sees them */
	ABOUT_UPPER,	 /* its upper directory, ids on disk */
	ABOUT_CHANGES,	 /* that, and what the image has below it */
	ABOUT_VOLUME,	 /* a volume, and what the image has for it */
};

struct launch_files {
	struct launch *launch;
	const struct launch_files_events *events;
	void *arg;
	enum about about;
	uint16_t number;
	union { /* all begin with root, base, size */
		struct rootfs_size any;
		struct rootfs_stat stat;
		struct rootfs_get get;
		struct rootfs_export export;
		struct rootfs_put put;
		struct rootfs_changes changes;
		struct rootfs_commit commit;
		struct rootfs_copy_up copy_up;
	} m;
	struct launch_ids ids; /* ABOUT_CONTAINER */
	char *path, *user;
	int root;  /* ABOUT_UPPER, ABOUT_CHANGES, ABOUT_VOLUME */
	int tar;   /* the worker's end of the pipe */
	int pipe;  /* our end of an answer's pipe, to give away */
	int guard; /* a copy of the worker's end: who reads sees no end before done() */
	struct view_use *view;
	struct ipc_client *client;
	struct ipc_call *call;
	bool lost;	    /* the connection to the worker */
	bool over;	    /* done, or nobody wants it any more */
	json_t *result;	    /* of a success */
	struct err failure; /* code 0: none */
	struct event *finish;
};

static void files_free(struct launch_files *f)
{
	ipc_call_cancel(f->call);
	ipc_client_free(f->client);
	if (f->view)
		view_drop(f->view);
	event_free(f->finish);
	json_decref(f->result);
	fd_close(&f->root);
	fd_close(&f->tar);
	fd_close(&f->pipe);
	fd_close(&f->guard);
	free(f->path);
	free(f->user);
	free(f);
}

/* ---- the end ---- */

static void on_finish(evutil_socket_t fd, short what, void *arg)
{
	struct launch_files *f = arg;

	(void)fd;
	(void)what;
	if (f->events)
		f->events->done(f->arg, f->result, f->failure.code ? &f->failure : NULL);
	files_free(f);
}

/* From the loop: the connection cannot be freed from within what it tells. */
static void finish(struct launch_files *f)
{
	const struct timeval now = {0};

	event_add(f->finish, &now);
}

/* A worker holds the mounts that it was given until it has ended, which the connection's end tells. */
static void on_state(void *arg, bool connected)
{
	struct launch_files *f = arg;

	if (connected)
		return;
	f->lost = true;
	if (f->over)
		finish(f);
}

static void over(struct launch_files *f)
{
	f->over = true;
	if (!f->view || !f->client || f->lost)
		finish(f);
}

/* ---- the worker ---- */

static void on_chunk(void *arg, struct chunk *chunk)
{
	struct launch_files *f = arg;
	json_t *info = json_loadb(chunk->data.data ? chunk->data.data : "", chunk->data.len, 0, NULL);

	if (f->pipe >= 0 && f->events && f->events->stream)
		f->events->stream(f->arg, info, &f->pipe);
	json_decref(info);
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct launch_files *f = arg;
	struct rootfs_result *result = reply;

	f->call = NULL;
	f->result = result ? json_incref(result->result.json) : NULL;
	if (!result)
		f->failure = *e;
	over(f);
}

static const struct ipc_call_events call_events = {.chunk = on_chunk, .done = on_done};

static int ask(struct launch_files *f, int root, const struct launch_ids *ids, struct err *e)
{
	const struct ipc_client_config config = {.self = PROC_runtimed,
						 .peer = PROC_rootfs,
						 .path = f->launch->c.rootfs_socket,
						 .ids_base = f->launch->c.ids_base};

	f->m.any.root = root;
	f->m.any.base = ids->base;
	f->m.any.size = ids->size;
	f->client = ipc_client_new(f->launch->c.base, &config);
	ipc_client_on_state(f->client, on_state, f);
	f->call = ipc_call(f->client, f->number, &f->m, NULL, &call_events, f, e);
	fd_close(&f->tar);
	if (!f->call)
		return e->code ? e->code : -EIO;
	/* What has no stat object to wait for. */
	if (f->number != IPC_rootfs_get && f->pipe >= 0 && f->events->stream)
		f->events->stream(f->arg, NULL, &f->pipe);
	return 0;
}

/* ---- the root ---- */

static void on_view(void *arg, int root, const struct err *why)
{
	static const struct launch_ids on_disk;
	struct launch_files *f = arg;
	bool own = f->about == ABOUT_CONTAINER;
	int r = why ? why->code : 0;

	if (f->over)
		return;
	if (why)
		f->failure = *why;
	if (f->about == ABOUT_CHANGES)
		f->m.changes.image = root;
	if (f->about == ABOUT_VOLUME)
		f->m.copy_up.image = root;
	if (r == 0)
		r = ask(f, own ? root : f->root, own ? &f->ids : &on_disk, &f->failure);
	if (r < 0)
		finish(f);
}

static int ask_running(struct launch_files *f, const struct launch_run *run, struct err *e)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/%d/root", run->pid);
	AUTO_CLOSE int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* The pid is still the container's: else this is a stranger's root. */
	if (fd < 0 || syscall(SYS_pidfd_send_signal, run->pidfd, 0, NULL, 0) < 0)
		return err_http(e, 409, "container %.12s is not running any more", run->id);
	return ask(f, fd, &run->ids, e);
}

static int open_upper(struct launch_files *f, const char *id, struct err *e)
{
	char path[ID_CHARS + 8];

	if (!id_valid(id))
		return err_set(e, -EINVAL, "invalid container id");
	snprintf(path, sizeof path, "%s/upper", id);
	f->root = openat(f->launch->c.state_dir, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return f->root < 0 ? err_sys(e, -errno, "open the files of %.12s", id) : 0;
}

static int begin(struct launch_files *f, const struct launch_root *root, struct err *e)
{
	static const struct launch_ids on_disk;
	const struct launch_spec *spec = root->spec;

	switch (f->about) {
	case ABOUT_CONTAINER:
		if (root->run && root->run->state == RUN_RUNNING)
			return ask_running(f, root->run, e);
		f->ids = spec->ids;
		return view_take(f->launch, VIEW_CONTAINER, spec, on_view, f, &f->view, e);
	case ABOUT_UPPER:
		if (open_upper(f, spec->id, e) < 0)
			return e->code;
		return ask(f, f->root, &on_disk, e);
	case ABOUT_CHANGES:
		if (open_upper(f, spec->id, e) < 0)
			return e->code;
		break;
	case ABOUT_VOLUME:
		break;
	}
	return view_take(f->launch, VIEW_IMAGE, spec, on_view, f, &f->view, e);
}

static struct launch_files *files_new(const struct launch_root *root, enum about about, uint16_t number,
				      const struct launch_files_events *ev, void *arg)
{
	struct launch_files *f = XNEW(struct launch_files);

	f->launch = root->launch;
	f->events = ev;
	f->arg = arg;
	f->about = about;
	f->number = number;
	f->root = f->tar = f->pipe = f->guard = -1;
	f->finish = evtimer_new(f->launch->c.base, on_finish, f);
	ipc_init(number, &f->m);
	return f;
}

static int open_pipe(struct launch_files *f, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "pipe");
	f->pipe = p[0];
	f->tar = p[1];
	/* More at a time is faster; without leave for it the pipe stays small. */
	fcntl(f->tar, F_SETPIPE_SZ, PIPE_BYTES);
	f->guard = fcntl(f->tar, F_DUPFD_CLOEXEC, 3);
	return f->guard < 0 ? err_sys(e, -errno, "dup") : 0;
}

/* `r`: of what came before. */
static int started(struct launch_files *f, int r, const struct launch_root *root, struct launch_files **out,
		   struct err *e)
{
	if (r == 0)
		r = begin(f, root, e);
	if (r < 0)
		files_free(f);
	else
		*out = f;
	return r;
}

/* ---- what can be asked ---- */

int launch_archive_head(const struct launch_root *root, const char *path, const struct launch_files_events *ev,
			void *arg, struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, ABOUT_CONTAINER, IPC_rootfs_stat, ev, arg);

	f->m.stat.path = f->path = xstrdup(path);
	return started(f, 0, root, out, e);
}

int launch_archive_get(const struct launch_root *root, const char *path, const struct launch_files_events *ev,
		       void *arg, struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, ABOUT_CONTAINER, IPC_rootfs_get, ev, arg);
	int r = open_pipe(f, e);

	f->m.get.path = f->path = xstrdup(path);
	f->m.get.tar = f->tar;
	return started(f, r, root, out, e);
}

int launch_archive_put(const struct launch_root *root, const char *path, int tar, bool no_overwrite_dir_non_dir,
		       bool copy_uid_gid, const struct launch_files_events *ev, void *arg, struct launch_files **out,
		       struct err *e)
{
	struct launch_files *f = files_new(root, ABOUT_CONTAINER, IPC_rootfs_put, ev, arg);
	const char *user = doc_text(root->spec->config, "User");

	f->tar = fcntl(tar, F_DUPFD_CLOEXEC, 3);
	f->m.put.path = f->path = xstrdup(path);
	f->m.put.tar = f->tar;
	f->m.put.keep_kinds = no_overwrite_dir_non_dir;
	f->m.put.user = f->user = copy_uid_gid && *user ? xstrdup(user) : NULL;
	return started(f, f->tar < 0 ? err_sys(e, -errno, "dup") : 0, root, out, e);
}

int launch_export(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		  struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, ABOUT_CONTAINER, IPC_rootfs_export, ev, arg);
	int r = open_pipe(f, e);

	f->m.export.tar = f->tar;
	return started(f, r, root, out, e);
}

int launch_commit_tar(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		      struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, ABOUT_UPPER, IPC_rootfs_commit, ev, arg);
	int r = open_pipe(f, e);

	f->m.commit.tar = f->tar;
	return started(f, r, root, out, e);
}

int launch_changes(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		   struct launch_files **out, struct err *e)
{
	return started(files_new(root, ABOUT_CHANGES, IPC_rootfs_changes, ev, arg), 0, root, out, e);
}

int launch_size(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		struct launch_files **out, struct err *e)
{
	return started(files_new(root, ABOUT_UPPER, IPC_rootfs_size, ev, arg), 0, root, out, e);
}

int launch_copy_up(const struct launch_root *root, const char *path, int target, const struct launch_files_events *ev,
		   void *arg, struct launch_files **out, struct err *e)
{
	struct launch_files *f = files_new(root, ABOUT_VOLUME, IPC_rootfs_copy_up, ev, arg);

	f->root = fcntl(target, F_DUPFD_CLOEXEC, 3);
	f->m.copy_up.path = f->path = xstrdup(path);
	return started(f, f->root < 0 ? err_sys(e, -errno, "dup") : 0, root, out, e);
}

void launch_files_cancel(struct launch_files *f)
{
	if (!f)
		return;
	f->events = NULL;
	ipc_call_cancel(STEAL(f->call));
	fd_close(&f->pipe);
	over(f);
}
