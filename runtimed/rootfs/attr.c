/* attr: extended attributes that belong to a file, wherever it is copied to. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/rootfs/rootfs.h"

bool attr_carried(const char *name)
{
	return str_eq(name, "security.capability") || (str_starts(name, "user.") && !str_starts(name, "user.overlay."));
}

/*
 * capabilities(7): version 3 names the user namespace's root that the capabilities are good for. An archive is for any
 * container, so it carries version 2.
 */
static ssize_t plain_capability(void *value, ssize_t len)
{
	struct vfs_ns_cap_data data;

	if (len != (ssize_t)XATTR_CAPS_SZ_3)
		return len;
	memcpy(&data, value, sizeof data);
	data.magic_etc = (data.magic_etc & ~(uint32_t)VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_2;
	memcpy(value, &data, XATTR_CAPS_SZ_2);
	return (ssize_t)XATTR_CAPS_SZ_2;
}

int attr_each(int dir, const char *base, attr_fn fn, void *arg)
{
	char list[ATTR_VALUE], value[ATTR_VALUE];
	int r = 0;

	/* There is no call for this that takes a directory: by name from the working directory. */
	ssize_t n = fchdir(dir) < 0 ? -1 : llistxattr(base, list, sizeof list);
	for (char *p = list; r == 0 && n > 0 && p < list + n; p += strlen(p) + 1) {
		if (!attr_carried(p))
			continue;
		ssize_t len = lgetxattr(base, p, value, sizeof value);
		if (str_eq(p, "security.capability"))
			len = plain_capability(value, len);
		if (len >= 0)
			r = fn(arg, p, value, (size_t)len);
	}
	return r;
}

size_t attr_on_disk(const struct ids *ids, const struct tar_attr *a, char to[ATTR_VALUE])
{
	struct vfs_ns_cap_data data = {0};
	size_t len = a->len < ATTR_VALUE ? a->len : ATTR_VALUE;

	memcpy(to, a->value, len);
	if (!ids->size || !str_eq(a->key, "security.capability") || len != XATTR_CAPS_SZ_2)
		return len;
	memcpy(&data, to, len);
	data.magic_etc = (data.magic_etc & ~(uint32_t)VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_3;
	data.rootid = ids->base;
	memcpy(to, &data, sizeof data);
	return sizeof data;
}
