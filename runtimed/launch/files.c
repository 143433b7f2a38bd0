/* files: requests about a container's files, each to a rootfs worker of its own. */
#include <errno.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

static int refused(const char *what, struct err *e)
{
	return err_http(e, 501, "not implemented: %s", what);
}

int launch_archive_head(const struct launch_root *root, const char *path, const struct launch_files_events *ev, void *arg,
			struct launch_files **out, struct err *e)
{
	(void)root, (void)path, (void)ev, (void)arg, (void)out;
	return refused("container_archive_head", e);
}

int launch_archive_get(const struct launch_root *root, const char *path, const struct launch_files_events *ev, void *arg,
		       struct launch_files **out, struct err *e)
{
	(void)root, (void)path, (void)ev, (void)arg, (void)out;
	return refused("container_archive_get", e);
}

int launch_archive_put(const struct launch_root *root, const char *path, int tar, bool no_overwrite_dir_non_dir,
		       bool copy_uid_gid, const struct launch_files_events *ev, void *arg, struct launch_files **out,
		       struct err *e)
{
	(void)root, (void)path, (void)tar, (void)no_overwrite_dir_non_dir, (void)copy_uid_gid, (void)ev, (void)arg, (void)out;
	return refused("container_archive_put", e);
}

int launch_export(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		  struct launch_files **out, struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("container_export", e);
}

int launch_changes(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		   struct launch_files **out, struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("container_changes", e);
}

int launch_commit_tar(const struct launch_root *root, const struct launch_files_events *ev, void *arg,
		      struct launch_files **out, struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("container_commit", e);
}

int launch_size(const struct launch_root *root, const struct launch_files_events *ev, void *arg, struct launch_files **out,
		struct err *e)
{
	(void)root, (void)ev, (void)arg, (void)out;
	return refused("size of a container", e);
}

int launch_copy_up(const struct launch_root *root, const char *path, int target, const struct launch_files_events *ev,
		   void *arg, struct launch_files **out, struct err *e)
{
	(void)root, (void)path, (void)target, (void)ev, (void)arg, (void)out;
	return refused("copy into a new volume", e);
}

void launch_files_cancel(struct launch_files *f)
{
	(void)f;
}
