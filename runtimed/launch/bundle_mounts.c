/* bundle_mounts: what is mounted in a container, in order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		snprintf(source, sizeof source, "%s/m%zu", b->stage, i);
		snprintf(options, sizeof options, "%s,%s%s", m->recursive ? "rbind" : "bind",
			 propagation[m->propagation], m->read_only ? ",ro" : "");
		add(list, mount_of(m->destination, "bind", source, options));
	}
}

/* HostConfig.Tmpfs: {"/run": "rw,noexec,size=65536k"} */
static void add_tmpfs(const struct bundle *b, struct entries *list)
{
	json_t *v, *item;
	const char *path;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)json_object_get(b->host, "Tmpfs"), path, v)
	{
		AUTO_FREE char *options =
			xasprintf("noexec,nosuid,nodev%s%s", *json_string_value(v) ? "," : "", json_string_value(v));
		add(list, mount_of(path, "tmpfs", "tmpfs", options));
	}
	json_array_foreach(json_object_get(b->host, "Mounts"), i, item)
	{
		const json_t *o = json_object_get(item, "TmpfsOptions");
		char size[40] = "", mode[40] = "";
		if (!str_eq(doc_text(item, "Type"), "tmpfs"))
			continue;
		if (doc_int(o, "SizeBytes", 0) > 0)
			snprintf(size, sizeof size, ",size=%lld", (long long)doc_int(o, "SizeBytes", 0));
		if (doc_int(o, "Mode", 0) > 0)
			snprintf(mode, sizeof mode, ",mode=%o", (unsigned)doc_int(o, "Mode", 0));
		AUTO_FREE char *options =
			xasprintf("nosuid,nodev,noexec%s%s%s", doc_true(item, "ReadOnly") ? ",ro" : "", size, mode);
		add(list, mount_of(doc_text(item, "Target"), "tmpfs", "tmpfs", options));
	}
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
		if (b->ipc_fd < 0 && str_eq(ipc, "host"))
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

	(void)e;
	add_binds(b, &user);
	add_tmpfs(b, &user);
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
	return 0;
}
