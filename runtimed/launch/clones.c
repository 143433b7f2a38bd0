/* clones: detached copies of mounts, idmapped: the form in which files travel to a shim. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

const char *filesystem_name(int fd)
{
	static const struct {
		long magic;
		const char *name;
	} names[] = {
		{0x794c7630, "overlay"},
		{PROC_SUPER_MAGIC, "proc"},
		{SYSFS_MAGIC, "sysfs"},
		{TMPFS_MAGIC, "tmpfs"},
		{NFS_SUPER_MAGIC, "nfs"},
		{0x65735546, "fuse"},
		{0x9fa2, "usbdevfs"},
		{CGROUP_SUPER_MAGIC, "cgroup"},
		{CGROUP2_SUPER_MAGIC, "cgroup2"},
		{EXT4_SUPER_MAGIC, "ext4"},
		{0x58465342, "xfs"},
		{BTRFS_SUPER_MAGIC, "btrfs"},
		{DEVPTS_SUPER_MAGIC, "devpts"},
		{0xff534d42, "cifs"},
		{0x01021997, "9p"},
		{RAMFS_MAGIC, "ramfs"},
		{DEBUGFS_MAGIC, "debugfs"},
		{0x2fc12fc1, "zfs"},
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return "?";
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].magic == (long)fs.f_type)
			return names[i].name;
	return "unknown";
}

int clone_mount(int fd, bool recursive, bool read_only, int propagation, int userns, struct err *e)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	unsigned deep = recursive ? AT_RECURSIVE : 0;
	AUTO_CLOSE int tree = (int)syscall(SYS_open_tree, fd, "", flags | deep);

	if (tree < 0)
		return err_sys(e, -errno, "clone mount");
	struct mount_attr attr = {.propagation = (__u64)propagation};
	if (read_only)
		attr.attr_set |= (__u64)MOUNT_ATTR_RDONLY;
	if (userns >= 0) {
		attr.attr_set |= (__u64)MOUNT_ATTR_IDMAP;
		attr.userns_fd = (__u64)userns;
	}
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | deep, &attr, sizeof attr) == 0)
		return STEAL_FD(tree);
	int error = errno;
	if (userns >= 0 && (error == EINVAL || error == EPERM || error == EOPNOTSUPP)) {
		err_set(e, -EOPNOTSUPP,
			"%s%s cannot be mapped to the ids of a user namespace; UsernsMode=host can use it, "
			"userns.bind-fallback=plain binds it with the ids of the host",
			filesystem_name(fd), recursive ? " or what is mounted below it" : "");
		if (e)
			e->status = 400;
		return -EOPNOTSUPP;
	}
	return err_sys(e, -error, "set attributes of a mount");
}

int tmpfs_mount(struct err *e)
{
	AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0711", 0) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, -errno, "make a tmpfs");
	const int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? err_sys(e, -errno, "mount a tmpfs") : fd;
}
