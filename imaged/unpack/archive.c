/* archive: docker save's and OCI layout archives, taken apart and put together. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#include "imaged/unpack/inflate.h"
#include "imaged/unpack/reach.h"
#include "imaged/unpack/source.h"
#include "imaged/unpack/space.h"
#include "imaged/unpack/tar.h"
#include "imaged/unpack/tarout.h"
#include "imaged/unpack/worker.h"
#include "imaged/unpack/writeback.h"
#include "lib/fd.h"
#include "lib/json.h"

#define MEMBER_NAME_MAX 1024

/* ---- apart ---- */

struct splitting {
	struct source source;
	struct inflate inflate;
	struct tar tar;
	struct digest digest; /* of one member after the other */
	json_t *members;
	int dir;
	struct stat owner;
	struct space space;
	unsigned files;
};

static void splitting_free(struct splitting *s)
{
	digest_free(&s->digest);
	tar_free(&s->tar);
	inflate_free(&s->inflate);
	source_free(&s->source);
	json_decref(s->members);
}

static int copy_member(struct splitting *s, int fd, const struct tar_entry *x, char digest[DIGEST_TEXT], struct err *e)
{
	const unsigned char *data;
	uint64_t written = 0;
	size_t len;
	int rc;

	digest_begin(&s->digest);
	while ((rc = tar_data(&s->tar, x->size, &data, &len, e)) > 0) {
		digest_add(&s->digest, data, len);
		rc = space_take(&s->space, len, e);
		if (rc == 0)
			rc = fd_write_all(fd, data, len, e);
		if (rc < 0)
			return rc;
		writeback_begin(&written, fd, len);
	}
	digest_text(&s->digest, digest);
	return rc;
}

static int split_file(struct splitting *s, const char *path, const struct tar_entry *x, struct err *e)
{
	char file[16], digest[DIGEST_TEXT];

	if (x->pieces)
		return err_set(e, -EBADMSG, "%s: a sparse file", reach_shown(path));
	snprintf(file, sizeof file, "%u", s->files++);
	AUTO_CLOSE int fd = openat(s->dir, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "a file of the archive");
	int rc = copy_member(s, fd, x, digest, e);
	if (rc < 0)
		return rc;
	if (fchown(fd, s->owner.st_uid, s->owner.st_gid) < 0)
		return err_sys(e, -errno, "a file of the archive");
	json_array_append_new(s->members, json_pack("{s:s, s:I, s:s, s:s}", "Name", path, "Size", (json_int_t)x->size,
						    "Digest", digest, "File", file));
	return 0;
}

static int split_entry(struct splitting *s, const struct tar_entry *x, struct err *e)
{
	AUTO_FREE char *copy = xstrdup(x->path);
	char *parent, *name;

	if (x->type == TAR_DIR)
		return 0;
	if (!grammar_utf8(x->path, strlen(x->path)) || strlen(x->path) > MEMBER_NAME_MAX)
		return err_set(e, -EBADMSG, "a file of the archive has a name that no image archive has");
	int rc = reach_split(copy, &parent, &name, e);
	if (rc < 0)
		return err_prefix(e, "%s", reach_shown(x->path));
	AUTO_FREE char *path = *parent ? xasprintf("%s/%s", parent, name) : xstrdup(name);
	if (x->type == TAR_FILE)
		return split_file(s, path, x, e);
	/* Older docker save writes layers that are there already as links. */
	if (x->type == TAR_SYMLINK && grammar_utf8(x->link, strlen(x->link)))
		return json_array_append_new(s->members, json_pack("{s:s, s:s}", "Name", path, "Link", x->link));
	return err_set(e, -EBADMSG, "%s: neither a file nor a directory", reach_shown(x->path));
}

static int split(struct splitting *s, const struct archive_split *m, struct err *e)
{
	const struct tar_entry *x;
	int rc;

	if (fstat(m->dir, &s->owner) < 0)
		return err_sys(e, -errno, "the archive's directory");
	s->dir = m->dir;
	s->space = (struct space){.dir = m->dir, .min_free = m->min_free};
	s->members = json_array();
	inflate_begin(&s->inflate, source_feed(&s->source), false, m->max_bytes, m->max_ratio);
	tar_begin(&s->tar, inflate_feed(&s->inflate), 4095);
	while ((rc = tar_next(&s->tar, &x, e)) > 0) {
		if (m->max_entries && json_array_size(s->members) >= m->max_entries)
			return err_set(e, -EFBIG, "more than %" PRIu32 " files in the archive", m->max_entries);
		rc = split_entry(s, x, e);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : tar_drain(&s->tar, e);
}

void on_archive_split(struct ipc_request *req, struct archive_split *m, struct worker *w)
{
	CLEANUP(splitting_free) struct splitting s = {0};
	struct err e = {0};
	const struct source_config source = {
		.fd = m->pipe,
		.blob = -1,
		.watch = w->watch,
		.max_bytes = m->max_bytes,
		.stall_ms = m->stall_ms,
		.progress = worker_progress,
		.arg = req,
	};

	source_begin(&s.source, &source);
	if (worker_narrow(m->dir, -1, &e) < 0 || split(&s, m, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply(req, &(struct archive_parts){.members.json = s.members});
}

/* ---- together ---- */

static int join_blob(struct tarout *t, int blobs, const char *name, const char *hex, int64_t time, struct err *e)
{
	struct stat st;
	char buf[64 << 10] UNINITIALIZED;

	if (strlen(hex) != 64 || !grammar_check(G_HEX64, hex, 64))
		return err_set(e, -EBADMSG, "a blob without a proper name");
	AUTO_CLOSE int fd = reach_open(blobs, hex, O_RDONLY);
	if (fd < 0)
		return err_sys(e, fd, "blob %s", hex);
	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "blob %s", hex);
	int rc = tarout_file(t, name, (uint64_t)st.st_size, time, e);
	for (off_t left = st.st_size; rc == 0 && left > 0;) {
		ssize_t n = read(fd, buf, sizeof buf);
		if (n <= 0)
			return err_sys(e, n < 0 ? -errno : -EIO, "blob %s", hex);
		rc = tarout_data(t, buf, (size_t)n, e);
		left -= n;
	}
	return rc < 0 ? rc : tarout_end_file(t, e);
}

static int join_member(struct tarout *t, int blobs, json_t *member, struct err *e)
{
	const char *name = json_string_value(json_object_get(member, "Name"));
	const char *blob = json_string_value(json_object_get(member, "Blob"));
	const char *link = json_string_value(json_object_get(member, "Link"));
	json_t *text = json_object_get(member, "Text");
	int64_t time = json_integer_value(json_object_get(member, "Time"));

	if (!name)
		return err_set(e, -EBADMSG, "a member without a name");
	if (blob)
		return join_blob(t, blobs, name, blob, time, e);
	if (link)
		return tarout_link(t, name, link, time, e);
	if (!text)
		return tarout_dir(t, name, time, e);
	int rc = tarout_file(t, name, json_string_length(text), time, e);
	if (rc == 0)
		rc = tarout_data(t, json_string_value(text), json_string_length(text), e);
	return rc < 0 ? rc : tarout_end_file(t, e);
}

void on_archive_join(struct ipc_request *req, struct archive_join *m, struct worker *w)
{
	struct tarout t = {.fd = m->pipe, .watch = w->watch};
	struct err e = {0};
	json_t *member;
	size_t i;

	int rc = worker_narrow(m->blobs, -1, &e);
	json_array_foreach(m->members.json, i, member)
		if (rc == 0)
			rc = join_member(&t, m->blobs, member, &e);
	if (rc == 0)
		rc = tarout_end(&t, &e);
	if (rc < 0)
		ipc_reply_error(req, &e);
	else
		ipc_reply_done(req);
}
