/*
 * volume-mount: mounts and unmounts the volumes that have type= and device=. One process a request of volumed's; it is
 * the only part of volumed with the power to mount, and its mounts are the host's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/quota.h"
#include "lib/times.h"
#include "lib/util.h"
#include "lib/worker.h"
#include "volumed/mount/attach.h"

struct worker {
	struct daemon daemon;
	int volumes; /* <root>/volumed/volumes */
	int asker;   /* the connection to volumed */
};

static int open_beneath(const struct worker *w, const char *path, uint64_t flags, const char *name, struct err *e)
{
	struct open_how how = {.flags = flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	int fd = (int)syscall(SYS_openat2, w->volumes, path, &how, sizeof how);

	return fd < 0 ? err_sys(e, -errno, "open volume %s", name) : fd;
}

/* The volume's _data. */
static int open_target(const struct worker *w, const char *name, struct err *e)
{
	char below[300];

	snprintf(below, sizeof below, "%s/_data", name);
	return open_beneath(w, below, O_PATH, name, e);
}

static bool is_mounted(int target)
{
	struct statx st;

	return statx(target, "", AT_EMPTY_PATH, 0, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* A server that does not answer: the signal ends the wait, and this process. */
static void give_up_after(uint32_t ms)
{
	const struct itimerval timer = {.it_value = timeval_ms(ms)};

	setitimer(ITIMER_REAL, &timer, NULL);
}

static bool is_asked_still(const struct worker *w)
{
	struct pollfd p = {.fd = w->asker, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}

/*
 * One worker at a volume, also of two of volumed's lives: one that is late was asked by a volumed that has ended, and
 * would undo what the next one's has done. Returns what holds the turn until it is closed.
 */
static int take_turn(const struct worker *w, const char *name, struct err *e)
{
	AUTO_CLOSE int dir = open_beneath(w, name, O_RDONLY, name, e);

	if (dir < 0)
		return dir;
	if (flock(dir, LOCK_EX) < 0)
		return err_sys(e, -errno, "wait for the turn at volume %s", name);
	if (!is_asked_still(w))
		return err_set(e, -ECANCELED, "volume %s: who asked has ended", name);
	return STEAL_FD(dir);
}

static void on_volume_mount_do(struct ipc_request *req, struct volume_mount_do *m, struct worker *w)
{
	struct err e = {0};

	give_up_after(w->daemon.config->volumes_mount_timeout);
	AUTO_CLOSE int turn = take_turn(w, m->name, &e);
	AUTO_CLOSE int target = turn < 0 ? turn : open_target(w, m->name, &e);

	/* The host's table is the truth: volumed cannot see these mounts where they are not shared with it. */
	if (target >= 0 && is_mounted(target)) {
		ipc_reply_done(req);
		return;
	}
	if (target < 0 || attach_volume(target, m, &e) < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}

static void on_volume_mount_undo(struct ipc_request *req, struct volume_mount_undo *m, struct worker *w)
{
	struct err e = {0};
	char path[64];

	give_up_after(w->daemon.config->volumes_mount_timeout);
	AUTO_CLOSE int turn = take_turn(w, m->name, &e);
	AUTO_CLOSE int target = turn < 0 ? turn : open_target(w, m->name, &e);

	snprintf(path, sizeof path, "/proc/self/fd/%d", target);
	if (target >= 0 && is_mounted(target) && umount2(path, MNT_DETACH))
		err_sys(&e, -errno, "unmount volume %s", m->name);
	if (e.code)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}

static void on_volume_limit(struct ipc_request *req, struct volume_limit *m, struct worker *w)
{
	static const char *const names[] = {"_data", NULL};
	struct err e = {0};
	AUTO_CLOSE int dir = open_beneath(w, m->name, O_RDONLY, m->name, &e);
	const struct quota_place place = {dir, names};

	if (dir < 0 || (m->bytes ? quota_limit(&place, m->bytes, &e) : quota_lift(&place, &e)) < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}

static const struct ipc_handler handlers[] = {
	IPC_HANDLER(volume_mount_do, struct worker),
	IPC_HANDLER(volume_mount_undo, struct worker),
	IPC_HANDLER(volume_limit, struct worker),
};

int main(int argc, char **argv)
{
	struct worker w = {.volumes = -1, .asker = -1};
	AUTO_FREE char *path = NULL;

	daemon_init(&w.daemon, PROC_volume_mount, argc, argv);
	path = xasprintf("%s/volumed/volumes", w.daemon.root);
	/* The sandbox lets it open nothing but volumes beneath this. */
	w.volumes = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w.volumes < 0) {
		log_error("open %s: %m", path);
		return 1;
	}
	w.asker = fcntl(w.daemon.listen_fd, F_DUPFD_CLOEXEC, 3);
	if (w.asker < 0) {
		log_error("keep the connection: %m");
		return 1;
	}
	daemon_confine(&w.daemon);
	return daemon_worker(&w.daemon, handlers, ARRAY_LEN(handlers), NULL, &w);
}
