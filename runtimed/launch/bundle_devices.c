/* bundle_devices: devices of the host in a container: nodes, and who may open them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "lib/util.h"
#include "runtimed/launch/room.h"

#define DEPTH_MAX 8

static json_t *rule(bool allow, const char *type, int64_t major_, int64_t minor_, const char *access)
{
	json_t *o = json_pack("{s:b, s:s}", "allow", allow, "access", access);

	if (type)
		json_object_set_new(o, "type", json_string(type));
	if (major_ >= 0)
		json_object_set_new(o, "major", json_integer(major_));
	if (minor_ >= 0)
		json_object_set_new(o, "minor", json_integer(minor_));
	return o;
}

/* "c 13:* rwm" */
static int add_rule(json_t *rules, const char *text, struct err *e)
{
	char type, major_[16], minor_[16], access[8], extra;

	if (sscanf(text, "%c %15[0-9*]:%15[0-9*] %7[rwm]%c", &type, major_, minor_, access, &extra) != 4 ||
	    !strchr("abc", type))
		return err_http(e, 400, "invalid device cgroup rule format: '%s'", text);
	json_array_append_new(rules, rule(true, (char[]){type, 0}, *major_ == '*' ? -1 : strtol(major_, NULL, 10),
					  *minor_ == '*' ? -1 : strtol(minor_, NULL, 10), access));
	return 0;
}

struct devices {
	const struct bundle *b;
	json_t *nodes, *rules, *mounts;
	size_t bound; /* nodes made for a user namespace */
};

/* An id of the host's node as the container shall see it. */
static unsigned mapped(const struct launch_ids *ids, unsigned id)
{
	return ids->base + (id < ids->size ? id : ids->size - 2);
}

/*
 * In a user namespace no node can be made, and the host's own would belong to nobody there, closed even to root. So
 * the container gets one of its own, with the owner that the host's has, seen from inside.
 */
static int bind_node(struct devices *d, const char *inside, const struct stat *st, struct err *e)
{
	const struct bundle *b = d->b;
	char name[24];

	snprintf(name, sizeof name, "%zu", d->bound++);
	if (b->nodes_fd >= 0 && (mknodat(b->nodes_fd, name, st->st_mode & (S_IFMT | 0777), st->st_rdev) < 0 ||
				 fchownat(b->nodes_fd, name, mapped(&b->ids, st->st_uid), mapped(&b->ids, st->st_gid),
					  AT_SYMLINK_NOFOLLOW) < 0 ||
				 fchmodat(b->nodes_fd, name, st->st_mode & 0777, 0) < 0))
		return err_sys(e, -errno, "make the node %s", inside);
	AUTO_FREE char *source = xasprintf("%s/m%zu/%s", b->stage, b->nmounts ? b->nmounts - 1 : 0, name);
	json_array_append_new(d->mounts, json_pack("{s:s, s:s, s:s, s:[s,s]}", "destination", inside, "type", "bind",
						   "source", source, "options", "bind", "nosuid"));
	return 0;
}

/* A node, seen as `inside`; with `access` the container may open it so far. */
static int add_node(struct devices *d, const char *inside, const struct stat *st, const char *access, struct err *e)
{
	const char *type = S_ISCHR(st->st_mode) ? "c" : "b";

	if (access)
		json_array_append_new(d->rules, rule(true, type, major(st->st_rdev), minor(st->st_rdev), access));
	if (d->b->ids.size)
		return bind_node(d, inside, st, e);
	json_array_append_new(d->nodes,
			      json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", inside, "type", type, "major",
					(json_int_t)major(st->st_rdev), "minor", (json_int_t)minor(st->st_rdev),
					"fileMode", (json_int_t)(st->st_mode & 07777), "uid", (json_int_t)st->st_uid,
					"gid", (json_int_t)st->st_gid));
	return 0;
}

/* Parts of /dev that every container has its own of. */
static bool is_own(const char *path)
{
	static const char *const names[] = {"/dev/pts", "/dev/shm",	"/dev/mqueue",
					    "/dev/fd",	"/dev/console", "/dev/ptmx"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return false;
}

/* Every device below a directory; symbolic links are left out. */
static int add_below(struct devices *d, const char *host, const char *inside, const char *access, int depth,
		     struct err *e)
{
	DIR *dir = depth < DEPTH_MAX ? opendir(host) : NULL;
	struct dirent *entry;
	int r = 0;

	while (r == 0 && dir && (entry = readdir(dir))) {
		struct stat st;
		AUTO_FREE char *from = xasprintf("%s/%s", host, entry->d_name);
		AUTO_FREE char *to = xasprintf("%s/%s", inside, entry->d_name);
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") || is_own(from) || lstat(from, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			r = add_below(d, from, to, access, depth + 1, e);
		else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			r = add_node(d, to, &st, access, e);
	}
	if (dir)
		closedir(dir);
	return r;
}

static int add_device(struct devices *d, const json_t *device, struct err *e)
{
	const char *host = doc_text(device, "PathOnHost"), *inside = doc_text(device, "PathInContainer");
	const char *access = doc_text(device, "CgroupPermissions");
	size_t before = json_array_size(d->rules);
	struct stat st;
	int r = 0;

	if (!*inside)
		inside = host;
	if (!*access)
		access = "rwm";
	if (*host != '/' || *inside != '/')
		return err_http(e, 400, "Devices: \"%s\" is not an absolute path", *host == '/' ? inside : host);
	if (stat(host, &st) < 0)
		return err_http(e, 400, "error gathering device information while adding custom device \"%s\": %s",
				host, "no such file or directory");
	if (S_ISDIR(st.st_mode))
		r = add_below(d, host, inside, access, 0, e);
	else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		r = add_node(d, inside, &st, access, e);
	if (r == 0 && json_array_size(d->rules) == before)
		return err_http(
			e, 400,
			"error gathering device information while adding custom device \"%s\": not a device node",
			host);
	return r;
}

int bundle_devices(const struct bundle *b, json_t *linux_, json_t *resources, json_t *mounts, struct err *e)
{
	struct devices d = {.b = b, .nodes = json_array(), .rules = json_array(), .mounts = mounts};
	bool privileged = doc_true(b->host, "Privileged");
	json_t *item;
	size_t i;
	int r = 0;

	json_object_set_new(resources, "devices", d.rules);
	json_object_set_new(linux_, "devices", d.nodes);
	json_array_append_new(d.rules, rule(privileged, NULL, -1, -1, "rwm"));
	if (privileged)
		r = add_below(&d, "/dev", "/dev", NULL, 0, e);
	json_array_foreach(json_object_get(b->host, "Devices"), i, item)
		if (r == 0)
			r = add_device(&d, item, e);
	json_array_foreach(json_object_get(b->host, "DeviceCgroupRules"), i, item)
		if (r == 0 && json_is_string(item))
			r = add_rule(d.rules, json_string_value(item), e);
	return r;
}
