#include "lib/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"

/* Ids of ours: far from those that administrators and other engines count up from 1. */
#define FIRST_ID 0x40000000u
#define ID_MASK	 0x3fffffffu
#define ATTEMPTS 16

#define COMMAND(name) QCMD(name, PRJQUOTA)

/* The kernel counts in blocks of 512 bytes. */
#define BLOCK 512

static int open_directory(const struct quota_place *place, const char *name)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};

	return (int)syscall(SYS_openat2, place->parent, name, &how, sizeof how);
}

static int failed(struct err *e, int error, const char *what)
{
	switch (error) {
	case ENOTTY:
	case ENOSYS:
	case EINVAL:
	case ESRCH:
	case ENOTSUP:
		return err_set(e, -EOPNOTSUPP,
			       "the file system has no project quotas, or is not mounted with prjquota");
	default:
		return err_sys(e, -error, "project quota: %s", what);
	}
}

static int attributes(int fd, struct fsxattr *out, struct err *e)
{
	return ioctl(fd, FS_IOC_FSGETXATTR, out) < 0 ? failed(e, errno, "read a directory's project") : 0;
}

/* What these directories carry of their own; 0 when it is nothing, or only what they have from their parent. */
static int find_id(const struct quota_place *place, uint32_t *out, struct err *e)
{
	AUTO_CLOSE int first = open_directory(place, place->names[0]);
	AUTO_CLOSE int parent = open_directory(place, ".");
	struct fsxattr own, above;

	*out = 0;
	if (first < 0 || parent < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open a directory with a quota");
	int rc = attributes(first, &own, e);
	if (rc == 0)
		rc = attributes(parent, &above, e);
	if (rc == 0 && own.fsx_projid != above.fsx_projid && (own.fsx_xflags & FS_XFLAG_PROJINHERIT))
		*out = own.fsx_projid;
	return rc;
}

static int give_id(const struct quota_place *place, uint32_t id, struct err *e)
{
	for (const char *const *name = place->names; *name; name++) {
		AUTO_CLOSE int fd = open_directory(place, *name);
		struct fsxattr attr;
		int rc = fd < 0 ? err_sys(e, -errno, "open %s", *name) : attributes(fd, &attr, e);

		if (rc < 0)
			return rc;
		attr.fsx_projid = id;
		attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
		if (ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0)
			return failed(e, errno, "set a directory's project");
	}
	return 0;
}

/* How many files carry the id. */
static int count(const struct quota_place *place, uint32_t id, uint64_t *files, struct err *e)
{
	struct fs_disk_quota quota = {0};

	*files = 0;
	if (syscall(SYS_quotactl_fd, place->parent, COMMAND(Q_XGETQUOTA), id, &quota) < 0)
		return errno == ENOENT ? 0 : failed(e, errno, "read a limit");
	*files = quota.d_icount;
	return 0;
}

/* An id that only these directories carry: whoever takes the same one at the same moment sees both, and tries another.
 */
static int claim_id(const struct quota_place *place, uint32_t *out, struct err *e)
{
	uint64_t ours = 0, files;

	for (const char *const *name = place->names; *name; name++)
		ours++;
	for (int i = 0; i < ATTEMPTS; i++) {
		uint32_t id;

		if (getrandom(&id, sizeof id, 0) != sizeof id)
			return err_sys(e, -errno, "getrandom");
		id = FIRST_ID | (id & ID_MASK);
		int rc = count(place, id, &files, e);
		if (rc == 0 && files == 0 && (rc = give_id(place, id, e)) == 0)
			rc = count(place, id, &files, e);
		if (rc < 0)
			return rc;
		*out = id;
		if (files == ours)
			return 0;
	}
	return err_set(e, -EBUSY, "project quota: no free id was found");
}

static int set_limit(const struct quota_place *place, uint32_t id, uint64_t bytes, struct err *e)
{
	struct fs_disk_quota quota = {
		.d_version = FS_DQUOT_VERSION,
		.d_flags = FS_PROJ_QUOTA,
		.d_id = id,
		.d_fieldmask = FS_DQ_BSOFT | FS_DQ_BHARD,
		.d_blk_softlimit = (bytes + BLOCK - 1) / BLOCK,
		.d_blk_hardlimit = (bytes + BLOCK - 1) / BLOCK,
	};

	return syscall(SYS_quotactl_fd, place->parent, COMMAND(Q_XSETQLIM), id, &quota) < 0
		       ? failed(e, errno, "set a limit")
		       : 0;
}

int quota_limit(const struct quota_place *place, uint64_t bytes, struct err *e)
{
	uint32_t id;
	int rc = find_id(place, &id, e);

	if (rc == 0 && !id)
		rc = claim_id(place, &id, e);
	return rc < 0 ? rc : set_limit(place, id, bytes, e);
}

int quota_lift(const struct quota_place *place, struct err *e)
{
	uint32_t id;
	int rc = find_id(place, &id, e);

	if (rc == 0 && id)
		rc = set_limit(place, id, 0, e);
	return rc == -EOPNOTSUPP ? 0 : rc;
}
