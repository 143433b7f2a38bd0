/*
 * null: a /dev/null that is nobody else's. crun gives the container's standard input to the container's user, whatever
 * it is: the host's own device would be that user's then, who sees it in the container and could close it to all
 * others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/shim/shim.h"

/* Its name goes at once: it ends with its last user. */
static int make_device(int dir)
{
	char name[16];

	snprintf(name, sizeof name, "%d", getpid());
	if (mknodat(dir, name, S_IFCHR | 0666, makedev(1, 3)) < 0)
		return -1;
	int fd = fchmodat(dir, name, 0666, 0) < 0 ? -1 : openat(dir, name, O_RDWR | O_CLOEXEC);
	unlinkat(dir, name, 0);
	return fd;
}

int null_open(int nulls, struct err *e)
{
	int fd = nulls < 0 ? -1 : make_device(nulls);

	/* An engine that may make no device nodes is in a container itself, and this is that one's. */
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open /dev/null") : fd;
}
