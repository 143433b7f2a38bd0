/*
 * volume-mount: mounts and unmounts the volumes that have type= and device=. One process a request of volumed's; it is
 * the only part of volumed with the power to mount, and its mounts are the host's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "lib/worker.h"
#include "volumed/mount/options.h"

struct worker {
	struct daemon daemon;
	int volumes; /* <root>/volumed/volumes */
};

/* The volume's _data as a path that mount(2) takes: through the descriptor, so that nothing can be put in between. */
static int open_target(struct worker *w, const char *name, char *path, size_t size, struct err *e)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char below[300];

	snprintf(below, sizeof below, "%s/_data", name);
	int fd = (int)syscall(SYS_openat2, w->volumes, below, &how, sizeof how);
	if (fd < 0)
		return err_sys(e, -errno, "open volume %s", name);
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static bool is_mounted(int target)
{
	struct statx st;

	return statx(target, "", AT_EMPTY_PATH, 0, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static void on_volume_mount_do(struct ipc_request *req, struct volume_mount_do *m, struct worker *w)
{
	struct mount_options options;
	struct err e = {0};
	char path[64];
	AUTO_CLOSE int target = open_target(w, m->name, path, sizeof path, &e);

	if (target < 0 || mount_options_parse(m->options, &options, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	/* The host's table is the truth: volumed cannot see these mounts where they are not shared with it. */
	if (is_mounted(target)) {
		ipc_reply_done(req);
		return;
	}
	const char *type = options.flags & MS_BIND || str_eq(m->type, "none") ? NULL : m->type;
	if (mount(m->device, path, type, options.flags, options.data) ||
	    /* A bind takes its other flags only by a second call. */
	    ((options.flags & MS_BIND) && (options.flags & ~(unsigned long)(MS_BIND | MS_REC)) &&
	     mount(NULL, path, NULL, options.flags | MS_REMOUNT, NULL))) {
		err_sys(&e, -errno, "failed to mount local volume: mount %s:%s, flags: 0x%lx, data: %s",
			m->device ? m->device : "none", m->name, options.flags, options.data);
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply_done(req);
}

static void on_volume_mount_undo(struct ipc_request *req, struct volume_mount_undo *m, struct worker *w)
{
	struct err e = {0};
	char path[64];
	AUTO_CLOSE int target = open_target(w, m->name, path, sizeof path, &e);

	if (target < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	if (is_mounted(target) && umount2(path, MNT_DETACH)) {
		err_sys(&e, -errno, "unmount volume %s", m->name);
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply_done(req);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(volume_mount_do, struct worker),
	IPC_HANDLER(volume_mount_undo, struct worker),
};

int main(int argc, char **argv)
{
	struct worker w = {.volumes = -1};
	AUTO_FREE char *path = NULL;

	daemon_init(&w.daemon, PROC_volume_mount, argc, argv);
	path = xasprintf("%s/volumed/volumes", w.daemon.root);
	/* The sandbox lets it open nothing but volumes beneath this. */
	w.volumes = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w.volumes < 0) {
		log_error("open %s: %m", path);
		return 1;
	}
	daemon_confine(&w.daemon);
	return daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), NULL, &w);
}
