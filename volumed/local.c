#include "volumed/local.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mount_options.h"
#include "lib/size.h"
#include "lib/tree.h"
#include "lib/util.h"

struct local {
	int volumes, trash; /* directories */
	char *path;
	struct jobs *jobs;
	unsigned long trashed; /* names given below trash/ */
};

/* ---- deletions ---- */

struct deletion {
	int trash; /* duplicate, the job's own */
	char name[32];
	struct err e;
};

static void deletion_run(void *arg, const atomic_bool *stop)
{
	struct deletion *d = arg;

	tree_remove(d->trash, d->name, stop, &d->e);
}

static void deletion_free(void *arg)
{
	struct deletion *d = arg;

	close(d->trash);
	free(d);
}

static void deletion_done(void *arg)
{
	struct deletion *d = arg;

	if (d->e.code)
		log_error("deleting a removed volume's files: %s", d->e.text);
	deletion_free(d);
}

static const struct job_kind deletion_kind = {.run = deletion_run, .done = deletion_done, .drop = deletion_free};

static void delete_later(struct local *l, const char *name)
{
	struct deletion *d = XNEW(struct deletion);

	d->trash = fcntl(l->trash, F_DUPFD_CLOEXEC, 3);
	snprintf(d->name, sizeof d->name, "%s", name);
	jobs_add(l->jobs, &deletion_kind, d);
}

static int move_to_trash(struct local *l, const char *name, struct err *e)
{
	char trashed[32];

	do
		snprintf(trashed, sizeof trashed, "%lu", l->trashed++);
	while (faccessat(l->trash, trashed, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	if (renameat(l->volumes, name, l->trash, trashed))
		return errno == ENOENT ? 0 : err_sys(e, -errno, "remove volume %s", name);
	delete_later(l, trashed);
	return 0;
}

/* ---- the room ---- */

static int open_subdirectory(int state, const char *name, int *out, struct err *e)
{
	if (mkdirat(state, name, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "create %s", name);
	*out = openat(state, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *out < 0 ? err_sys(e, -errno, "open %s", name) : 0;
}

/* Calls `fn` for each entry of a directory; stops at the first failure. */
static int each_entry(int dir, int (*fn)(void *arg, const char *name, struct err *e), void *arg, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		rc = err_sys(e, -errno, "read a directory");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (entry = readdir(d)))
		if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
			rc = fn(arg, entry->d_name, e);
	closedir(d);
	return rc;
}

static int resume_deletion(void *arg, const char *name, struct err *e)
{
	(void)e;
	delete_later(arg, name);
	return 0;
}

int local_new(int state, const char *path, struct jobs *jobs, struct local **out, struct err *e)
{
	struct local *l = XNEW(struct local);
	int rc;

	l->volumes = l->trash = -1;
	l->jobs = jobs;
	l->path = xstrdup(path);
	if ((rc = open_subdirectory(state, "volumes", &l->volumes, e)) < 0 ||
	    (rc = open_subdirectory(state, "trash", &l->trash, e)) < 0 ||
	    (rc = each_entry(l->trash, resume_deletion, l, e)) < 0) {
		local_free(l);
		return rc;
	}
	fd_spread(l->volumes);
	*out = l;
	return 0;
}

void local_free(struct local *l)
{
	if (!l)
		return;
	fd_close(&l->volumes);
	fd_close(&l->trash);
	free(l->path);
	free(l);
}

int local_dir(const struct local *l)
{
	return l->volumes;
}

char *local_path(const struct local *l, const char *name)
{
	return xasprintf("%s/volumes/%s/_data", l->path, name);
}

/* ---- options ---- */

static const char *option(const json_t *options, const char *name)
{
	return json_string_value(json_object_get(options, name));
}

bool local_is_mount(const json_t *options)
{
	return option(options, "type") || option(options, "device") || option(options, "o");
}

uint64_t local_size(const json_t *options)
{
	const char *text = option(options, "size");
	int64_t size;

	return text && size_parse(text, &size) && size > 0 ? (uint64_t)size : 0;
}

/* Words of `o` that a bind has no file system to give to, and flags that are not the mount's own: said, not ignored. */
static int check_bind(const json_t *options, const struct mount_options *o, struct err *e)
{
	if (*option(options, "device") != '/')
		return err_http(e, 400, "invalid option: \"device\": a bind needs an absolute path, not \"%s\"",
				option(options, "device"));
	if (*o->data)
		return err_http(e, 400, "invalid option: \"o\": a bind does not take \"%.200s\"", o->data);
	if (o->flags & ~(unsigned long)(MOUNT_OWN_FLAGS | MS_BIND | MS_REC))
		return err_http(
			e, 400,
			"invalid option: \"o\": sync, dirsync, mand and lazytime are a file system's, not a bind's");
	return 0;
}

/* The kernel takes addresses; who asks name servers has no power to mount, and the other way round. */
static int check_address(const struct mount_options *o, struct err *e)
{
	const char *word = str_starts(o->data, "addr=") ? o->data : strstr(o->data, ",addr=");
	struct in6_addr six;
	char address[256];

	if (!word)
		return 0;
	word += *word == ',' ? strlen(",addr=") : strlen("addr=");
	snprintf(address, sizeof address, "%.*s", (int)strcspn(word, ","), word);
	if (inet_pton(AF_INET, address, &six) == 1 || inet_pton(AF_INET6, address, &six) == 1)
		return 0;
	return err_http(e, 400, "invalid option: \"o\": addr=%s: an IP address is needed, names are not looked up",
			address);
}

static int check_mount(const json_t *options, struct err *e)
{
	struct mount_options *o = NULL;
	AUTO_FREE void *memory = o = XNEW(struct mount_options);

	if (!option(options, "device") || !*option(options, "device"))
		return err_http(e, 400, "missing required option: \"device\"");
	if (!option(options, "type") || !*option(options, "type"))
		return err_http(e, 400, "missing required option: \"type\"");
	if (json_object_get(options, "size"))
		return err_http(e, 400,
				"invalid option: \"size\": a quota is for the engine's own directories, not for "
				"a mount; a tmpfs takes o=size=");
	if (mount_options_parse(option(options, "o"), o, e) < 0)
		return err_http(e, 400, "invalid option: \"o\": longer than %zu bytes", sizeof o->data - 1);
	if (o->flags & MS_BIND)
		return check_bind(options, o, e);
	if (str_eq(option(options, "type"), "none"))
		return err_http(e, 400, "invalid option: \"type\": none needs o=bind or o=rbind");
	return check_address(o, e);
}

int local_check_options(const json_t *options, struct err *e)
{
	static const char *const known[] = {"type", "device", "o", "size"};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)options, key, value) {
		bool ok = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			ok = ok || str_eq(key, known[i]);
		if (!ok)
			return err_http(e, 400, "invalid option: \"%.100s\"", key);
		if (!json_is_string(value))
			return err_http(e, 400, "invalid option: \"%s\" must be text", key);
	}
	if (local_is_mount(options))
		return check_mount(options, e);
	if (option(options, "size") && !local_size(options))
		return err_http(e, 400, "invalid option: \"size\": \"%.100s\" is no size, as 500m or 10g",
				option(options, "size"));
	return 0;
}

/* ---- directories ---- */

static int data_of(const struct local *l, const char *name)
{
	char path[300];

	snprintf(path, sizeof path, "%s/_data", name);
	return openat(l->volumes, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int make_directories(struct local *l, const char *name, struct err *e)
{
	AUTO_CLOSE int dir = -1;
	AUTO_CLOSE int data = -1;

	if (mkdirat(l->volumes, name, 0700))
		return err_sys(e, -errno, "create volume %s", name);
	dir = openat(l->volumes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, "_data", 0755))
		return err_sys(e, -errno, "create volume %s", name);
	data = openat(dir, "_data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* The umask is the engine's; a volume belongs to root of the container. */
	if (data < 0 || fchmod(data, 0755) || fchown(data, 0, 0))
		return err_sys(e, -errno, "create volume %s", name);
	return 0;
}

int local_create(struct local *l, const char *name, struct err *e)
{
	int rc = move_to_trash(l, name, e);

	if (rc < 0)
		return rc;
	rc = make_directories(l, name, e);
	if (rc < 0)
		move_to_trash(l, name, NULL);
	return rc;
}

int local_restore(struct local *l, const char *name, struct err *e)
{
	AUTO_CLOSE int data = data_of(l, name);

	if (data >= 0 || errno != ENOENT)
		return data >= 0 ? 0 : err_sys(e, -errno, "open volume %s", name);
	log_warn("volume %s was made just before a crash, its directory had not reached the disk: it is made again",
		 name);
	return local_create(l, name, e);
}

int local_remove(struct local *l, const char *name, struct err *e)
{
	return move_to_trash(l, name, e);
}

static int found_one(void *arg, const char *name, struct err *e)
{
	(void)arg;
	(void)e;
	return str_eq(name, TREE_COPY_NAME) ? 0 : -EEXIST;
}

bool local_empty(const struct local *l, const char *name)
{
	AUTO_CLOSE int data = data_of(l, name);

	return data >= 0 && each_entry(data, found_one, NULL, NULL) == 0;
}

struct sweep {
	struct local *local;
	bool (*known)(void *arg, const char *name);
	void *arg;
};

static int sweep_one(void *arg, const char *name, struct err *e)
{
	struct sweep *s = arg;

	if (s->known(s->arg, name))
		return 0;
	log_info("volume %s was never finished: its files are removed", name);
	return move_to_trash(s->local, name, e);
}

int local_sweep(struct local *l, bool (*known)(void *arg, const char *name), void *arg, struct err *e)
{
	struct sweep s = {l, known, arg};

	return each_entry(l->volumes, sweep_one, &s, e);
}
