#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "imaged/check.h"
#include "imaged/imageconf.h"
#include "imaged/stage.h"

/* ---- strays ---- */

static int dangling_row(void *arg, struct store_row *r)
{
	check_found(arg, "record", store_text(r, 0), false, "it refers to a row of %s that is not there",
		    store_text(r, 2));
	return 0;
}

static int damage_row(void *arg, struct store_row *r)
{
	if (!str_eq(store_text(r, 0), "ok"))
		check_found(arg, "record", "imaged.db", false, "%s", store_text(r, 0));
	return 0;
}

struct stray {
	const char *kind, *sql;
	int dir;
	void (*remove)(struct imaged *d, const char *digest);
};

static int each_file(struct check *x, const struct stray *s, struct err *e)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (!list)
		return err_sys(e, -errno, "list the store");
	while (rc == 0 && (entry = readdir(list))) {
		AUTO_FREE char *digest = xasprintf("sha256:%s", entry->d_name);
		int64_t known = 0;
		if (!digest_valid(digest))
			continue;
		rc = store_number(x->d->store, 0, &known, e, s->sql, "t", digest);
		if (rc < 0 || known)
			continue;
		if (x->repair)
			s->remove(x->d, digest);
		check_found(x, s->kind, digest, x->repair, "no record names it");
	}
	closedir(list);
	return rc;
}

int check_strays(struct check *x, struct err *e)
{
	const struct stray strays[] = {
		{"blob", "SELECT count(*) FROM blob WHERE digest = ?", x->d->blobs, stage_remove_blob},
		{"layer", "SELECT count(*) FROM layer WHERE diff_id = ?", x->d->layers, stage_remove_layer},
	};
	int rc = store_query(x->d->store, damage_row, x, e, "PRAGMA integrity_check(100)", "");

	if (rc == 0)
		rc = store_query(x->d->store, dangling_row, x, e, "PRAGMA foreign_key_check", "");
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(strays); i++)
		rc = each_file(x, &strays[i], e);
	return rc;
}

/* ---- blobs of configs and manifests ---- */

static int hash_blob(struct check *x, const char *digest, char hash[DIGEST_TEXT_SIZE], int64_t *size, struct err *e)
{
	const struct config *c = x->d->daemon.config;
	uint64_t max = c->images_max_config > c->images_max_manifest ? c->images_max_config : c->images_max_manifest;
	AUTO_FREE char *data = NULL;
	size_t len = 0;
	int rc = stage_read_blob(x->d, digest, max, &data, &len, e);

	if (rc == 0)
		stage_digest(data, len, hash);
	*size = (int64_t)len;
	return rc;
}

static void check_size(struct check *x, const char *digest, int64_t size)
{
	struct err e = {0};
	int64_t known = size;
	int rc = store_number(x->d->store, size, &known, &e, "SELECT size FROM blob WHERE digest = ?", "t", digest);

	if (rc < 0 || known == size)
		return;
	bool repaired = x->repair && store_exec(x->d->store, &e, "UPDATE blob SET size = ? WHERE digest = ?", "it",
						size, digest) == 0;
	check_found(x, "record", digest, repaired, "its size is %lld, not %lld", (long long)size, (long long)known);
}

void check_blob(struct check *x, const char *digest)
{
	char hash[DIGEST_TEXT_SIZE] = "";
	struct err e = {0};
	int64_t size, known = 0;

	/* It may have gone since the list was made. */
	if (store_number(x->d->store, 0, &known, &e, "SELECT count(*) FROM blob WHERE digest = ?", "t", digest) < 0 ||
	    !known)
		return;
	int rc = hash_blob(x, digest, hash, &size, &e);
	if (rc == 0 && str_eq(hash, digest)) {
		check_size(x, digest, size);
		return;
	}
	const char *after = x->repair ? "; it is put out of the way: pull or load its image again" : "";
	if (x->repair)
		stage_remove_blob(x->d, digest);
	if (rc == 0)
		check_found(x, "blob", digest, false, "wrong content: the bytes are %s%s", hash, after);
	else
		check_found(x, "blob", digest, false, "%s%s", rc == -ENOENT ? "it is missing" : e.text, after);
}

/* ---- images ---- */

static bool same_layers(const json_t *ids, const struct image_layer *layers, ssize_t n)
{
	if ((ssize_t)json_array_size(ids) != n)
		return false;
	for (ssize_t i = 0; i < n; i++)
		if (!str_eq(layers[i].diff_id, json_string_value(json_array_get(ids, (size_t)i))))
			return false;
	return true;
}

static bool same_row(const struct image *a, const struct image *b)
{
	return a->created == b->created && a->size == b->size && str_eq(a->os, b->os) &&
	       str_eq(a->architecture, b->architecture) && str_eq(a->variant, b->variant) &&
	       str_eq(a->labels, b->labels);
}

/* The layers as the config names them; -ENOENT when one is not there. */
static int layers_of(struct check *x, const json_t *ids, struct image_layer *out, int64_t *size, struct err *e)
{
	json_t *id;
	size_t i;
	int rc = 0;

	*size = 0;
	json_array_foreach(ids, i, id) {
		if (rc == 0)
			rc = records_layer(x->d, json_string_value(id), &out[i], e);
		if (rc == 0)
			*size += out[i].size;
	}
	return rc;
}

static int rewrite(struct check *x, const struct image *want, const struct image_layer *layers, size_t n, struct err *e)
{
	int rc = store_begin(x->d->store, e);

	if (rc == 0)
		rc = store_exec(x->d->store, e,
				"UPDATE image SET created = ?, size = ?, os = ?, architecture = ?, variant = ?,"
				" labels = ? WHERE id = ?",
				"iittttt", want->created, want->size, want->os, want->architecture, want->variant,
				want->labels, want->id);
	if (rc == 0)
		rc = records_put_image_layers(x->d, want->id, layers, n, e);
	if (rc == 0)
		rc = store_commit(x->d->store, e);
	if (rc < 0)
		store_rollback(x->d->store);
	return rc;
}

/* The row against what the config says. */
static void compare_image(struct check *x, const struct image *row, const json_t *config)
{
	AUTO_FREE struct image_layer *have = NULL;
	AUTO_FREE struct image_layer *want = NULL;
	AUTO_IMAGE struct image said = {0};
	const json_t *ids = imageconf_diff_ids(config);
	struct err e = {0};
	size_t n = json_array_size(ids);
	ssize_t nhave = records_layers(x->d, row->id, &have, &e);

	want = xcalloc(n + 1, sizeof *want);
	imageconf_describe(config, &said);
	memcpy(said.id, row->id, sizeof said.id);
	int rc = nhave < 0 ? (int)nhave : layers_of(x, ids, want, &said.size, &e);
	if (rc < 0) {
		check_found(x, "image", row->id, false, "%s; pull or load it again", e.text);
		return;
	}
	bool layers = same_layers(ids, have, nhave);
	if (layers && same_row(row, &said))
		return;
	bool repaired = x->repair && rewrite(x, &said, layers ? have : want, n, &e) == 0;
	check_found(x, "image", row->id, repaired, "its record differs from its config%s",
		    layers ? "" : ", which names other layers");
}

void check_image(struct check *x, const char *id)
{
	AUTO_IMAGE struct image row = {0};
	json_t *config = NULL;
	struct err e = {0};

	if (records_image(x->d, id, &row, &e) < 0)
		return;
	/* A config that cannot be read has been told as a blob. */
	if (imageconf_load(x->d, id, &config, &e) < 0)
		return;
	compare_image(x, &row, config);
	json_decref(config);
}
