#include "imaged/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "imaged/worker.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/tree.h"

/* ---- removal: of layers by a worker, for their files are not ours ---- */

#define AGAIN_S 1

struct removal {
	struct imaged *d;
	char name[STAGE_NAME];
	struct event *again;
};

static void remove_now(struct removal *r);

static void removed(void *arg, void *reply, const struct err *e)
{
	static const struct timeval later = {.tv_sec = AGAIN_S};
	struct removal *r = arg;

	(void)reply;
	if (e) {
		/* The worker was killed, or there are too many: it has to go all the same. */
		log_warn("remove %s: %s", r->name, e->text);
		event_add(r->again, &later);
		return;
	}
	event_free(r->again);
	free(r);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	remove_now(arg);
}

static void remove_now(struct removal *r)
{
	static const struct worker_events events = {.done = removed};
	struct layer_remove m;
	struct err e = {0};

	ipc_init(IPC_layer_remove, &m);
	m.dir = r->d->layers;
	m.name = r->name;
	if (!worker_call(r->d, IPC_layer_remove, &m, &events, r, &e))
		removed(r, NULL, &e);
}

static void remove_layer_tree(struct imaged *d, const char *name)
{
	struct removal *r = XNEW(struct removal);

	r->d = d;
	snprintf(r->name, sizeof r->name, "%s", name);
	r->again = event_new(d->daemon.base, -1, 0, on_again, r);
	remove_now(r);
}

/* ---- opening ---- */

static int open_dir(struct imaged *d, const char *name, struct err *e)
{
	if (mkdirat(d->daemon.root_fd, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "create imaged/%s", name);
	int fd = openat(d->daemon.root_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open imaged/%s", name) : fd;
}

static int each_name(int dir, void (*fn)(struct imaged *d, const char *name), struct imaged *d, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!list)
		return err_sys(e, -errno, "list the store");
	while ((entry = readdir(list)))
		if (entry->d_name[0] != '.')
			fn(d, entry->d_name);
	closedir(list);
	return 0;
}

static void clean_staging(struct imaged *d, const char *name)
{
	struct err e = {0};

	if (tree_remove(d->staging, name, NULL, &e) < 0)
		log_warn("remove staging/%s: %s", name, e.text);
}

static void clean_layers(struct imaged *d, const char *name)
{
	if (str_starts(name, "new-") || str_starts(name, "gone-"))
		remove_layer_tree(d, name);
}

int stage_open(struct imaged *d, struct err *e)
{
	d->blobs = open_dir(d, "blobs", e);
	d->layers = d->blobs < 0 ? -1 : open_dir(d, "layers", e);
	d->staging = d->layers < 0 ? -1 : open_dir(d, "staging", e);
	if (d->staging < 0)
		return e->code;
	fd_spread(d->layers);
	/* Names that no earlier run has used, be it as short as it may: its removals may still be going on. */
	d->staged = (uint64_t)time_now();
	int rc = each_name(d->staging, clean_staging, d, e);
	return rc < 0 ? rc : each_name(d->layers, clean_layers, d, e);
}

int stage_check_space(struct imaged *d, struct err *e)
{
	struct statvfs fs;
	uint64_t want = d->daemon.config->images_min_free;

	if (!want || fstatvfs(d->staging, &fs) < 0)
		return 0;
	uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= want)
		return 0;
	return err_http(e, 507, "no space: %" PRIu64 " MiB are free where images.min-free keeps %" PRIu64,
			free_bytes >> 20, want >> 20);
}

/* ---- making ---- */

int stage_blob(struct imaged *d, char name[STAGE_NAME], struct err *e)
{
	snprintf(name, STAGE_NAME, "%" PRIu64, ++d->staged);
	int fd = openat(d->staging, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	*name = '\0';
	return err_sys(e, -errno, "the images' file system: create a blob");
}

static int make_dir(int in, const char *name, struct err *e)
{
	if (mkdirat(in, name, 0700) < 0)
		return err_sys(e, -errno, "the images' file system: create a directory");
	int fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open a directory of the store") : fd;
}

int stage_layer(struct imaged *d, char name[STAGE_NAME], struct err *e)
{
	snprintf(name, STAGE_NAME, "new-%" PRIu64, ++d->staged);
	int fd = make_dir(d->layers, name, e);
	if (fd < 0)
		*name = '\0';
	return fd;
}

int stage_dir(struct imaged *d, char name[STAGE_NAME], struct err *e)
{
	snprintf(name, STAGE_NAME, "%" PRIu64, ++d->staged);
	int fd = make_dir(d->staging, name, e);
	if (fd < 0)
		*name = '\0';
	return fd;
}

void stage_digest(const void *data, size_t len, char digest[DIGEST_TEXT_SIZE])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(data, len, raw, &n, EVP_sha256(), NULL) != 1 || n != 32)
		abort();
	strcpy(digest, "sha256:");
	for (unsigned i = 0; i < n; i++)
		snprintf(digest + 7 + 2 * i, 3, "%02x", raw[i]);
}

int stage_bytes(struct imaged *d, const void *data, size_t len, char name[STAGE_NAME], char digest[DIGEST_TEXT_SIZE],
		struct err *e)
{
	AUTO_CLOSE int fd = stage_blob(d, name, e);

	if (fd < 0)
		return fd;
	stage_digest(data, len, digest);
	int rc = fd_write_all(fd, data, len, e);
	if (rc < 0)
		stage_drop_blob(d, name);
	return rc;
}

/* ---- keeping ---- */

int stage_keep_blob(struct imaged *d, const char *name, const char *digest, struct err *e)
{
	if (renameat(d->staging, name, d->blobs, digest_hex(digest)) < 0)
		return err_sys(e, -errno, "keep blob %s", digest);
	return 0;
}

int stage_keep_layer(struct imaged *d, const char *name, const char *diff_id, struct err *e)
{
	if (renameat(d->layers, name, d->layers, digest_hex(diff_id)) == 0)
		return 0;
	if (errno != EEXIST && errno != ENOTEMPTY)
		return err_sys(e, -errno, "keep layer %s", diff_id);
	remove_layer_tree(d, name);
	return 0;
}

int stage_sync_names(struct imaged *d, struct err *e)
{
	if (fsync(d->blobs) < 0 || fsync(d->layers) < 0)
		return err_sys(e, -errno, "sync the store");
	return 0;
}

/* ---- dropping and removing ---- */

void stage_drop_blob(struct imaged *d, char name[STAGE_NAME])
{
	if (*name && unlinkat(d->staging, name, 0) < 0)
		log_warn("remove staging/%s: %m", name);
	*name = '\0';
}

void stage_drop_layer(struct imaged *d, char name[STAGE_NAME])
{
	if (*name)
		remove_layer_tree(d, name);
	*name = '\0';
}

void stage_drop_dir(struct imaged *d, char name[STAGE_NAME])
{
	if (*name)
		clean_staging(d, name);
	*name = '\0';
}

void stage_remove_blob(struct imaged *d, const char *digest)
{
	if (unlinkat(d->blobs, digest_hex(digest), 0) < 0 && errno != ENOENT)
		log_warn("remove blob %s: %m", digest);
}

void stage_remove_layer(struct imaged *d, const char *diff_id)
{
	char name[STAGE_NAME];

	snprintf(name, sizeof name, "gone-%" PRIu64, ++d->staged);
	if (renameat(d->layers, digest_hex(diff_id), d->layers, name) == 0)
		remove_layer_tree(d, name);
	else if (errno != ENOENT)
		log_warn("remove layer %s: %m", diff_id);
}

/* ---- reading ---- */

int stage_open_blob(struct imaged *d, const char *digest, struct err *e)
{
	int fd = openat(d->blobs, digest_hex(digest), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_sys(e, -errno, "blob %s", digest) : fd;
}

int stage_open_layer(struct imaged *d, const char *diff_id)
{
	return openat(d->layers, digest_hex(diff_id), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool stage_has_blob(struct imaged *d, const char *digest)
{
	return faccessat(d->blobs, digest_hex(digest), F_OK, 0) == 0;
}

bool stage_has_layer(struct imaged *d, const char *diff_id)
{
	return faccessat(d->layers, digest_hex(diff_id), F_OK, 0) == 0;
}

int stage_read_blob(struct imaged *d, const char *digest, size_t max, char **out, size_t *len, struct err *e)
{
	AUTO_CLOSE int fd = stage_open_blob(d, digest, e);

	return fd < 0 ? fd : fd_read_file(fd, max, out, len, e);
}
