/* inspect: GET /images/{name}/json and /history. */
#include <stdio.h>
#include <time.h>

#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/view.h"

static char *time_text(int64_t nanoseconds, char buf[40])
{
	time_t t = nanoseconds / 1000000000;
	struct tm tm;

	gmtime_r(&t, &tm);
	size_t n = strftime(buf, 24, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, 40 - n, ".%09dZ", (int)(nanoseconds % 1000000000));
	return buf;
}

static json_t *config_shown(struct ipc_request *req, const json_t *config)
{
	json_t *inner = imageconf_config(config);
	json_t *shown = inner ? json_copy(inner) : json_object();
	json_t *env = json_object_get(shown, "Env");

	if (json_is_array(env) && !guard_may(req, "image.inspect.env"))
		json_object_set_new(shown, "Env", guard_redact_env(env));
	return shown;
}

static json_t *inspected(struct ipc_request *req, struct imaged *d, const struct image *i, json_t *config)
{
	json_t *out = view_image(d, i);
	json_t *parent = json_object_get(out, "ParentId");
	char buf[40];

	json_object_set(out, "Parent", parent);
	json_object_del(out, "ParentId");
	json_object_del(out, "SharedSize");
	json_object_del(out, "Containers");
	json_object_set_new(out, "Created", json_string(imageconf_text(config, "created")));
	json_object_set_new(out, "Comment", json_string(imageconf_text(config, "comment")));
	json_object_set_new(out, "Author", json_string(imageconf_text(config, "author")));
	json_object_set_new(out, "DockerVersion", json_string(imageconf_text(config, "docker_version")));
	json_object_set_new(out, "Architecture", json_string(i->architecture));
	json_object_set_new(out, "Os", json_string(i->os));
	if (*i->variant)
		json_object_set_new(out, "Variant", json_string(i->variant));
	json_object_set_new(out, "Config", config_shown(req, config));
	json_object_set_new(out, "RootFS",
			    json_pack("{s:s, s:O}", "Type", "layers", "Layers", imageconf_diff_ids(config)));
	json_object_set_new(out, "GraphDriver", json_pack("{s:s, s:n}", "Name", "overlay2", "Data"));
	json_object_set_new(
		out, "Metadata",
		json_pack("{s:s}", "LastTagTime", i->tagged ? time_text(i->tagged, buf) : "0001-01-01T00:00:00Z"));
	return out;
}

void on_image_inspect(struct ipc_request *req, struct image_inspect *m, struct imaged *d)
{
	AUTO_IMAGE struct image image = {0};
	json_t *config = NULL;
	struct err e = {0};

	if (records_find(d, m->name, &image, NULL, &e) < 0 || imageconf_load(d, image.id, &config, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	ipc_reply_json(req, 200, inspected(req, d, &image, config));
	json_decref(config);
}

/* The newest step made the image, the one before that the image which it was made from; of others no image is known. */
static void name_steps(struct imaged *d, const struct image *image, json_t *steps)
{
	char id[DIGEST_TEXT_SIZE];
	json_t *step;
	size_t i;

	snprintf(id, sizeof id, "%s", image->id);
	json_array_foreach(steps, i, step) {
		AUTO_IMAGE struct image made = {0};
		if (!*id || records_image(d, id, &made, NULL) < 0)
			return;
		json_object_set_new(step, "Id", json_string(id));
		json_object_set_new(step, "Tags", view_names(d, records_tags(d, id)));
		snprintf(id, sizeof id, "%s", made.parent ? made.parent : "");
	}
}

/* Newest first. Steps without a layer of their own have no size. */
static json_t *history_of(struct imaged *d, const struct image *image, const json_t *config,
			  const struct image_layer *layers, size_t n)
{
	json_t *steps = json_object_get(config, "history"), *out = json_array(), *step;
	size_t layer = 0, i;

	json_array_foreach(steps, i, step) {
		bool empty = json_is_true(json_object_get(step, "empty_layer")) || layer >= n;
		json_array_insert_new(out, 0,
				      json_pack("{s:s, s:I, s:s, s:[], s:I, s:s}", "Id", "<missing>", "Created",
						(json_int_t)imageconf_seconds(imageconf_text(step, "created")),
						"CreatedBy", imageconf_text(step, "created_by"), "Tags", "Size",
						(json_int_t)(empty ? 0 : layers[layer].size), "Comment",
						imageconf_text(step, "comment")));
		layer += !empty;
	}
	for (; layer < n; layer++)
		json_array_insert_new(out, 0,
				      json_pack("{s:s, s:I, s:s, s:[], s:I, s:s}", "Id", "<missing>", "Created",
						(json_int_t)image->created, "CreatedBy", "", "Tags", "Size",
						(json_int_t)layers[layer].size, "Comment", ""));
	name_steps(d, image, out);
	return out;
}

void on_image_history(struct ipc_request *req, struct image_history *m, struct imaged *d)
{
	AUTO_FREE struct image_layer *layers = NULL;
	AUTO_IMAGE struct image image = {0};
	json_t *config = NULL;
	struct err e = {0};
	ssize_t n = 0;

	if (records_find(d, m->name, &image, NULL, &e) < 0 || imageconf_load(d, image.id, &config, &e) < 0 ||
	    (n = records_layers(d, image.id, &layers, &e)) < 0) {
		ipc_reply_error(req, &e);
		json_decref(config);
		return;
	}
	ipc_reply_json(req, 200, history_of(d, &image, config, layers, (size_t)n));
	json_decref(config);
}
