/* bundle_mounts: what is mounted in a container, in order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

struct entry {
	json_t *mount;
	const char *destination;
	size_t depth, order;
};

struct entries {
	struct entry *v;
	size_t n;
};

static size_t depth_of(const char *path)
{
	size_t n = 0;

	for (const char *p = path; *p; p++)
		n += *p == '/' && p[1] && p[1] != '/';
	return n;
}

static json_t *words(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, ",");
		if (n)
			json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] == ',');
	}
	return list;
}

static json_t *mount_of(const char *destination, const char *type, const char *source, const char *options)
{
	json_t *m = json_object();

	json_object_set_new(m, "destination", json_string(destination));
	json_object_set_new(m, "type", json_string(type));
	json_object_set_new(m, "source", json_string(source));
	json_object_set_new(m, "options", words(options));
	return m;
}

static void add(struct entries *list, json_t *take_mount)
{
	const char *destination = doc_text(take_mount, "destination");

	list->v = xrealloc(list->v, list->n + 1, sizeof *list->v);
	list->v[list->n] = (struct entry){take_mount, destination, depth_of(destination), list->n};
	list->n++;
}

/* ---- what the user wants ---- */

static void add_binds(const struct bundle *b, struct entries *list)
{
	static const char *const propagation[] = {
		[LAUNCH_RPRIVATE] = "rprivate", [LAUNCH_PRIVATE] = "private", [LAUNCH_RSLAVE] = "rslave",
		[LAUNCH_SLAVE] = "slave",	[LAUNCH_RSHARED] = "rshared", [LAUNCH_SHARED] = "shared",
	};

	for (size_t i = 0; i < b->nmounts; i++) {
		const struct bundle_mount *m = &b->mounts[i];
		char source[300], options[64];
		if (!m->destination)
			continue;
		snprintf(source, sizeof source, "%s/m%zu", b->stage, i);
		snprintf(options, sizeof options, "bind,%s%s", propagation[m->propagation], m->read_only ? ",ro" : "");
		add(list, mount_of(m->destination, "bind", source, options));
	}
}

static int add_one_tmpfs(struct entries *list, const char *path, const char *given, struct err *e)
{
	char *options;
	int r = target_check(path, false, e);

	if (r == 0)
		r = tmpfs_options(path, given, &options, e);
	if (r < 0)
		return r;
	add(list, mount_of(path, "tmpfs", "tmpfs", options));
	free(options);
	return 0;
}

/* A mount of type tmpfs, its options in the words of HostConfig.Tmpfs. */
static char *tmpfs_words(const json_t *mount)
{
	const json_t *o = json_object_get(mount, "TmpfsOptions");
	int64_t size = doc_int(o, "SizeBytes", 0), mode = doc_int(o, "Mode", 0);
	char *text = xstrdup(doc_true(mount, "ReadOnly") ? "ro" : "rw"), *longer;
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(o, "Options"), i, item) {
		const char *value = json_string_value(json_array_get(item, 1));
		longer = xasprintf("%s,%s%s%s", text, json_string_value(json_array_get(item, 0)), value ? "=" : "",
				   value ? value : "");
		free(text);
		text = longer;
	}
	longer = size > 0 ? xasprintf("%s,size=%lld", text, (long long)size) : xstrdup(text);
	free(text);
	text = mode > 0 ? xasprintf("%s,mode=%o", longer, (unsigned)mode) : xstrdup(longer);
	free(longer);
	return text;
}

/* HostConfig.Tmpfs: {"/run": "rw,noexec,size=65536k"} */
static int add_tmpfs(const struct bundle *b, struct entries *list, struct err *e)
{
	json_t *v, *item;
	const char *path;
	size_t i;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)json_object_get(b->host, "Tmpfs"), path, v) {
		if (r == 0)
			r = add_one_tmpfs(list, path, json_string_value(v), e);
	}
	json_array_foreach(json_object_get(b->host, "Mounts"), i, item) {
		if (r < 0 || !str_eq(doc_text(item, "Type"), "tmpfs"))
			continue;
		AUTO_FREE char *given = tmpfs_words(item);
		r = add_one_tmpfs(list, doc_text(item, "Target"), given, e);
	}
	return r;
}

static bool wanted(const struct entries *user, const char *destination)
{
	for (size_t i = 0; i < user->n; i++) {
		size_t n = strlen(user->v[i].destination);
		while (n > 1 && user->v[i].destination[n - 1] == '/')
			n--;
		if (strlen(destination) == n && memcmp(destination, user->v[i].destination, n) == 0)
			return true;
	}
	return false;
}

/* ---- what every container has ---- */

static void add_system(const struct bundle *b, const struct entries *user, struct entries *list)
{
	bool privileged = doc_true(b->host, "Privileged");
	const char *ipc = doc_text(b->host, "IpcMode");
	int64_t shm = doc_int(b->host, "ShmSize", 0);
	char shm_options[96];

	if (shm <= 0)
		shm = b->launch->c.shm_size ? (int64_t)b->launch->c.shm_size : 64 << 20;
	snprintf(shm_options, sizeof shm_options, "nosuid,noexec,nodev,mode=1777,size=%lld", (long long)shm);
	add(list, mount_of("/proc", "proc", "proc", "nosuid,noexec,nodev"));
	if (!wanted(user, "/dev"))
		add(list, mount_of("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"));
	if (!wanted(user, "/dev/pts"))
		add(list, mount_of("/dev/pts", "devpts", "devpts",
				   "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"));
	/* sysfs belongs to the network namespace: of the host's, a user namespace can only have a bind. */
	if (!wanted(user, "/sys")) {
		if (b->ids.size && b->host_net)
			add(list, mount_of("/sys", "bind", "/sys", "rbind,ro,nosuid,noexec,nodev"));
		else
			add(list, mount_of("/sys", "sysfs", "sysfs",
					   privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro"));
	}
	if (!wanted(user, "/sys/fs/cgroup") && !(b->ids.size && b->host_net))
		add(list, mount_of("/sys/fs/cgroup", "cgroup", "cgroup",
				   privileged ? "nosuid,noexec,nodev,relatime,rw" : "nosuid,noexec,nodev,relatime,ro"));
	if (!wanted(user, "/dev/mqueue")) {
		if (b->ipc_fd < 0 && str_eq(ipc, "host") && access("/dev/mqueue", F_OK) == 0)
			add(list, mount_of("/dev/mqueue", "bind", "/dev/mqueue", "rbind,nosuid,noexec,nodev"));
		else
			add(list, mount_of("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"));
	}
	if (!wanted(user, "/dev/shm")) {
		if (b->ipc_fd < 0 && str_eq(ipc, "host"))
			add(list, mount_of("/dev/shm", "bind", "/dev/shm", "rbind,nosuid,noexec,nodev"));
		else if (!str_eq(ipc, "none"))
			add(list, mount_of("/dev/shm", "tmpfs", "shm", shm_options));
	}
}

static void add_files(const struct bundle *b, const struct entries *user, struct entries *list)
{
	static const char *const names[] = {"hostname", "hosts", "resolv.conf"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char destination[40], source[300];
		snprintf(destination, sizeof destination, "/etc/%s", names[i]);
		snprintf(source, sizeof source, "%s/c/files/%s", b->stage, names[i]);
		if (!wanted(user, destination))
			add(list, mount_of(destination, "bind", source,
					   doc_true(b->host, "ReadonlyRootfs") ? "bind,rprivate,ro" : "bind,rprivate"));
	}
	if (doc_true(b->host, "Init") && !wanted(user, "/sbin/docker-init"))
		add(list, mount_of("/sbin/docker-init", "bind", b->launch->c.init, "bind,ro"));
}

static int by_depth(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

int bundle_mounts(const struct bundle *b, json_t *mounts, struct err *e)
{
	struct entries user = {0}, all = {0};

	add_binds(b, &user);
	int r = add_tmpfs(b, &user, e);
	add_system(b, &user, &all);
	for (size_t i = 0; i < all.n; i++)
		json_array_append_new(mounts, all.v[i].mount);
	all.n = 0;
	add_files(b, &user, &user);
	qsort(user.v, user.n, sizeof *user.v, by_depth);
	for (size_t i = 0; i < user.n; i++)
		json_array_append_new(mounts, user.v[i].mount);
	free(user.v);
	free(all.v);
	return r;
}
