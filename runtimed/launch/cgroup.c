/* cgroup: the hierarchies as files: v1, v1 beside v2 ("hybrid"), v2. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define ROOT "/sys/fs/cgroup"

bool cgroup_is_v2(void)
{
	struct statfs fs;

	return statfs(ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static int hierarchy_path(const char *controller, const char *path, const char *file, char out[512])
{
	int n;

	if (cgroup_is_v2())
		n = snprintf(out, 512, ROOT "%s/%s", path, file);
	else
		n = snprintf(out, 512, ROOT "/%s%s/%s", controller, path, file);
	return n < 512 ? 0 : -ENAMETOOLONG;
}

int cgroup_read(const char *controller, const char *path, const char *file, char *out, size_t size)
{
	char name[512];

	if (hierarchy_path(controller, path, file, name) < 0)
		return -ENAMETOOLONG;
	AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = fd_read_full(fd, out, size - 1, NULL);
	if (n < 0)
		return (int)n;
	out[n] = '\0';
	if (n && out[n - 1] == '\n')
		out[n - 1] = '\0';
	return 0;
}

int cgroup_write(const char *controller, const char *path, const char *file, const char *value)
{
	char name[512];

	if (hierarchy_path(controller, path, file, name) < 0)
		return -ENAMETOOLONG;
	AUTO_CLOSE int fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* ---- every hierarchy ---- */

/* Calls `fn` with the directory of `path` in each hierarchy that has it. Returns the first failure. */
static int each_hierarchy(const char *path, int (*fn)(int dir, void *arg), void *arg)
{
	char name[512];
	int r = 0;

	if (cgroup_is_v2()) {
		snprintf(name, sizeof name, ROOT "%s", path);
		AUTO_CLOSE int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? 0 : fn(fd, arg);
	}
	DIR *top = opendir(ROOT);
	struct dirent *d;
	while (top && (d = readdir(top))) {
		if (d->d_name[0] == '.' || d->d_type == DT_LNK)
			continue;
		if (snprintf(name, sizeof name, ROOT "/%s%s", d->d_name, path) >= (int)sizeof name)
			continue;
		AUTO_CLOSE int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int one = fd < 0 ? 0 : fn(fd, arg);
		r = r ? r : one;
	}
	if (top)
		closedir(top);
	return r;
}

/* Calls `fn` with `dir` and every directory below it, the deepest first. */
static int each_below(int dir, int (*fn)(int at, const char *name, void *arg), void *arg)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!d) {
		fd_close(&copy);
		return 0;
	}
	while ((entry = readdir(d))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		AUTO_CLOSE int sub = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int one = sub < 0 ? 0 : each_below(sub, fn, arg);
		if (one == 0)
			one = fn(dir, entry->d_name, arg);
		r = r ? r : one;
	}
	closedir(d);
	return r;
}

static int remove_one(int at, const char *name, void *arg)
{
	(void)arg;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_below(int dir, void *arg)
{
	return each_below(dir, remove_one, arg);
}

static int remove_path(const char *hierarchy, const char *path)
{
	char name[512];

	snprintf(name, sizeof name, ROOT "%s%s%s", *hierarchy ? "/" : "", hierarchy, path);
	return rmdir(name) < 0 && errno != ENOENT && errno != ENOTDIR ? -errno : 0;
}

int cgroup_remove(const char *path)
{
	struct dirent *d;
	int r;

	if (cgroup_is_v2()) {
		r = remove_path("", path);
		if (r == 0 || (r = each_hierarchy(path, remove_below, NULL)) < 0)
			return r;
		return remove_path("", path);
	}
	r = 0;
	DIR *top = opendir(ROOT);
	while (top && (d = readdir(top))) {
		if (d->d_name[0] == '.' || d->d_type == DT_LNK)
			continue;
		int one = remove_path(d->d_name, path);
		if (one == -EBUSY && each_hierarchy(path, remove_below, NULL) == 0)
			one = remove_path(d->d_name, path);
		r = r ? r : one;
	}
	if (top)
		closedir(top);
	return r;
}

/*
 * What the runtime makes below an own parent has the processors and the memory nodes of its parent from the first. It
 * would write them otherwise, and each such write makes the kernel look through all its cpusets.
 */
void cgroup_parent_make(const char *path)
{
	char name[512];

	if (cgroup_is_v2() || hierarchy_path("cpuset", path, "", name) < 0)
		return;
	if (mkdir(name, 0755) == 0) {
		/* whatever the umask is: with the host's cgroup namespace a container looks into its own, as its own
		 * root */
		(void)chmod(name, 0755);
		(void)cgroup_write("cpuset", path, "cgroup.clone_children", "1");
	}
}

static int seen(int dir, void *arg)
{
	(void)dir;
	*(bool *)arg = true;
	return 0;
}

bool cgroup_exists(const char *path)
{
	bool found = false;

	each_hierarchy(path, seen, &found);
	return found;
}

void cgroup_remove_empty(const char *path)
{
	struct dirent *d;

	if (cgroup_is_v2()) {
		remove_path("", path);
		return;
	}
	DIR *top = opendir(ROOT);
	while (top && (d = readdir(top)))
		if (d->d_name[0] != '.' && d->d_type != DT_LNK)
			remove_path(d->d_name, path);
	if (top)
		closedir(top);
}

/* ---- processes ---- */

struct pids {
	pid_t *v;
	size_t n;
};

static int read_pids(int at, const char *name, void *arg)
{
	struct pids *pids = arg;
	AUTO_CLOSE int dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len = 0;

	if (fd < 0 || fd_read_file(fd, 64u << 20, &text, &len, NULL) < 0)
		return 0;
	for (char *p = text; *p;) {
		char *end;
		long pid = strtol(p, &end, 10);
		if (end == p)
			break;
		if (pid > 0) {
			pids->v = xrealloc(pids->v, pids->n + 1, sizeof *pids->v);
			pids->v[pids->n++] = (pid_t)pid;
		}
		p = end + (*end == '\n');
	}
	free(text);
	return 0;
}

static int read_tree(int dir, void *arg)
{
	each_below(dir, read_pids, arg);
	read_pids(dir, ".", arg);
	return 1; /* one hierarchy has them all */
}

ssize_t cgroup_pids(const char *path, pid_t **pids, struct err *e)
{
	struct pids list = {0};
	char name[512];

	if (cgroup_is_v2()) {
		each_hierarchy(path, read_tree, &list);
	} else {
		if (hierarchy_path("freezer", path, ".", name) < 0)
			return err_set(e, -ENAMETOOLONG, "the cgroup's path is too long");
		AUTO_CLOSE int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0)
			read_tree(dir, &list);
	}
	*pids = list.v;
	return (ssize_t)list.n;
}

int cgroup_of_process(const char *process, char out[512])
{
	const char *controllers = cgroup_is_v2() ? "0::" : ":freezer:";
	char name[64], text[4096];

	snprintf(name, sizeof name, "/proc/%s/cgroup", process);
	AUTO_CLOSE int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -errno : fd_read_full(fd, text, sizeof text - 1, NULL);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	/* "4:freezer:/path", or "0::/path" where there is but one hierarchy. */
	char *at = strstr(text, controllers);
	if (!at)
		return -ENOENT;
	at += strlen(controllers);
	at[strcspn(at, "\n")] = '\0';
	return snprintf(out, 512, "%s", at) < 512 ? 0 : -ENAMETOOLONG;
}

static int add_door(int dir, void *arg)
{
	int fd = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	settings_take_fd(arg, "cgroup", fd);
	return 0;
}

int cgroup_doors(const char *path, pid_t pid, struct shim_settings *s, struct err *e)
{
	const size_t before = s->nfds;
	char process[16], own[512];

	/* With v2, a cgroup that has others below it holds no process itself. */
	snprintf(process, sizeof process, "%d", (int)pid);
	if (cgroup_is_v2() && cgroup_of_process(process, own) == 0 && str_starts(own, path) && own[strlen(path)] == '/')
		path = own;
	int r = each_hierarchy(path, add_door, s);
	if (r == 0 && s->nfds == before)
		return err_http(e, 409, "the container is not running");
	return r < 0 ? err_sys(e, r, "open the container's cgroup") : 0;
}

int cgroup_freeze(const char *path, bool freeze)
{
	if (cgroup_is_v2())
		return cgroup_write("", path, "cgroup.freeze", freeze ? "1" : "0");
	return cgroup_write("freezer", path, "freezer.state", freeze ? "FROZEN" : "THAWED");
}

void cgroup_kill(const char *path, bool hold)
{
	pid_t *pids = NULL;

	if (!cgroup_is_v2() || cgroup_write("", path, "cgroup.kill", "1") < 0) {
		if (hold)
			cgroup_freeze(path, true);
		ssize_t n = cgroup_pids(path, &pids, NULL);
		for (ssize_t i = 0; i < n; i++)
			kill(pids[i], SIGKILL);
		free(pids);
	}
	/* Thawed, the killed ones end. */
	cgroup_freeze(path, false);
}

bool cgroup_freezing(const char *path)
{
	char text[64];

	if (cgroup_is_v2())
		return cgroup_read("", path, "cgroup.freeze", text, sizeof text) == 0 && text[0] == '1';
	return cgroup_read("freezer", path, "freezer.state", text, sizeof text) == 0 && strcmp(text, "THAWED") != 0;
}

bool cgroup_frozen(const char *path)
{
	char text[1024];

	if (cgroup_is_v2())
		return cgroup_read("", path, "cgroup.events", text, sizeof text) == 0 && strstr(text, "frozen 1");
	/* The kernel finds out while it is read. */
	return cgroup_read("freezer", path, "freezer.state", text, sizeof text) == 0 && str_eq(text, "FROZEN");
}

uint64_t cgroup_oom_kills(const char *path)
{
	char text[4096];
	const char *file = cgroup_is_v2() ? "memory.events" : "memory.oom_control";

	if (cgroup_read("memory", path, file, text, sizeof text) < 0)
		return 0;
	const char *at = strstr(text, "oom_kill ");
	return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}
