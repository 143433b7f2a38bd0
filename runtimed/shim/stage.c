/* stage: the container's root file system and mounts, in a mount namespace that only the runtime will see. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

static int enter_namespace(struct err *e)
{
	struct statfs fs;

	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, -errno, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, -errno, "make the mounts private");
	/* crun refuses hosts that have cgroup v1 and v2 at once; it shall see v1 alone there. */
	if (statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type != CGROUP2_SUPER_MAGIC)
		umount2("/sys/fs/cgroup/unified", MNT_DETACH);
	return 0;
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
	if (a->nlayers == 0)
		n += (size_t)snprintf(options + n, 8192 - n, "%s/empty", stage);
	n += (size_t)snprintf(options + n, 8192 - n, ",upperdir=%s/c/upper,workdir=%s/c/work,userxattr", stage, stage);
	if (n >= 4095)
		return err_set(e, -E2BIG, "the image has too many layers");
	snprintf(root, sizeof root, "%s/root", stage);
	if (chdir("/proc/self/fd") < 0)
		return err_sys(e, -errno, "chdir /proc/self/fd");
	if (mount("overlay", root, "overlay", MS_NODEV, options) < 0)
		return err_sys(e, -errno, "mount overlay");
	struct statvfs fs;
	if (statvfs(root, &fs) < 0 || (fs.f_flag & ST_RDONLY))
		return err_set(e, -EROFS, "the overlay came up read-only (see the kernel's log)");
	return chdir(stage) < 0 ? err_sys(e, -errno, "chdir %s", stage) : 0;
}

int stage_build(const struct shim_args *a, char stage[256], struct err *e)
{
	char name[24];

	int r = enter_namespace(e);
	if (r == 0)
		r = cover(a, stage, e);
	if (r < 0)
		return r;
	umask(0);
	if (mkdir("root", 0755) < 0 || mkdir("empty", 0755) < 0 || chown("empty", a->base, a->base) < 0)
		return err_sys(e, -errno, "make the stage");
	r = attach(a->top, "c", e);
	if (r == 0 && a->size)
		r = take_ids(a->base, e);
	if (r == 0)
		r = mount_overlay(a, stage, e);
	setfsuid(0);
	setfsgid(0);
	for (size_t i = 0; r == 0 && i < a->nmounts; i++) {
		snprintf(name, sizeof name, "m%zu", i);
		r = attach(a->mounts[i], name, e);
	}
	umask(022);
	return r;
}
