#include "imaged/records.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/times.h"

static const char *const schema[] = {
	"CREATE TABLE blob (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;"
	"CREATE TABLE layer (diff_id TEXT PRIMARY KEY, blob TEXT NOT NULL REFERENCES blob, size INTEGER NOT NULL,"
	"  entries INTEGER NOT NULL) STRICT;"
	"CREATE INDEX layer_blob ON layer (blob);"
	"CREATE TABLE image (id TEXT PRIMARY KEY REFERENCES blob, created INTEGER NOT NULL, size INTEGER NOT NULL,"
	"  os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT NOT NULL, manifest TEXT REFERENCES blob,"
	"  labels TEXT NOT NULL, parent TEXT, tagged INTEGER NOT NULL) STRICT;"
	"CREATE INDEX image_parent ON image (parent);"
	"CREATE INDEX image_manifest ON image (manifest);"
	"CREATE TABLE image_layer (image TEXT NOT NULL REFERENCES image ON DELETE CASCADE, position INTEGER NOT NULL,"
	"  diff_id TEXT NOT NULL REFERENCES layer, blob TEXT NOT NULL REFERENCES blob, media TEXT NOT NULL,"
	"  PRIMARY KEY (image, position)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX image_layer_diff ON image_layer (diff_id);"
	"CREATE INDEX image_layer_blob ON image_layer (blob);"
	"CREATE TABLE tag (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES image) STRICT;"
	"CREATE INDEX tag_image ON tag (image);"
	"CREATE TABLE digest (name TEXT NOT NULL, image TEXT NOT NULL REFERENCES image ON DELETE CASCADE,"
	"  PRIMARY KEY (name, image)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX digest_image ON digest (image);"
	"CREATE TABLE lease (container TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES image, since INTEGER NOT NULL) "
	"STRICT;"
	"CREATE INDEX lease_image ON lease (image);",
	/* A key, by the hash of its DER form, has signed the image in this repository. */
	"CREATE TABLE signature (repository TEXT NOT NULL, image TEXT NOT NULL REFERENCES image ON DELETE CASCADE,"
	"  key TEXT NOT NULL, PRIMARY KEY (repository, image, key)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX signature_image ON signature (image);",
	NULL,
};

int records_open(struct imaged *d, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/imaged/imaged.db", d->daemon.root);

	return store_open(path, "images", schema, &d->store, e);
}

/* ---- images ---- */

void image_clean(struct image *i)
{
	free(i->os);
	free(i->architecture);
	free(i->variant);
	free(i->manifest);
	free(i->labels);
	free(i->parent);
	*i = (struct image){0};
}

#define IMAGE_COLUMNS "id, created, size, os, architecture, variant, manifest, labels, parent, tagged"

static char *copy_text(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static int image_row(void *arg, struct store_row *r)
{
	struct image *out = arg;

	*out = (struct image){
		.created = store_int(r, 1),
		.size = store_int(r, 2),
		.os = copy_text(store_text(r, 3)),
		.architecture = copy_text(store_text(r, 4)),
		.variant = copy_text(store_text(r, 5)),
		.manifest = copy_text(store_text(r, 6)),
		.labels = copy_text(store_text(r, 7)),
		.parent = copy_text(store_text(r, 8)),
		.tagged = store_int(r, 9),
	};
	snprintf(out->id, sizeof out->id, "%s", store_text(r, 0));
	return 1;
}

int64_t records_count(struct imaged *d, struct err *e)
{
	int64_t n = 0;
	int rc = store_number(d->store, 0, &n, e, "SELECT count(*) FROM image", "");

	return rc < 0 ? rc : n;
}

int records_image(struct imaged *d, const char *id, struct image *out, struct err *e)
{
	*out = (struct image){0};
	int rc = store_query(d->store, image_row, out, e, "SELECT " IMAGE_COLUMNS " FROM image WHERE id = ?", "t", id);

	if (rc < 0)
		return rc;
	return *out->id ? 0 : err_http(e, 404, "No such image: %s", id);
}

struct walk {
	int (*each)(void *arg, struct image *take_image);
	void *arg;
};

static int walk_row(void *arg, struct store_row *r)
{
	struct walk *w = arg;
	struct image image;

	image_row(&image, r);
	return w->each(w->arg, &image);
}

int records_each_image(struct imaged *d, int (*each)(void *arg, struct image *take_image), void *arg, struct err *e)
{
	struct walk w = {each, arg};

	return store_query(d->store, walk_row, &w, e, "SELECT " IMAGE_COLUMNS " FROM image ORDER BY created DESC, id",
			   "");
}

/* Ids that a query found: the first, and how many. */
struct found {
	char id[DIGEST_TEXT_SIZE];
	unsigned n;
};

static int found_row(void *arg, struct store_row *r)
{
	struct found *f = arg;

	if (f->n++ == 0)
		snprintf(f->id, sizeof f->id, "%s", store_text(r, 0));
	return 0;
}

/* The image whose id begins with these digits. */
static int find_prefix(struct imaged *d, const char *text, struct found *f, struct err *e)
{
	char from[DIGEST_TEXT_SIZE], to[DIGEST_TEXT_SIZE + 1];
	const char *hex = str_starts(text, "sha256:") ? text + 7 : text;

	if (!*hex || strlen(hex) > 64 || strspn(hex, "0123456789abcdef") != strlen(hex))
		return 0;
	snprintf(from, sizeof from, "sha256:%s", hex);
	snprintf(to, sizeof to, "sha256:%s~", hex);
	return store_query(d->store, found_row, f, e, "SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 2", "tt",
			   from, to);
}

static int find_name(struct imaged *d, const struct reference *r, struct found *f, struct err *e)
{
	char name[REFERENCE_TEXT];

	if (!*r->digest)
		return store_query(d->store, found_row, f, e, "SELECT image FROM tag WHERE name = ?", "t",
				   reference_full(r, name));
	return store_query(d->store, found_row, f, e, "SELECT image FROM digest WHERE name = ? LIMIT 1", "t",
			   reference_by_digest(r, r->digest, name));
}

static bool names_a_tag(const char *text)
{
	const char *last = strrchr(text, '/');

	return strchr(text, '@') || strchr(last ? last : text, ':');
}

int records_find(struct imaged *d, const char *text, struct image *out, struct reference *named, struct err *e)
{
	struct found f = {0};
	struct reference r = {0};
	struct err why = {0};
	int rc = 0;

	if (named)
		*named = (struct reference){0};
	if (digest_valid(text))
		return records_image(d, text, out, e);
	int bad = reference_parse(text, default_registry(d), &r, &why);
	if (bad == 0) {
		reference_default_tag(&r);
		rc = find_name(d, &r, &f, e);
		if (f.n && named)
			*named = r;
	}
	if (rc == 0 && f.n == 0)
		rc = find_prefix(d, text, &f, e);
	if (rc < 0)
		return rc;
	if (f.n == 1)
		return records_image(d, f.id, out, e);
	bool id_like = str_starts(text, "sha256:") || strspn(text, "0123456789abcdef") == strlen(text);
	if (bad < 0 && !id_like) {
		if (e)
			*e = why;
		return bad;
	}
	return err_http(e, 404, "No such image: %s%s", text, bad == 0 && !names_a_tag(text) ? ":latest" : "");
}

/* ---- layers ---- */

struct layers {
	struct image_layer *v;
	size_t n;
};

static int layer_row(void *arg, struct store_row *r)
{
	struct layers *l = arg;

	l->v = xrealloc(l->v, l->n + 1, sizeof *l->v);
	struct image_layer *out = &l->v[l->n++];
	*out = (struct image_layer){.blob_size = store_int(r, 3), .size = store_int(r, 4)};
	snprintf(out->diff_id, sizeof out->diff_id, "%s", store_text(r, 0));
	snprintf(out->blob, sizeof out->blob, "%s", store_text(r, 1));
	snprintf(out->media, sizeof out->media, "%s", store_text(r, 2));
	return 0;
}

ssize_t records_layers(struct imaged *d, const char *id, struct image_layer **out, struct err *e)
{
	struct layers l = {0};

	int rc = store_query(
		d->store, layer_row, &l, e,
		"SELECT i.diff_id, i.blob, i.media, b.size, l.size FROM image_layer i JOIN blob b ON b.digest = i.blob"
		" JOIN layer l ON l.diff_id = i.diff_id WHERE i.image = ? ORDER BY i.position",
		"t", id);
	if (rc < 0)
		free(STEAL(l.v));
	*out = l.v;
	return rc < 0 ? rc : (ssize_t)l.n;
}

int records_layer(struct imaged *d, const char *diff_id, struct image_layer *out, struct err *e)
{
	struct layers l = {0};
	int rc =
		store_query(d->store, layer_row, &l, e,
			    "SELECT l.diff_id, l.blob, '', b.size, l.size FROM layer l JOIN blob b ON b.digest = l.blob"
			    " WHERE l.diff_id = ?",
			    "t", diff_id);

	if (rc == 0 && l.n == 0)
		rc = err_set(e, -ENOENT, "no such layer: %s", diff_id);
	if (rc == 0)
		*out = l.v[0];
	free(l.v);
	return rc;
}

/* ---- names ---- */

static int text_row(void *arg, struct store_row *r)
{
	json_array_append_new(arg, json_string(store_text(r, 0)));
	return 0;
}

json_t *records_tags(struct imaged *d, const char *id)
{
	json_t *list = json_array();

	store_query(d->store, text_row, list, NULL, "SELECT name FROM tag WHERE image = ? ORDER BY name", "t", id);
	return list;
}

json_t *records_digests(struct imaged *d, const char *id)
{
	json_t *list = json_array();

	store_query(d->store, text_row, list, NULL, "SELECT name FROM digest WHERE image = ? ORDER BY name", "t", id);
	return list;
}

json_t *records_containers(struct imaged *d, const char *id)
{
	json_t *list = json_array();

	store_query(d->store, text_row, list, NULL, "SELECT container FROM lease WHERE image = ? ORDER BY since", "t",
		    id);
	return list;
}

/* ---- changes ---- */

int records_put_blob(struct imaged *d, const char *digest, int64_t size, struct err *e)
{
	return store_exec(d->store, e, "INSERT OR IGNORE INTO blob VALUES (?, ?)", "ti", digest, size);
}

int records_put_layer(struct imaged *d, const char *diff_id, const char *blob, int64_t size, int64_t entries,
		      struct err *e)
{
	return store_exec(d->store, e, "INSERT OR IGNORE INTO layer VALUES (?, ?, ?, ?)", "ttii", diff_id, blob, size,
			  entries);
}

int records_put_image_layers(struct imaged *d, const char *id, const struct image_layer *layers, size_t n,
			     struct err *e)
{
	int rc = store_exec(d->store, e, "DELETE FROM image_layer WHERE image = ?", "t", id);

	for (size_t k = 0; k < n && rc == 0; k++)
		rc = store_exec(d->store, e, "INSERT INTO image_layer VALUES (?, ?, ?, ?, ?)", "tittt", id, (int64_t)k,
				layers[k].diff_id, layers[k].blob, layers[k].media);
	return rc;
}

int records_put_image(struct imaged *d, const struct image *i, const struct image_layer *layers, size_t n,
		      struct err *e)
{
	int64_t known = (int64_t)n;
	int rc = store_exec(d->store, e, "INSERT OR IGNORE INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			    "tiitttttti", i->id, i->created, i->size, i->os, i->architecture, i->variant, i->manifest,
			    i->labels, i->parent, i->tagged);
	bool there = rc == 0 && store_changes(d->store) == 0;

	if (there)
		rc = store_number(d->store, 0, &known, e,
				  "SELECT count(*) FROM image_layer i JOIN layer l ON l.diff_id = i.diff_id"
				  " WHERE i.image = ?",
				  "t", i->id);
	/* It was made or loaded here; now it is known how a registry has it, and a push shall be the same. */
	if (rc == 0 && there && i->manifest)
		rc = store_exec(d->store, e, "UPDATE image SET manifest = ? WHERE id = ?", "tt", i->manifest, i->id);
	/* A damaged list of layers is mended by whoever brings the image again. */
	if (rc < 0 || (there && known == (int64_t)n && !i->manifest))
		return rc;
	return records_put_image_layers(d, i->id, layers, n, e);
}

int records_put_tag(struct imaged *d, const char *full, const char *id, char before[DIGEST_TEXT_SIZE], struct err *e)
{
	struct found f = {0};
	char shown[REFERENCE_TEXT];

	/* sha256:… is how an image is named by its id. */
	if (strncmp(reference_familiar(full, default_registry(d), shown), "sha256:", 7) == 0)
		return err_http(e, 400, "refusing to create an ambiguous tag using digest algorithm as name");
	int rc = store_query(d->store, found_row, &f, e, "SELECT image FROM tag WHERE name = ?", "t", full);

	snprintf(before, DIGEST_TEXT_SIZE, "%s", f.id);
	if (rc == 0)
		rc = store_exec(d->store, e,
				"INSERT INTO tag VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image",
				"tt", full, id);
	if (rc == 0)
		rc = store_exec(d->store, e, "UPDATE image SET tagged = ? WHERE id = ?", "it", time_now(), id);
	return rc;
}

int records_put_digest(struct imaged *d, const char *full, const char *id, struct err *e)
{
	return store_exec(d->store, e, "INSERT OR IGNORE INTO digest VALUES (?, ?)", "tt", full, id);
}
