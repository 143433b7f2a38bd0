#include "apid/dialect.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "apid/exchange.h"
#include "lib/util.h"

#define START_BODY_MAX 7 /* as moby's postContainersStart(): `null`, `{}` and a newline are no body */

static bool is_pouch(const struct exchange *x)
{
	return x->target.minor == API_VERSION_POUCH;
}

/* ---- pieces ---- */

static void set_text(json_t *o, const char *key, const char *value)
{
	json_object_set_new(o, key, json_string(value ? value : ""));
}

/* A second name of a member, where the answer does not have it already. */
static void also(json_t *o, const char *key, const char *as)
{
	json_t *v = json_object_get(o, key);

	if (v && !json_object_get(o, as))
		json_object_set(o, as, v);
}

/* Seconds since 1970 as the text that the rest of Pouch's API has for times. */
static void time_to_text(json_t *o, const char *key, const char *as)
{
	json_t *v = json_object_get(o, key);
	char text[64];
	struct tm tm;

	if (!json_is_integer(v))
		return;
	time_t t = (time_t)json_integer_value(v);
	if (gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		set_text(o, as, text);
}

static void drop_slash(json_t *o, const char *key)
{
	const char *name = json_string_value(json_object_get(o, key));

	if (name && *name == '/')
		json_object_set_new(o, key, json_string(name + 1));
}

/* ---- Pouch ---- */

static void pouch_listed_container(json_t *o)
{
	json_t *names = json_object_get(o, "Names"), *name;
	const char *status = json_string_value(json_object_get(o, "PouchStatus"));
	size_t i;

	also(o, "Id", "ID");
	time_to_text(o, "Created", "Created");
	json_array_foreach(names, i, name) {
		const char *text = json_string_value(name);
		if (text && *text == '/')
			json_array_set_new(names, i, json_string(text + 1));
	}
	if (status)
		set_text(o, "State", status);
	json_object_del(o, "PouchStatus");
}

static void pouch_container(json_t *o)
{
	json_t *state = json_object_get(o, "State"), *execs = json_object_get(o, "ExecIDs"), *id;
	const char *status = json_string_value(json_object_get(state, "PouchStatus"));
	char list[4096] = "";
	size_t i, at = 0;

	drop_slash(o, "Name");
	if (status)
		set_text(state, "Status", status);
	json_object_del(state, "PouchStatus");
	json_array_foreach(execs, i, id) {
		int n = snprintf(list + at, sizeof list - at, "%s%s", i ? "," : "", json_string_value(id));
		if (n < 0 || (size_t)n >= sizeof list - at)
			break;
		at += (size_t)n;
	}
	set_text(o, "ExecIDs", list);
}

static void pouch_created(json_t *o)
{
	drop_slash(o, "Name");
}

static void pouch_exec(json_t *o)
{
	also(o, "Id", "ID");
}

/* ---- which answer is rewritten how ---- */

/* Not those of images: imaged writes every dialect's fields into one answer, lists of thousands pass as they are. */
static const struct {
	uint16_t number;
	unsigned since, until;	    /* of the client's version */
	void (*rewrite)(json_t *o); /* the object, or each object of the list */
} rows[] = {
	{IPC_container_list, API_VERSION_POUCH, API_VERSION_POUCH, pouch_listed_container},
	{IPC_container_inspect, API_VERSION_POUCH, API_VERSION_POUCH, pouch_container},
	{IPC_container_create, API_VERSION_POUCH, API_VERSION_POUCH, pouch_created},
	{IPC_exec_create, API_VERSION_POUCH, API_VERSION_POUCH, pouch_exec},
};

static void rewrite_all(json_t *json, void (*rewrite)(json_t *o))
{
	size_t i;
	json_t *o;

	if (json_is_object(json))
		rewrite(json);
	json_array_foreach(json, i, o)
		rewrite(o);
}

bool dialect_rewrite(const struct exchange *x, int *status, const char *text, size_t len, char **out)
{
	const struct ipc_message *m = x->route ? x->route->message : NULL;
	json_t *json = NULL;

	if (!m)
		return false;
	if (is_pouch(x) && m->number == IPC_image_remove && *status == 200) {
		*status = 204;
		*out = NULL;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].number != m->number || x->target.minor < rows[i].since || x->target.minor > rows[i].until)
			continue;
		if (!json && !(json = json_loadb(text, len, 0, NULL)))
			return false;
		rewrite_all(json, rows[i].rewrite);
	}
	*out = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return *out != NULL;
}

const char *dialect_stream_type(const struct exchange *x, const char *content_type)
{
	if (x->target.minor < 42 && str_eq(content_type, "application/vnd.docker.multiplexed-stream"))
		return "application/vnd.docker.raw-stream";
	return content_type;
}

/* ---- requests ---- */

/* ?manifests= is newer than the version that is spoken: it would be left out in silence. */
static int check_manifests(const struct exchange *x, struct err *e)
{
	const uint16_t number = x->route->message->number;

	if (number == IPC_image_inspect && ((const struct image_inspect *)x->msg)->manifests)
		return err_http(e, 400,
				"query parameter manifests of an image needs API version 1.48, the last here is 1.%d",
				API_VERSION_LAST);
	if (number == IPC_image_list && x->target.minor < 47 && ((const struct image_list *)x->msg)->manifests)
		return err_http(e, 400, "query parameter manifests needs API version 1.47, this is 1.%u",
				x->target.minor);
	return 0;
}

int dialect_request(struct exchange *x, struct err *e)
{
	const struct ipc_message *m = x->route->message;

	if (m->number == IPC_container_start && x->body.total > START_BODY_MAX)
		return err_http(e, 400,
				"starting container with non-empty request body was deprecated since API v1.22 and "
				"removed in v1.24");
	if (check_manifests(x, e) < 0)
		return e->code;
	/* Before 1.42 every unused volume was pruned, not only those without a name. */
	if (m->number == IPC_volume_prune && x->target.minor < 42) {
		struct volume_prune *prune = x->msg;
		json_t *filters = prune->filters.json ? json_incref(prune->filters.json) : json_object();
		if (!json_object_get(filters, "all"))
			json_object_set_new(filters, "all", json_pack("[s]", "true"));
		prune->filters.json = fill_keep(&x->fill, filters);
	}
	return 0;
}
