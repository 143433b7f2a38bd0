#include "volumed/mount/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mount_options.h"
#include "lib/util.h"

/*
 * What users ask next when all that they are told is the error's own text; and whose fault it is: 400 when the volume
 * was made with options that cannot work here, 500 (the rest, too) when another moment may be a better one.
 */
static const struct {
	int error, status;
	const char *meaning;
} meanings[] = {
	{ENODEV, 400, "the kernel has no file system of this type"},
	{ENOENT, 400, "there is no such device or directory"},
	{ENXIO, 400, "the device's node is there, and no device behind it"},
	{ENOTBLK, 400, "the device is no block device; a file with a file system in it needs a loop device"},
	{ENOTDIR, 400, "it is no directory"},
	{ELOOP, 400, "the path of a bind leads over a symbolic link; name the real one"},
	{EINVAL, 400,
	 "no such file system on the device, or an option that it does not take; the kernel's log says more"},
	{EACCES, 400, "the device can only be read (o=ro), or the server does not let this host in"},
	{EROFS, 400, "the device can only be read (o=ro)"},
	{EBUSY, 409, "the device is in use, or mounted elsewhere with other options"},
	{ECONNREFUSED, 500, "no server listens there"},
	{EHOSTUNREACH, 500, "the server is not reached"},
	{ENETUNREACH, 500, "the server is not reached"},
	{ETIMEDOUT, 500, "the server does not answer"},
};

static int refused(struct err *e, const struct volume_mount_do *m, const struct mount_options *o)
{
	const int error = errno;
	const char *meaning = "";
	int status = 500;

	for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
		if (meanings[i].error != error)
			continue;
		meaning = meanings[i].meaning;
		status = meanings[i].status;
	}
	return err_http(e, status,
			"failed to mount local volume: mount %s:%s, type: %s, flags: 0x%lx, data: %s: %s%s%s",
			m->device, m->name, m->type, o->flags, o->data, strerror(error), *meaning ? ": " : "", meaning);
}

/* mount(2)'s flags as mount_setattr(2) has them. */
static uint64_t attributes(unsigned long flags)
{
	static const struct {
		unsigned long flag;
		uint64_t attribute;
	} same[] = {
		{MS_RDONLY, MOUNT_ATTR_RDONLY},
		{MS_NOSUID, MOUNT_ATTR_NOSUID},
		{MS_NODEV, MOUNT_ATTR_NODEV},
		{MS_NOEXEC, MOUNT_ATTR_NOEXEC},
		{MS_NOATIME, MOUNT_ATTR_NOATIME},
		{MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
		{MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
	};
	uint64_t set = 0;

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (flags & same[i].flag)
			set |= same[i].attribute;
	return set;
}

/* A bind gets its flags before anybody can see it. With rbind they hold for all that is mounted below, too. */
static int bind_it(int target, const char *device, unsigned long flags)
{
	const unsigned deep = flags & MS_REC ? AT_RECURSIVE : 0;
	const bool times = flags & (MS_NOATIME | MS_RELATIME | MS_STRICTATIME);
	struct mount_attr attr = {.attr_set = attributes(flags), .attr_clr = times ? MOUNT_ATTR__ATIME : 0};
	/* The policy has decided on this very text: links lead nowhere else. */
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	AUTO_CLOSE int source = (int)syscall(SYS_openat2, AT_FDCWD, device, &how, sizeof how);
	AUTO_CLOSE int tree =
		source < 0 ? -1 : open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | deep);

	if (tree < 0 ||
	    ((attr.attr_set || attr.attr_clr) && mount_setattr(tree, "", AT_EMPTY_PATH | deep, &attr, sizeof attr) < 0))
		return -1;
	return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int attach_volume(int target, const struct volume_mount_do *m, struct err *e)
{
	struct mount_options o;
	char path[64];
	int rc;

	if (mount_options_parse(m->options, &o, e) < 0)
		return e->code;
	if (o.flags & MS_BIND) {
		rc = bind_it(target, m->device, o.flags);
	} else {
		/* Through the descriptor, so that nothing can be put in between. */
		snprintf(path, sizeof path, "/proc/self/fd/%d", target);
		rc = mount(m->device, path, m->type, o.flags, o.data);
	}
	return rc ? refused(e, m, &o) : 0;
}
