/* commit: an image made from a container: its image and one more layer. */
#include <errno.h>
#include <stdio.h>

#include "imaged/changes.h"
#include "imaged/draft.h"
#include "imaged/events.h"
#include "imaged/handlers.h"
#include "imaged/imageconf.h"
#include "imaged/verified.h"
#include "lib/times.h"

struct commit {
	struct imaged *d;
	struct ipc_request *req;
	struct draft *draft;
	struct draft_layer *layer;
	json_t *config; /* of the new image; its diff_ids still the parent's */
	char *text;
	char name[REFERENCE_TEXT]; /* that it gets, "" for none */
};

static void commit_free(struct commit *x)
{
	draft_free(x->draft);
	json_decref(x->config);
	free(x->text);
	free(x);
}

static void commit_fail(struct commit *x, const struct err *e)
{
	ipc_reply_error(x->req, e);
	commit_free(x);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	commit_fail(arg, &(struct err){.code = -ECANCELED, .text = "cancelled"});
}

static void on_kept(void *arg, const char *id, json_t *moved, const struct err *e)
{
	struct commit *x = arg;

	(void)moved;
	if (e) {
		commit_fail(x, e);
		return;
	}
	if (*x->name)
		event_tag(x->d, id, x->name);
	ipc_reply(x->req, &(struct image_committed){.image = id});
	commit_free(x);
}

static void on_unpacked(void *arg, const struct err *e)
{
	struct commit *x = arg;
	struct err why = {0};

	if (e) {
		commit_fail(x, e);
		return;
	}
	json_array_append_new(imageconf_diff_ids(x->config), json_string(draft_layer_info(x->layer)->diff_id));
	x->text = json_dumps(x->config, JSON_COMPACT | JSON_SORT_KEYS);
	draft_set_config(x->draft, x->text, strlen(x->text), x->config);
	if (draft_keep(x->draft, on_kept, x, &why) < 0)
		commit_fail(x, &why);
}

static const struct draft_layer_events layer_events = {.done = on_unpacked};

static int add_parent_layers(struct commit *x, const char *parent, struct err *e)
{
	AUTO_FREE struct image_layer *layers = NULL;
	ssize_t n = records_layers(x->d, parent, &layers, e);

	for (ssize_t i = 0; i < n; i++) {
		struct draft_layer *l = draft_add_layer(x->draft, x);
		draft_layer_set_media(l, layers[i].media);
		if (!draft_layer_find(l, layers[i].diff_id, NULL))
			return err_http(e, 500, "layer %s is missing from the store", layers[i].diff_id);
	}
	return n < 0 ? (int)n : 0;
}

static int add_name(struct commit *x, const char *repo, const char *tag, struct err *e)
{
	struct reference r;

	if (!repo || !*repo)
		return 0;
	int rc = reference_parse(repo, default_registry(x->d), &r, e);
	if (rc < 0)
		return rc;
	if (*r.digest || (tag && *tag && !tag_valid(tag)))
		return err_http(e, 400, "invalid reference format");
	if (tag && *tag)
		snprintf(r.tag, sizeof r.tag, "%s", tag);
	draft_add_tag(x->draft, reference_full(&r, x->name));
	return verified_name(x->d, x->name, "", e);
}

/* What the container ran, as `docker history` shows it. */
static char *command_of(const json_t *config)
{
	char *line = xstrdup("");
	const json_t *word;
	size_t i;

	json_array_foreach(json_object_get(config, "Cmd"), i, word) {
		char *longer = xasprintf("%s%s%s", line, i ? " " : "", json_string_value(word));
		free(line);
		line = longer;
	}
	return line;
}

/* The parent's config with what commit changes. */
static int make_config(struct commit *x, const struct image_commit *m, struct err *e)
{
	char now[TIME_TEXT];
	int rc = imageconf_load(x->d, m->parent, &x->config, e);

	if (rc < 0)
		return rc;
	time_rfc3339_full(time_now(), now);
	json_object_set(x->config, "config", m->config.json);
	json_object_set(x->config, "container_config", m->container_config.json);
	json_object_set_new(x->config, "container", json_string(m->container));
	json_object_set_new(x->config, "created", json_string(now));
	json_object_set_new(x->config, "comment", json_string(m->comment ? m->comment : ""));
	json_object_set_new(x->config, "author", json_string(m->author ? m->author : ""));
	if (!json_is_array(json_object_get(x->config, "history")))
		json_object_set_new(x->config, "history", json_array());
	AUTO_FREE char *command = command_of(m->container_config.json);
	json_array_append_new(json_object_get(x->config, "history"),
			      json_pack("{s:s, s:s, s:s, s:s}", "created", now, "created_by", command, "comment",
					m->comment ? m->comment : "", "author", m->author ? m->author : ""));
	return m->changes ? changes_apply(imageconf_config(x->config), m->changes, e) : 0;
}

void on_image_commit(struct ipc_request *req, struct image_commit *m, struct imaged *d)
{
	struct commit *x = XNEW(struct commit);
	struct err e = {0};

	*x = (struct commit){.d = d, .req = req, .draft = draft_new(d)};
	int rc = make_config(x, m, &e);
	if (rc == 0)
		rc = add_name(x, m->repo, m->tag, &e);
	if (rc == 0)
		rc = add_parent_layers(x, m->parent, &e);
	if (rc == 0) {
		draft_set_parent(x->draft, m->parent);
		x->layer = draft_add_layer(x->draft, x);
		rc = draft_layer_unpack(x->layer, &(struct draft_layer_source){.pipe = m->tar, .file = -1},
					&layer_events, &e);
	}
	if (rc < 0)
		commit_fail(x, &e);
	else
		ipc_request_on_cancel(req, on_cancel, x);
}
