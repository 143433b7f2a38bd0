/* rootfs: see rootfs.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/sandbox/sandbox.h"
#include "lib/users.h"
#include "lib/util.h"
#include "lib/worker.h"
#include "runtimed/rootfs/rootfs.h"

struct worker {
	struct daemon daemon;
	struct task task;
};

int64_t ids_inside(const struct ids *ids, uint32_t id)
{
	if (!ids->size)
		return id;
	return id >= ids->base && id - ids->base < ids->size ? (int64_t)(id - ids->base) : 65534;
}

int64_t ids_on_disk(const struct ids *ids, int64_t id)
{
	if (!ids->size)
		return id;
	return id < (int64_t)ids->size ? (int64_t)ids->base + id : -1;
}

/*
 * From here on the container's root is ours, and so are its ids on disk; nothing is reached but what lies beneath it
 * and `image` (-1: none).
 */
static int enter(struct worker *w, int root, int image, uint32_t base, uint32_t size, struct err *e)
{
	struct sandbox_narrow to = {
		.dirs = {root, image},
		.ndirs = image < 0 ? 1 : 2,
		.fsuid = size ? base : (uid_t)-1,
		.fsgid = size ? base : (gid_t)-1,
	};
	struct sandbox_report report = {0};

	w->task.ids = (struct ids){base, size};
	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_sys(e, -errno, "enter the container's root");
	return sandbox_narrow(PROC_rootfs, &to, &report, e);
}

/* The end of the process's only request: whoever waits for it may also wait for what it has open. */
static void answer(struct worker *w, struct ipc_request *req, int r, json_t *take_result, const struct err *e)
{
	struct rootfs_result reply = {.result.json = take_result};

	if (r < 0 && r != -ECANCELED)
		ipc_reply_error(req, e);
	else if (r == 0)
		ipc_reply(req, &reply);
	json_decref(take_result);
	daemon_stop(&w->daemon);
}

static void on_rootfs_stat(struct ipc_request *req, struct rootfs_stat *m, struct worker *w)
{
	AUTO_PLACE struct place place = {.dir = -1};
	json_t *result = NULL;
	struct err e = {0};

	int r = enter(w, m->root, -1, m->base, m->size, &e);
	if (r == 0)
		r = place_find(m->path, &place, &e);
	if (r == 0)
		r = place_stat(&place, &result, &e);
	answer(w, req, r, result, &e);
}

/* A whole archive of one tree into `take_tar`. */
static int archive(struct worker *w, int *take_tar, enum tree_kind kind, int at, const char *base, const char *name,
		   struct err *e)
{
	struct tar tar;
	int r = tar_begin(&tar, *take_tar, &w->task, e);

	if (r == 0)
		r = tar_tree(&tar, kind, at, base, name, e);
	if (r == 0)
		r = tar_end(&tar, e);
	tar_clean(&tar);
	fd_close(take_tar);
	return r;
}

static void on_rootfs_get(struct ipc_request *req, struct rootfs_get *m, struct worker *w)
{
	AUTO_PLACE struct place place = {.dir = -1};
	json_t *info = NULL;
	struct err e = {0};

	int r = enter(w, m->root, -1, m->base, m->size, &e);
	if (r == 0)
		r = place_find(m->path, &place, &e);
	if (r == 0)
		r = place_stat(&place, &info, &e);
	if (r == 0) {
		AUTO_FREE char *text = json_dumps(info, JSON_COMPACT);
		ipc_chunk(req, text, strlen(text));
		r = archive(w, &m->tar, TREE_PATH, place.dir, place.base, place.name, &e);
	}
	json_decref(info);
	answer(w, req, r, NULL, &e);
}

static void on_rootfs_export(struct ipc_request *req, struct rootfs_export *m, struct worker *w)
{
	struct err e = {0};
	int r = enter(w, m->root, -1, m->base, m->size, &e);

	if (r == 0)
		r = archive(w, &m->tar, TREE_ROOT, AT_FDCWD, "/", "", &e);
	answer(w, req, r, NULL, &e);
}

static void on_rootfs_commit(struct ipc_request *req, struct rootfs_commit *m, struct worker *w)
{
	struct err e = {0};
	int r = enter(w, m->root, -1, m->base, m->size, &e);

	if (r == 0)
		r = archive(w, &m->tar, TREE_LAYER, AT_FDCWD, "/", "", &e);
	answer(w, req, r, NULL, &e);
}

static int put(struct worker *w, const struct rootfs_put *m, struct err *e)
{
	struct put_options how = {m->keep_kinds, -1, -1};
	struct user user;
	struct stream in;
	int r = m->user ? user_find(m->user, &user, e) : 0;

	if (r < 0)
		return r;
	if (m->user) {
		how.uid = user.uid;
		how.gid = user.gid;
	}
	r = stream_begin(&in, m->tar, &w->task, e);
	if (r == 0)
		r = stream_unpack(&in, e);
	if (r == 0)
		r = tar_unpack(&in, m->path, &how, e);
	if (r == 0)
		stream_drain(&in);
	stream_clean(&in);
	return r;
}

static void on_rootfs_put(struct ipc_request *req, struct rootfs_put *m, struct worker *w)
{
	struct err e = {0};
	int r = enter(w, m->root, -1, m->base, m->size, &e);

	if (r == 0)
		r = put(w, m, &e);
	answer(w, req, r, NULL, &e);
}

static void on_rootfs_changes(struct ipc_request *req, struct rootfs_changes *m, struct worker *w)
{
	json_t *result = NULL;
	struct err e = {0};
	int r = enter(w, m->root, m->image, m->base, m->size, &e);

	if (r == 0)
		r = upper_changes(&w->task, m->image, &result, &e);
	answer(w, req, r, result, &e);
}

static void on_rootfs_size(struct ipc_request *req, struct rootfs_size *m, struct worker *w)
{
	uint64_t bytes = 0;
	struct err e = {0};
	int r = enter(w, m->root, -1, m->base, m->size, &e);

	if (r == 0)
		r = upper_size(&w->task, &bytes, &e);
	answer(w, req, r, r == 0 ? json_pack("{s:I}", "SizeRw", (json_int_t)bytes) : NULL, &e);
}

static void on_rootfs_copy_up(struct ipc_request *req, struct rootfs_copy_up *m, struct worker *w)
{
	struct err e = {0};
	int r = enter(w, m->root, m->image, m->base, m->size, &e);

	if (r == 0)
		r = copy_up(&w->task, m->image, m->path, &e);
	answer(w, req, r, NULL, &e);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(rootfs_stat, struct worker),    IPC_HANDLER(rootfs_get, struct worker),
	IPC_HANDLER(rootfs_export, struct worker),  IPC_HANDLER(rootfs_put, struct worker),
	IPC_HANDLER(rootfs_changes, struct worker), IPC_HANDLER(rootfs_commit, struct worker),
	IPC_HANDLER(rootfs_size, struct worker),    IPC_HANDLER(rootfs_copy_up, struct worker),
};

int main(int argc, char **argv)
{
	struct worker w = {0};

	daemon_init(&w.daemon, PROC_rootfs, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	daemon_confine(&w.daemon);
	umask(0);
	w.task.peer = fcntl(w.daemon.listen_fd, F_DUPFD_CLOEXEC, 3);
	return daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), NULL, &w);
}
