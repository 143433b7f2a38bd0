#include "apid/gather.h"

#include <jansson.h>
#include <stdio.h>
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
	struct err e; /* why not */
	/* Makes JSON of the reply; NULL with *e set when the reply is an error itself. */
	json_t *(*read)(const void *reply, struct err *e);
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
	return json_pack("{s:I s:I s:I s:I}", "Containers", (json_int_t)c->total, "ContainersRunning",
			 (json_int_t)c->running, "ContainersPaused", (json_int_t)c->paused, "ContainersStopped",
			 (json_int_t)c->stopped);
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

static json_t *read_volumes(const void *reply, struct err *e)
{
	const struct volume_used *used = reply;

	return parse(used->volumes.data, used->volumes.len, e);
}

/* ---- asking ---- */

static void free_gather(struct gather *g)
{
	for (size_t i = 0; i < g->nparts; i++) {
		ipc_call_cancel(STEAL(g->parts[i].call));
		json_decref(g->parts[i].json);
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

static void on_done(void *arg, void *reply, const struct err *e)
{
	struct part *part = arg;

	part->call = NULL;
	if (reply)
		part->json = part->read(reply, &part->e);
	else
		part->e = *e;
	part->gather->missing--;
	finish_if_done(part->gather);
}

static const struct ipc_call_events events = {.done = on_done};

static void ask(struct gather *g, enum process_id peer, uint16_t number, void *msg,
		json_t *(*read)(const void *reply, struct err *e))
{
	static const struct ipc_call_options options = {.deadline_ms = GATHER_MS, .repeatable = true};
	struct part *part = &g->parts[g->nparts++];
	struct ipc_client *client = g->x->apid->clients[peer];

	*part = (struct part){.gather = g, .peer = peer, .read = read};
	if (!client) {
		err_http(&part->e, 503, "%s is not part of this engine", process_name(peer));
		return;
	}
	part->call = ipc_call(client, number, msg, &options, &events, part, &part->e);
	g->missing += part->call != NULL;
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

static void put(json_t *o, const char *key, json_t *list)
{
	json_object_set_new(o, key, list ? json_incref(list) : json_array());
}

static void finish_df(struct exchange *x, struct gather *g)
{
	json_t *o = json_pack("{s:i}", "LayersSize", 0);

	for (size_t i = 0; i < g->nparts; i++) {
		struct part *part = &g->parts[i];
		if (!part->json) {
			json_decref(o);
			answer_error(x, &part->e);
			return;
		}
		if (part->peer == PROC_imaged) {
			json_object_set(o, "LayersSize", json_object_get(part->json, "LayersSize"));
			put(o, "Images", json_object_get(part->json, "Images"));
		} else {
			put(o, part->peer == PROC_runtimed ? "Containers" : "Volumes", part->json);
		}
	}
	if (wants(x, "build-cache"))
		put(o, "BuildCache", NULL);
	answer_json(x, 200, o);
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
		ask(g, PROC_runtimed, IPC_container_list, &containers, read_api);
	}
	if (wants(x, "volume")) {
		struct volume_usage volumes = {};
		ask(g, PROC_volumed, IPC_volume_usage, &volumes, read_volumes);
	}
	run(g);
}
