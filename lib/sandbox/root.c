#include "lib/sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/util.h"

/* ---- what goes in ---- */

static void fail(struct paths *p, const char *path)
{
	if (p->code == 0)
		p->code = err_sys(&p->error, -errno, "sandbox: %s", path);
}

/*
 * A clone of what is there, made while its mount namespace is ours (nothing of another namespace can be bound), that
 * sees later mounts of the host and passes none on; without set-uid, devices and programs, and read-only unless it is
 * to be written.
 */
static int clone_tree(int dir, const char *path, unsigned use)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
				  .propagation = MS_SLAVE};
	const unsigned deep = use & PATH_ALONE ? 0 : AT_RECURSIVE;
	AUTO_CLOSE int tree = open_tree(dir, path, AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | deep);

	if (tree < 0)
		return -1;
	if (!(use & PATH_WRITE))
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
		return -1;
	return STEAL_FD(tree);
}

static void add(struct paths *p, const char *path, int fd, unsigned use)
{
	struct path_entry *entry;
	AUTO_CLOSE int tree = -1;

	if (!p->v)
		p->v = xcalloc(PATHS_MAX, sizeof *p->v);
	if (p->n == PATHS_MAX || strlen(path) >= sizeof p->v->path || path[0] != '/') {
		errno = p->n == PATHS_MAX ? E2BIG : EINVAL;
		fail(p, path);
		return;
	}
	if (use & PATH_MAKE) {
		/* When that fails it is a path that is not there. */
		AUTO_FREE char *inside = xasprintf("%s/", path);
		(void)fd_make_parents(inside, NULL);
	}
	tree = fd >= 0 ? clone_tree(fd, "", use) : clone_tree(AT_FDCWD, path, use);
	if (tree < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			fail(p, path);
		return;
	}
	entry = &p->v[p->n++];
	strcpy(entry->path, path);
	entry->use = use;
	entry->tree = STEAL_FD(tree);
}

void paths_add_fd(struct paths *p, const char *path, int fd, unsigned use)
{
	add(p, path, fd, use);
}

void paths_add(struct paths *p, const char *path, unsigned use)
{
	if (path && *path)
		add(p, path, -1, use);
}

void paths_free(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		fd_close(&p->v[i].tree);
	free(p->v);
	*p = (struct paths){0};
}

/* ---- the root ---- */

static int make_file(int dir, const char *name)
{
	AUTO_CLOSE int file = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0444);

	return file < 0 ? -1 : 0;
}

/*
 * Make what `path` goes onto beneath `root`, without a symbolic link on the way: a directory, or an empty file.
 * Returns an O_PATH descriptor.
 */
static int make_target(int root, const char *path, bool directory, struct err *e)
{
	AUTO_CLOSE int dir = fcntl(root, F_DUPFD_CLOEXEC, 3);
	char name[NAME_MAX + 1];

	for (const char *at = path, *end; *at; at = end) {
		while (*at == '/')
			at++;
		end = strchrnul(at, '/');
		size_t n = (size_t)(end - at);
		bool last = end[strspn(end, "/")] == '\0';
		if (n == 0)
			break;
		if (n > NAME_MAX || (n == 2 && memcmp(at, "..", 2) == 0))
			return err_set(e, -EINVAL, "sandbox: the path %s has a component that is not plain", path);
		memcpy(name, at, n);
		name[n] = '\0';
		int made = last && !directory ? make_file(dir, name) : mkdirat(dir, name, 0755);
		if (made < 0 && errno != EEXIST)
			return err_sys(e, -errno, "sandbox: make %s", path);
		int next = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return err_sys(e, -errno, "sandbox: make %s", path);
		fd_close(&dir);
		dir = next;
	}
	return STEAL_FD(dir);
}

static int bind_entry(int root, struct path_entry *entry, struct err *e)
{
	AUTO_CLOSE int target = -1;
	struct stat st;

	if (fstat(entry->tree, &st) < 0)
		return err_sys(e, -errno, "sandbox: %s", entry->path);
	target = make_target(root, entry->path, S_ISDIR(st.st_mode), e);
	if (target < 0)
		return target;
	if (move_mount(entry->tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(e, -errno, "sandbox: attach %s", entry->path);
	return 0;
}

/* A tmpfs, small: it holds only the names of what is bound. */
static int make_tmpfs(struct err *e)
{
	AUTO_CLOSE int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int root;

	if (context < 0)
		return err_sys(e, -errno, "sandbox: fsopen");
	if (fsconfig(context, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "size", "64k", 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "512", 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, -errno, "sandbox: tmpfs");
	root = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return root < 0 ? err_sys(e, -errno, "sandbox: fsmount") : root;
}

static int become_root(int root, struct err *e)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};

	if (fchdir(root) < 0)
		return err_sys(e, -errno, "sandbox: fchdir");
	/* The old root ends up below the new one, and goes from there: pivot_root(2), "." twice. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, -errno, "sandbox: pivot_root");
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, -errno, "sandbox: leave the old root");
	if (mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
		return err_sys(e, -errno, "sandbox: read-only root");
	return 0;
}

static int by_length(const void *a, const void *b)
{
	size_t x = strlen(((const struct path_entry *)a)->path), y = strlen(((const struct path_entry *)b)->path);

	return (x > y) - (x < y);
}

int root_enter(struct paths *p, struct err *e)
{
	AUTO_CLOSE int root = -1;

	/* Nothing of what follows shows outside. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, -errno, "sandbox: propagation");
	root = make_tmpfs(e);
	if (root < 0)
		return root;
	/* Binding onto a tree that is attached nowhere needs Linux 6.15, so it goes over "/" first. */
	if (move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, -errno, "sandbox: attach the root");
	/* Longer paths after shorter ones: a bind hides what is below it. */
	if (p->n > 1)
		qsort(p->v, p->n, sizeof *p->v, by_length);
	mode_t mask = umask(022); /* who has given up root must be able to pass */
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->n; i++)
		r = bind_entry(root, &p->v[i], e);
	umask(mask);
	return r < 0 ? r : become_root(root, e);
}
