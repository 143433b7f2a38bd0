#include "apid/gather.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "apid/exchange.h"
#include "apid/info.h"
#include "apid/metrics.h"
#include "ipc/codec.h"
#include "lib/util.h"

#define GATHER_MS 3000 /* a process that is silent for longer is left out, and named in the answer */
#define PARTS_MAX 8

struct part {
	struct gather *gather;
	enum process_id peer;
	struct ipc_call *call;
	json_t *json; /* what it said; NULL: nothing (yet) */
	char *text;   /* the same where it is passed on as it is */
	size_t len;
	struct err e; /* why not */
	/* Makes JSON of the reply; NULL with *e set when the reply is an error itself, or is to be kept as text. */
	json_t *(*read)(const void *reply, struct err *e);
	/* Where a list may be long: the text to keep, which needs no parsing; NULL when read() is to look at it. */
	const char *(*keep)(const void *reply, size_t *len);
};

struct gather {
	struct exchange *x;
	struct part parts[PARTS_MAX];
	size_t nparts, missing;
	bool begun; /* every question has been asked */
	void (*finish)(struct exchange *x, struct gather *g);
};

/* ---- replies ---- */

static json_t *read_state(const void *reply, struct err *e)
{
	(void)e;
	return json_incref(((const struct supervisor_state *)reply)->state.json);
}

static json_t *read_service(const void *reply, struct err *e)
{
	(void)e;
	return json_incref(((const struct service_state *)reply)->state.json);
}

static json_t *read_counts(const void *reply, struct err *e)
{
	const struct container_counted *c = reply;

	(void)e;
	return json_pack("{s:I s:I s:I s:I s:s?}", "Containers", (json_int_t)c->total, "ContainersRunning",
			 (json_int_t)c->running, "ContainersPaused", (json_int_t)c->paused, "ContainersStopped",
			 (json_int_t)c->stopped, INFO_HOST_IDS, c->host_ids);
}

static json_t *parse(const char *text, size_t len, struct err *e)
{
	json_error_t why;
	json_t *json = json_loadb(text, len, 0, &why);

	if (!json)
		err_set(e, -1, "an answer that is no JSON");
	return json;
}

static json_t *read_api(const void *reply, struct err *e)
{
	const struct api_reply *api = reply;
	json_t *json = parse(api->body.data, api->body.len, e);

	if (json && api->status >= 400) {
		err_http(e, (int)api->status, "%s", json_string_value(json_object_get(json, "message")));
		json_decref(json);
		return NULL;
	}
	return json;
}

static const char *keep_api(const void *reply, size_t *len)
{
	const struct api_reply *api = reply;

	*len = api->body.len;
	return api->status < 400 ? api->body.data : NULL;
}

static const char *keep_volumes(const void *reply, size_t *len)
{
	const struct volume_used *used = reply;

	*len = used->volumes.len;
	return used->volumes.data;
}

/* ---- asking ---- */

static void free_gather(struct gather *g)
{
	for (size_t i = 0; i < g->nparts; i++) {
		ipc_call_cancel(STEAL(g->parts[i].call));
		json_decref(g->parts[i].json);
		free(g->parts[i].text);
	}
	free(g);
}

void gather_cancel(struct exchange *x)
{
	if (x->gather)
		free_gather(STEAL(x->gather));
}

static void finish_if_done(struct gather *g)
{
	struct exchange *x = g->x;
	struct connection *c = x->conn;

	if (!g->begun || g->missing)
		return;
	x->gather = NULL;
	g->finish(x, g);
	free_gather(g);
	connection_flush(c);
}

static bool keep_text(struct part *part, const void *reply)
{
	const char *text = part->keep ? part->keep(reply, &part->len) : NULL;

	if (!text)
		return false;
	part->text = xcalloc(1, part->len + 1);
	memcpy(part->text, text, part->len);
	return true;
}

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct part *part = arg;

	part->call = NULL;
	if (!reply)
		part->e = *e;
	else if (!keep_text(part, reply))
		part->json = part->read(reply, &part->e);
	part->gather->missing--;
	finish_if_done(part->gather);
}

static const struct ipc_call_events events = {.done = on_done};

static void ask_for_text(struct gather *g, enum process_id peer, uint16_t number, void *msg,
			 json_t *(*read)(const void *reply, struct err *e),
			 const char *(*keep)(const void *reply, size_t *len))
{
	static const struct ipc_call_options options = {.deadline_ms = GATHER_MS, .repeatable = true};
	struct part *part = &g->parts[g->nparts++];
	struct ipc_client *client = g->x->apid->clients[peer];

	*part = (struct part){.gather = g, .peer = peer, .read = read, .keep = keep};
	if (!client) {
		err_http(&part->e, 503, "%s is not part of this engine", process_name(peer));
		return;
	}
	part->call = ipc_call(client, number, msg, &options, &events, part, &part->e);
	g->missing += part->call != NULL;
}

static void ask(struct gather *g, enum process_id peer, uint16_t number, void *msg,
		json_t *(*read)(const void *reply, struct err *e))
{
	ask_for_text(g, peer, number, msg, read, NULL);
}

static struct gather *begin(struct exchange *x, void (*finish)(struct exchange *x, struct gather *g))
{
	struct gather *g = XNEW(struct gather);

	g->x = x;
	g->finish = finish;
	x->gather = g;
	return g;
}

static void run(struct gather *g)
{
	g->begun = true;
	finish_if_done(g);
}

static void copy_asker(const struct exchange *x, struct ipc_asker *to)
{
	*to = *(const struct ipc_asker *)x->msg;
}

/* ---- /info ---- */

enum { INFO_SUPERVISOR, INFO_CONTAINERS, INFO_IMAGES, INFO_NETWORKS };

static void finish_info(struct exchange *x, struct gather *g)
{
	json_t *warnings = json_array();

	for (size_t i = 0; i < g->nparts; i++)
		if (!g->parts[i].json)
			json_array_append_new(warnings,
					      json_sprintf("WARNING: %s does not answer: %s",
							   process_name(g->parts[i].peer), g->parts[i].e.text));
	answer_json(x, 200,
		    info_document(x->apid, g->parts[INFO_SUPERVISOR].json, g->parts[INFO_CONTAINERS].json,
				  g->parts[INFO_IMAGES].json, g->parts[INFO_NETWORKS].json, warnings));
}

static void ask_for_counts(struct gather *g)
{
	struct supervisor_status supervisor = {};
	struct container_counts containers = {};
	struct service_status images = {};

	ask(g, PROC_pouchd, IPC_supervisor_status, &supervisor, read_state);
	ask(g, PROC_runtimed, IPC_container_counts, &containers, read_counts);
	ask(g, PROC_imaged, IPC_service_status, &images, read_service);
}

void gather_info(struct exchange *x)
{
	struct gather *g = begin(x, finish_info);
	struct service_status networks = {};

	ask_for_counts(g);
	ask(g, PROC_netd, IPC_service_status, &networks, read_service);
	run(g);
}

/* ---- /metrics ---- */

static void finish_metrics(struct exchange *x, struct gather *g)
{
	struct evbuffer *out = evbuffer_new();

	metrics_write(x->apid, g->parts[INFO_SUPERVISOR].json, g->parts[INFO_CONTAINERS].json,
		      g->parts[INFO_IMAGES].json, out);
	size_t len = evbuffer_get_length(out);
	answer_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, (const char *)evbuffer_pullup(out, -1),
		    len);
	evbuffer_free(out);
}

void gather_metrics(struct exchange *x)
{
	struct gather *g = begin(x, finish_metrics);

	ask_for_counts(g);
	run(g);
}

/* ---- /system/df ---- */

/* What the client wants to know of; without ?type= everything. */
static bool wants(const struct exchange *x, const char *type)
{
	const struct system_df *m = x->msg;

	if (!m->type)
		return true;
	for (const char *p = m->type; *p;) {
		size_t n = strcspn(p, "\n");
		if (n == strlen(type) && strncmp(p, type, n) == 0)
			return true;
		p += n + (p[n] == '\n');
	}
	return false;
}

static bool check_types(const struct exchange *x, struct err *e)
{
	static const char *const types[] = {"container", "image", "volume", "build-cache"};
	const struct system_df *m = x->msg;
	size_t known = 0, given = 1;

	if (!m->type)
		return true;
	for (const char *p = m->type; *p; p++)
		given += *p == '\n';
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		known += wants(x, types[i]);
	if (known == given)
		return true;
	err_http(e, 400, "query parameter type: expected container, image, volume or build-cache");
	return false;
}

/* ,"KEY":TEXT */
static void put(struct evbuffer *out, const char *key, const char *text, size_t len)
{
	evbuffer_add_printf(out, "%s\"%s\":", evbuffer_get_length(out) > 1 ? "," : "", key);
	evbuffer_add(out, text, len);
}

static void put_json(struct evbuffer *out, const char *key, const json_t *json)
{
	AUTO_FREE char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	put(out, key, text ? text : "null", text ? strlen(text) : 4);
}

/* The lists stand in the answer as their owners have written them. */
static void put_usage(const struct exchange *x, const struct gather *g, struct evbuffer *out)
{
	const json_t *images = NULL;

	evbuffer_add(out, "{", 1);
	for (size_t i = 0; i < g->nparts; i++) {
		const struct part *part = &g->parts[i];
		if (part->peer == PROC_imaged)
			images = part->json;
		else
			put(out, part->peer == PROC_runtimed ? "Containers" : "Volumes", part->text, part->len);
	}
	if (images) {
		put_json(out, "LayersSize", json_object_get(images, "LayersSize"));
		put_json(out, "Images", json_object_get(images, "Images"));
	} else {
		put(out, "LayersSize", "0", 1);
	}
	if (wants(x, "build-cache"))
		put(out, "BuildCache", "[]", 2);
	evbuffer_add(out, "}", 1);
}

static void finish_df(struct exchange *x, struct gather *g)
{
	for (size_t i = 0; i < g->nparts; i++)
		if (!g->parts[i].json && !g->parts[i].text) {
			answer_error(x, &g->parts[i].e);
			return;
		}
	struct evbuffer *out = evbuffer_new();
	put_usage(x, g, out);
	size_t len = evbuffer_get_length(out);
	answer_text(x, 200, NULL, NULL, (const char *)evbuffer_pullup(out, -1), len);
	evbuffer_free(out);
}

void gather_df(struct exchange *x)
{
	struct err e = {0};

	if (!check_types(x, &e)) {
		answer_error(x, &e);
		return;
	}
	struct gather *g = begin(x, finish_df);
	if (wants(x, "image")) {
		struct image_usage images;
		ipc_init(IPC_image_usage, &images);
		copy_asker(x, &images.asker);
		ask(g, PROC_imaged, IPC_image_usage, &images, read_api);
	}
	if (wants(x, "container")) {
		struct container_list containers;
		ipc_init(IPC_container_list, &containers);
		copy_asker(x, &containers.asker);
		containers.all = containers.size = true;
		ask_for_text(g, PROC_runtimed, IPC_container_list, &containers, read_api, keep_api);
	}
	if (wants(x, "volume")) {
		struct volume_usage volumes = {};
		ask_for_text(g, PROC_volumed, IPC_volume_usage, &volumes, NULL, keep_volumes);
	}
	run(g);
}
