/*
 * null: a /dev/null that is nobody else's. crun gives the container's standard input to the container's user, whatever
 * it is: the host's own device would be that user's then, who sees it in the container and could close it to all
 * others.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

/* In a file system that is mounted nowhere and ends with its last user. */
static int make_device(void)
{
	AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	AUTO_CLOSE int top = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (top < 0 || mkdirat(top, "dev", 0755) < 0 || mknodat(top, "dev/null", S_IFCHR | 0666, makedev(1, 3)) < 0 ||
	    fchmodat(top, "dev/null", 0666, 0) < 0)
		return -1;
	return openat(top, "dev/null", O_RDWR | O_CLOEXEC);
}

int null_open(bool for_runtime, struct err *e)
{
	int fd = for_runtime ? make_device() : -1;

	/* An engine that may make no device nodes is in a container itself, and this is that one's. */
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open /dev/null") : fd;
}
