/* stage: the container's root file system and mounts, in a mount namespace that only the runtime will see. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/shim/shim.h"

static int enter_namespace(struct err *e)
{
	struct statfs fs;

	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, -errno, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, -errno, "make the mounts private");
	/*
	 * crun refuses hosts that have cgroup v1 and v2 at once; it shall see v1 alone there. Yet it makes its
	 * directory in v2's place: not in the host's tmpfs below, which systemd has made read-only. Covered, for an
	 * unmounting waits for the kernel.
	 */
	if (statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type != CGROUP2_SUPER_MAGIC &&
	    statfs("/sys/fs/cgroup/unified", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC &&
	    mount("pouch", "/sys/fs/cgroup/unified", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=64k") <
		    0)
		return err_sys(e, -errno, "cover /sys/fs/cgroup/unified");
	return 0;
}

/*
 * The host's /proc remembers /proc/sys/net of each network namespace under the same name, and whoever looks one up
 * walks past all the others. A /proc of our own knows but the container's. Without one the start is slower, nothing
 * else.
 */
static void own_proc(void)
{
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* A directory of the host that everybody may traverse is covered: below runtimed's own a user namespace sees nothing.
 */
static int cover(const struct shim_args *a, char stage[256], struct err *e)
{
	for (size_t i = 0; i < a->nstages; i++) {
		if (mount("pouch", a->stages[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0711,size=4m") < 0)
			continue;
		snprintf(stage, 256, "%s", a->stages[i]);
		if (chdir(stage) == 0)
			return 0;
	}
	return err_set(e, -ENOENT, "no directory of the host can be covered by a container's mounts");
}

static int attach(int fd, const char *target, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "stat mount %s", target);
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(target, 0755) < 0)
			return err_sys(e, -errno, "mkdir %s", target);
	} else {
		AUTO_CLOSE int made = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		if (made < 0)
			return err_sys(e, -errno, "create %s", target);
	}
	if (syscall(SYS_move_mount, fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, -errno, "attach mount %s", target);
	return 0;
}

/*
 * With an idmapped upper directory the mounter needs ids of the range, and its capabilities all the same: without
 * them mount() succeeds and the overlay is read-only.
 */
static int take_ids(uint32_t base, struct err *e)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];

	setfsgid(base);
	setfsuid(base);
	if (syscall(SYS_capget, &head, caps) < 0)
		return err_sys(e, -errno, "capget");
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	if (syscall(SYS_capset, &head, caps) < 0)
		return err_sys(e, -errno, "capset");
	return 0;
}

static void return_ids(void)
{
	setfsuid(0);
	setfsgid(0);
}

/*
 * Before Linux 6.15 an overlay takes no layer from outside the mounter's namespace, which a detached mount is. All lie
 * on one directory, one over the other: they are named by their descriptors.
 */
static int attach_layers(const struct shim_args *a, struct err *e)
{
	if (mkdir("layers", 0700) < 0)
		return err_sys(e, -errno, "mkdir layers");
	for (size_t i = 0; i < a->nlayers; i++)
		if (syscall(SYS_move_mount, a->layers[i], "", AT_FDCWD, "layers", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return err_sys(e, -errno, "attach layer %zu", i);
	return 0;
}

static int mount_overlay(const struct shim_args *a, const char *stage, struct err *e)
{
	char *options = xcalloc(1, 8192);
	AUTO_FREE char *freed = options;
	char root[300];
	size_t n = 0;

	n += (size_t)snprintf(options + n, 8192 - n, "lowerdir=");
	/* The lowest layer comes last; names are relative to /proc/self/fd, so that many fit in a page. */
	for (size_t i = a->nlayers; i-- > 0;)
		n += (size_t)snprintf(options + n, 8192 - n, "%d%s", a->layers[i], i ? ":" : "");
	if (a->nlayers == 0 && a->top < 0)
		return 0;
	/* An overlay has two layers at least. */
	if (a->nlayers == 0 || a->top < 0)
		n += (size_t)snprintf(options + n, 8192 - n, "%s%s/empty", a->nlayers ? ":" : "", stage);
	if (a->top >= 0)
		n += (size_t)snprintf(options + n, 8192 - n, ",upperdir=%s/c/upper,workdir=%s/c/work", stage, stage);
	n += (size_t)snprintf(options + n, 8192 - n, ",userxattr");
	if (n >= 4095)
		return err_set(e, -E2BIG, "the image has too many layers");
	snprintf(root, sizeof root, "%s/root", stage);
	if (chdir("/proc/self/fd") < 0)
		return err_sys(e, -errno, "chdir /proc/self/fd");
	if (mount("overlay", root, "overlay", a->top < 0 ? MS_NODEV | MS_RDONLY : MS_NODEV, options) < 0)
		return err_sys(e, -errno, "mount overlay");
	struct statvfs fs;
	if (a->top >= 0 && (statvfs(root, &fs) < 0 || (fs.f_flag & ST_RDONLY)))
		return fstatvfs(a->top, &fs) == 0 && (fs.f_bavail == 0 || fs.f_favail == 0)
			       ? err_set(e, -ENOSPC, "no space is left on the containers' file system: mount overlay")
			       : err_set(e, -EROFS, "the overlay came up read-only (see the kernel's log)");
	return chdir(stage) < 0 ? err_sys(e, -errno, "chdir %s", stage) : 0;
}

int stage_empty(const struct shim_args *a, char stage[256], struct err *e)
{
	int r = enter_namespace(e);

	if (r == 0)
		r = cover(a, stage, e);
	return r == 0 && mkdir("root", 0755) < 0 ? err_sys(e, -errno, "make the stage") : r;
}

int stage_build(const struct shim_args *a, char stage[256], struct err *e)
{
	char name[24];

	int r = enter_namespace(e);
	if (r == 0)
		r = cover(a, stage, e);
	if (r < 0)
		return r;
	own_proc();
	umask(0);
	if (mkdir("root", 0755) < 0 || mkdir("empty", 0755) < 0 || chown("empty", a->base, a->base) < 0)
		return err_sys(e, -errno, "make the stage");
	if (a->top >= 0)
		r = attach(a->top, "c", e);
	if (r == 0)
		r = attach_layers(a, e);
	if (r == 0 && a->size)
		r = take_ids(a->base, e);
	if (r == 0)
		r = mount_overlay(a, stage, e);
	return_ids();
	for (size_t i = 0; r == 0 && i < a->nmounts; i++) {
		snprintf(name, sizeof name, "m%zu", i);
		r = attach(a->mounts[i], name, e);
	}
	umask(022);
	return r;
}

/* ---- a view ---- */

/* Beneath `root` as the container would see it: the image may have planted symbolic links. */
static int open_in_root(int root, const char *path)
{
	return fd_open_within(root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* One more component below the directory `at`; a symbolic link that leads nowhere stays one. */
static void make_component(int at, const char *name, bool dir)
{
	if (dir) {
		mkdirat(at, name, 0755);
		return;
	}
	int fd = openat(at, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
	fd_close(&fd);
}

/* The place of a mount, made as the container's first start would. */
static int open_target(const struct shim_args *a, int root, const char *target, bool dir, struct err *e)
{
	char path[4096];
	int fd = open_in_root(root, target);

	if (fd != -ENOENT || snprintf(path, sizeof path, "%s/", target) >= (int)sizeof path)
		return fd < 0 ? err_sys(e, fd, "find the place of the mount %s", target) : fd;
	AUTO_CLOSE int at = open_in_root(root, "/");
	if (a->size && take_ids(a->base, e) < 0)
		return e->code;
	for (char *p = path + 1, *slash; (slash = strchr(p, '/')); p = slash + 1) {
		*slash = '\0';
		if (*p && at >= 0) {
			make_component(at, p, dir || slash[1]);
			close(at);
			at = open_in_root(root, path);
		}
		*slash = '/';
	}
	return_ids();
	return at < 0 ? err_sys(e, at, "make the place of the mount %s", target) : STEAL_FD(at);
}

static int place_mount(const struct shim_args *a, size_t i, int root, struct err *e)
{
	char from[24];
	struct stat st;

	snprintf(from, sizeof from, "m%zu", i);
	AUTO_CLOSE int tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
	if (tree < 0 || fstat(tree, &st) < 0)
		return err_sys(e, -errno, "clone the mount %s", a->targets[i]);
	AUTO_CLOSE int target = open_target(a, root, a->targets[i], S_ISDIR(st.st_mode), e);
	if (target < 0)
		return target;
	if (syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(e, -errno, "attach the mount %s", a->targets[i]);
	return 0;
}

static size_t depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1] && path[1] != '/';
	return n;
}

int stage_view(const struct shim_args *a, struct err *e)
{
	AUTO_CLOSE int root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t left = a->nmounts;
	int r = root < 0 ? err_sys(e, -errno, "open the root") : 0;

	umask(0);
	/* A mount in another one comes after it. */
	for (size_t level = 0; r == 0 && left; level++)
		for (size_t i = 0; r == 0 && i < a->nmounts; i++)
			if (depth(a->targets[i]) == level) {
				r = place_mount(a, i, root, e);
				left--;
			}
	if (r == 0 && a->read_only && mount(NULL, "root", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV, NULL) < 0)
		r = err_sys(e, -errno, "make the root read-only");
	if (r < 0)
		return r;
	int whole = (int)syscall(SYS_open_tree, AT_FDCWD, "root", OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
	return whole < 0 ? err_sys(e, -errno, "clone the container's mounts") : whole;
}
