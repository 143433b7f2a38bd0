#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <linux/openat2.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/quota.h"
#include "lib/sandbox/calls.h"
#include "lib/size.h"
#include "lib/tree.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

/* Anything of the host's that is there, needed by no runtime, and open to everybody. */
static const char *const coverable[] = {"/mnt", "/srv", "/media", "/opt", "/home", "/var/tmp", "/tmp"};

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return path && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static void find_stages(struct launch *l)
{
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(coverable); i++) {
		bool used = is_below(l->c.run_dir, coverable[i]) || is_below(l->c.init, coverable[i]);
		for (size_t r = 0; r < l->c.nruntimes; r++)
			used = used || is_below(l->c.runtimes[r].path, coverable[i]);
		if (!used && lstat(coverable[i], &st) == 0 && S_ISDIR(st.st_mode))
			l->stages[l->nstages++] = coverable[i];
	}
}

/* NULL: works. */
static char *probe_idmap(const struct launch *l)
{
	struct err e = {0};
	const struct launch_ids ids = {.base = 1u << 20, .size = 65536};
	AUTO_CLOSE int user = -1;
	AUTO_CLOSE int net = -1;
	struct utsname u;
	unsigned major = 0, minor = 0;

	/* Overlay takes idmapped layers since 5.19. */
	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2 || major < 5 || (major == 5 && minor < 19))
		return xasprintf("this kernel is older than 5.19");
	if (namespaces_make(&ids, false, -1, &user, &net, &e) < 0)
		return xasprintf("the kernel makes no user namespace, as in a chroot: %.800s", e.text);
	AUTO_CLOSE int state = clone_mount(l->c.state_dir, false, false, MS_PRIVATE, user, &e);
	AUTO_CLOSE int layers = state < 0 ? -1 : clone_mount(l->c.layers_dir, false, false, MS_PRIVATE, user, &e);
	return layers >= 0 ? NULL : xasprintf("the store: %.800s", e.text);
}

/* A directory with one directory a container. */
static int make_dir(int at, const char *name, struct err *e)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "mkdir %s", name);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "open %s", name);
	fd_spread(fd);
	return fd;
}

/* -1: it cannot be made. */
static int make_nulls(void)
{
	AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

int launch_new(const struct launch_config *config, struct launch **out, struct err *e)
{
	struct launch *l = XNEW(struct launch);

	l->c = *config;
	l->runs_dir = l->shim_filter = -1;
	l->nulls = make_nulls();
	fd_spread(l->c.state_dir);
	LIST_INIT(&l->runs);
	LIST_INIT(&l->views);
	LIST_INIT(&l->leftovers);
	LIST_INIT(&l->orphans);
	l->capabilities = cap_own();
	l->run_dir = open(config->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = l->run_dir < 0 ? err_sys(e, -errno, "open %s", config->run_dir) : 0;
	if (r == 0 && (r = make_dir(l->run_dir, "rt", e)) >= 0) {
		close(r);
		l->runs_dir = make_dir(l->run_dir, "c", e);
		r = l->runs_dir < 0 ? l->runs_dir : 0;
	}
	if (r == 0)
		r = trash_new(l, &l->trash, e);
	if (r == 0)
		r = ahead_new(l, &l->ahead, e);
	if (r == 0) {
		l->shim_filter = calls_program(sandbox_profile(PROC_shim)->second.calls, e);
		r = l->shim_filter < 0 ? l->shim_filter : 0;
	}
	if (r < 0) {
		launch_free(l);
		return r;
	}
	l->runtime_root = xasprintf("%s/rt", config->run_dir);
	find_stages(l);
	l->no_idmap = probe_idmap(l);
	l->own_parent = l->c.cgroup_parent_derived || !cgroup_exists(l->c.cgroup_parent);
	if (l->own_parent)
		cgroup_parent_make(l->c.cgroup_parent);
	*out = l;
	return 0;
}

void launch_reconfigure(struct launch *l, const struct launch_config *config)
{
	l->c = *config;
	/* They go by the place of their runtime in the list. */
	runtime_copies_free(STEAL(l->copies));
	/* The default profile may be another, or have been edited. */
	seccomp_cache_free(STEAL(l->seccomp));
}

void launch_free(struct launch *l)
{
	if (!l)
		return;
	leftovers_free(l);
	finding_free(l);
	while (!LIST_EMPTY(&l->runs))
		run_free(LIST_FIRST(&l->runs));
	free(l->by_id.slots);
	orphans_free(l);
	seccomp_cache_free(l->seccomp);
	runtime_copies_free(l->copies);
	trash_free(l->trash);
	ahead_free(l->ahead);
	if (l->own_parent)
		cgroup_remove_empty(l->c.cgroup_parent);
	fd_close(&l->run_dir);
	fd_close(&l->runs_dir);
	fd_close(&l->shim_filter);
	fd_close(&l->nulls);
	free(l->runtime_root);
	free(l->no_idmap);
	free(l);
}

const char *launch_cannot_idmap(const struct launch *l)
{
	return l->no_idmap;
}

char *cgroup_of(const struct launch *l, const char *id, const json_t *host)
{
	const char *parent = doc_text(host, "CgroupParent");

	if (!*parent)
		parent = l->c.cgroup_parent;
	return xasprintf("%s%s/%s", *parent == '/' ? "" : "/", parent, id);
}

/* ---- directories ---- */

static int ensure_dir(int at, const char *name, mode_t mode, uid_t owner, struct err *e)
{
	if (mkdirat(at, name, mode) < 0) {
		if (errno == EEXIST)
			return 0;
		return err_sys(e, -errno, "the containers' file system: create a directory");
	}
	if (owner && fchownat(at, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, -errno, "chown %s", name);
	return fchmodat(at, name, mode, 0) < 0 ? err_sys(e, -errno, "chmod %s", name) : 0;
}

/* By the empty file /.dockerenv programs find out that they run in a container. */
static int ensure_sign(int dir, struct err *e)
{
	AUTO_CLOSE int fd = openat(dir, "upper/.dockerenv", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);

	if (fd < 0 && errno != EEXIST)
		return err_sys(e, -errno, "create .dockerenv");
	return fd >= 0 && fchmod(fd, 0755) < 0 ? err_sys(e, -errno, "chmod .dockerenv") : 0;
}

int state_dirs_make(const struct launch *l, const char *id, int *out, struct err *e)
{
	int r = ensure_dir(l->c.state_dir, id, 0700, 0, e);
	AUTO_CLOSE int dir = r < 0 ? -1 : openat(l->c.state_dir, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (r == 0 && dir < 0)
		r = err_sys(e, -errno, "open the state of %s", id);
	if (r == 0)
		r = ensure_dir(dir, "upper", 0755, 0, e);
	if (r == 0)
		r = ensure_sign(dir, e);
	if (r == 0)
		r = ensure_dir(dir, "work", 0700, 0, e);
	if (r == 0)
		r = ensure_dir(dir, "files", 0755, 0, e);
	if (r == 0)
		r = ensure_dir(dir, "log", 0700, l->c.shim_uid, e);
	if (r == 0)
		*out = STEAL_FD(dir);
	return r;
}

/* The container's own layer: what overlay keeps beside it counts, as it moves between the two. */
static const char *const layer[] = {"upper", "work", NULL};

uint64_t storage_size(const json_t *host)
{
	const char *text = json_string_value(json_object_get(json_object_get(host, "StorageOpt"), "size"));
	int64_t size;

	return text && size_parse(text, &size) && size > 0 ? (uint64_t)size : 0;
}

static int limit_layer(const struct launch *l, int dir, const json_t *host, struct err *e)
{
	const struct quota_place place = {dir, layer};
	const uint64_t size = storage_size(host);
	int r = size ? quota_limit(&place, size, e) : 0;

	if (r == -EOPNOTSUPP)
		return err_http(e, 400,
				"StorageOpt: size: the engine's file system (%s) has no project quotas, or is not "
				"mounted with prjquota",
				filesystem_name(l->c.state_dir));
	return r;
}

static void unlimit_layer(const struct launch *l, const char *id)
{
	AUTO_CLOSE int dir = openat(l->c.state_dir, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	const struct quota_place place = {dir, layer};
	struct err e;

	if (dir >= 0 && quota_lift(&place, &e) < 0)
		log_warn("container %.12s: %s", id, e.text);
}

int launch_create(struct launch *l, const struct launch_spec *spec, struct err *e)
{
	AUTO_CLOSE int dir = -1;

	if (!id_valid(spec->id))
		return err_set(e, -EINVAL, "invalid container id");
	if (faccessat(l->c.state_dir, spec->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, -EEXIST, "the state of container %s exists", spec->id);
	int r = state_dirs_make(l, spec->id, &dir, e);
	if (r == 0 && (r = limit_layer(l, dir, spec->host, e)) < 0)
		trash_put(l->trash, TRASH_STATE, l->c.state_dir, spec->id, NULL);
	return r;
}

/* What a run that nobody claims has left; its directory stays as long as a process does. */
static void remove_run(struct launch *l, const char *id)
{
	AUTO_CLOSE int dir = openat(l->runs_dir, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_CLOSE int fd = dir < 0 ? -1 : openat(dir, "cgroup", O_RDONLY | O_CLOEXEC);
	char cgroup[512];

	if (dir < 0 || leftovers_check(l, id, NULL) < 0)
		return;
	ssize_t n = fd < 0 ? 0 : read(fd, cgroup, sizeof cgroup - 1);
	cgroup[n > 0 ? n : 0] = '\0';
	if (*cgroup && leftovers_remove(l, id, cgroup) == -EBUSY)
		leftovers_wait(l, id, cgroup, NULL, NULL);
	else
		trash_put(l->trash, TRASH_RUN, l->runs_dir, id, NULL);
}

int launch_remove(struct launch *l, const char *id, struct err *e)
{
	if (!id_valid(id))
		return err_set(e, -EINVAL, "invalid container id");
	if (table_get(&l->by_id, id))
		return err_set(e, -EBUSY, "container %s is running", id);
	remove_run(l, id);
	unlimit_layer(l, id);
	return trash_put(l->trash, TRASH_STATE, l->c.state_dir, id, e);
}

/* Files of containers that nobody knows: a creation or a removal was cut short. */
static void sweep_files(struct launch *l, launch_known known, void *arg)
{
	DIR *d = fdopendir(openat(l->c.state_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (id_valid(entry->d_name) && !known(arg, entry->d_name))
			tree_remove(l->c.state_dir, entry->d_name, NULL, NULL);
	if (d)
		closedir(d);
}

void launch_sweep(struct launch *l, launch_known known, void *arg)
{
	DIR *d = fdopendir(openat(l->runs_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (id_valid(entry->d_name) && !table_get(&l->by_id, entry->d_name))
			remove_run(l, entry->d_name);
	if (d)
		closedir(d);
	sweep_files(l, known, arg);
}

/* ---- bind sources ---- */

int launch_open_source(const char *path, bool create, char *real, size_t size, struct err *e)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
	char link[40];

	if (path[0] != '/')
		return err_http(e, 400, "invalid mount path: '%s' mount path must be absolute", path);
	AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	if (fd < 0 && errno == ENOENT && create) {
		AUTO_FREE char *copy = xstrdup(path);
		for (char *p = copy + 1;; p++) {
			if (*p != '/' && *p)
				continue;
			char c = *p;
			*p = '\0';
			if (mkdir(copy, 0755) < 0 && errno != EEXIST)
				return err_sys(e, -errno, "create %s", copy);
			*p = c;
			if (!c)
				break;
		}
		fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	}
	if (fd < 0) {
		if (errno == ENOENT)
			return err_http(e, 400,
					"invalid mount config for type \"bind\": bind source path does not exist: %s",
					path),
			       -ENOENT;
		return err_sys(e, -errno, "open %s", path);
	}
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, real, size - 1);
	if (n < 0 || (size_t)n >= size - 1)
		return err_set(e, -ENAMETOOLONG, "the path of %s is too long", path);
	real[n] = '\0';
	return STEAL_FD(fd);
}

int launch_log_open(struct launch *l, const char *id, unsigned n, bool *compressed, struct err *e)
{
	char name[2 * ID_CHARS + 48], number[16] = "";

	if (!id_valid(id))
		return err_set(e, -EINVAL, "invalid container id");
	if (n)
		snprintf(number, sizeof number, ".%u", n);
	snprintf(name, sizeof name, "%s/log/%s-json.log%s", id, id, number);
	int fd = openat(l->c.state_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	*compressed = fd < 0 && errno == ENOENT && n;
	if (*compressed) {
		strcat(name, ".gz");
		fd = openat(l->c.state_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	return fd < 0 ? err_sys(e, -errno, "open the log of %.12s", id) : fd;
}
