#include "imaged/collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "imaged/stage.h"

#define UNUSED_LAYERS                                                                                                  \
	"SELECT diff_id FROM layer WHERE NOT EXISTS (SELECT 1 FROM image_layer i WHERE i.diff_id = layer.diff_id)"
#define UNUSED_BLOBS                                                                                                   \
	"SELECT digest FROM blob WHERE NOT EXISTS (SELECT 1 FROM image_layer i WHERE i.blob = blob.digest)"            \
	" AND NOT EXISTS (SELECT 1 FROM layer l WHERE l.blob = blob.digest)"                                           \
	" AND NOT EXISTS (SELECT 1 FROM image m WHERE m.id = blob.digest OR m.manifest = blob.digest)"

void collect_hold(struct imaged *d, const char *digest, int by)
{
	json_int_t n = json_integer_value(json_object_get(d->held, digest)) + by;

	if (n > 0)
		json_object_set_new(d->held, digest, json_integer(n));
	else
		json_object_del(d->held, digest);
}

static int append_row(void *arg, struct store_row *r)
{
	json_array_append_new(arg, json_string(store_text(r, 0)));
	return 0;
}

/* Rows of what a query finds, unless a draft holds it; *gone gets them. */
static int delete_rows(struct imaged *d, const char *find, const char *sql, json_t *gone, struct err *e)
{
	json_t *found = json_array(), *name;
	size_t i;
	int rc = store_query(d->store, append_row, found, e, find, "");

	json_array_foreach(found, i, name) {
		if (rc < 0 || json_object_get(d->held, json_string_value(name)))
			continue;
		rc = store_exec(d->store, e, sql, "t", json_string_value(name));
		json_array_append(gone, name);
	}
	json_decref(found);
	return rc;
}

/* Within a transaction: rows of layers and blobs that nothing refers to. */
static int delete_unused(struct imaged *d, json_t *layers, json_t *blobs, struct err *e)
{
	int rc = delete_rows(d, UNUSED_LAYERS, "DELETE FROM layer WHERE diff_id = ?", layers, e);

	return rc < 0 ? rc : delete_rows(d, UNUSED_BLOBS, "DELETE FROM blob WHERE digest = ?", blobs, e);
}

static void remove_files(struct imaged *d, json_t *layers, json_t *blobs)
{
	json_t *name;
	size_t i;

	json_array_foreach(layers, i, name)
		stage_remove_layer(d, json_string_value(name));
	json_array_foreach(blobs, i, name)
		stage_remove_blob(d, json_string_value(name));
}

int collect_image(struct imaged *d, const char *id, json_t *out, struct err *e)
{
	json_t *layers = json_array(), *blobs = json_array(), *name;
	size_t i;
	int rc = store_begin(d->store, e);

	if (rc == 0)
		rc = store_exec(d->store, e, "DELETE FROM image WHERE id = ?", "t", id);
	if (rc == 0)
		rc = delete_unused(d, layers, blobs, e);
	if (rc == 0)
		rc = store_commit(d->store, e);
	if (rc < 0) {
		store_rollback(d->store);
	} else {
		remove_files(d, layers, blobs);
		json_array_append_new(out, json_pack("{s:s}", "Deleted", id));
		json_array_foreach(layers, i, name)
			json_array_append_new(out, json_pack("{s:O}", "Deleted", name));
	}
	json_decref(layers);
	json_decref(blobs);
	return rc;
}

/* Files that no row names: a start that was cut off between renames and records. */
static int remove_strays(struct imaged *d, int dir, const char *sql,
			 void (*remove)(struct imaged *d, const char *digest), struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!list)
		return err_sys(e, -errno, "list the store");
	while ((entry = readdir(list))) {
		AUTO_FREE char *digest = xasprintf("sha256:%s", entry->d_name);
		int64_t known = 0;
		if (digest_valid(digest) && store_number(d->store, 0, &known, e, sql, "t", digest) == 0 && !known)
			remove(d, digest);
	}
	closedir(list);
	return 0;
}

int collect_all(struct imaged *d, struct err *e)
{
	json_t *layers = json_array(), *blobs = json_array();
	int rc = store_begin(d->store, e);

	if (rc == 0)
		rc = delete_unused(d, layers, blobs, e);
	if (rc == 0)
		rc = store_commit(d->store, e);
	if (rc < 0)
		store_rollback(d->store);
	else
		remove_files(d, layers, blobs);
	json_decref(layers);
	json_decref(blobs);
	if (rc == 0)
		rc = remove_strays(d, d->blobs, "SELECT count(*) FROM blob WHERE digest = ?", stage_remove_blob, e);
	return rc < 0 ? rc
		      : remove_strays(d, d->layers, "SELECT count(*) FROM layer WHERE diff_id = ?", stage_remove_layer,
				      e);
}
