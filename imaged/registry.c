/* registry: what is asked of a registry without an image coming here: logins and descriptions. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "imaged/handlers.h"
#include "imaged/remote.h"
#include "imaged/stage.h"
#include "lib/json.h"

/* One question, and whoever waits for its answer. */
struct question {
	struct imaged *d;
	struct ipc_request *req;
	struct worker_session *fetch;
	struct worker_call *call;
	struct reference reference;
	struct manifest manifest;
	json_t *descriptor;
};

static void question_free(struct question *q)
{
	worker_cancel(q->call);
	worker_session_free(q->fetch);
	manifest_clean(&q->manifest);
	json_decref(q->descriptor);
	free(q);
}

static void answer_error(struct question *q, const struct err *e)
{
	struct ipc_request *req = q->req;
	struct err why = *e;

	if (!why.status)
		why.status = 500;
	ipc_request_on_cancel(req, NULL, NULL);
	question_free(q);
	ipc_reply_error(req, &why);
}

static void answer_json(struct question *q, json_t *take_body)
{
	struct ipc_request *req = q->req;

	ipc_request_on_cancel(req, NULL, NULL);
	question_free(q);
	ipc_reply_json(req, 200, take_body);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	answer_error(arg, &(struct err){.code = -ECANCELED, .text = "the client has left"});
}

static struct question *question_new(struct imaged *d, struct ipc_request *req)
{
	struct question *q = XNEW(struct question);

	*q = (struct question){.d = d, .req = req};
	ipc_request_on_cancel(req, on_cancel, q);
	return q;
}

static int ask(struct question *q, uint16_t number, void *m, const struct worker_events *events, struct err *e)
{
	q->call = worker_session_call(q->fetch, number, m, events, q, e);
	return q->call ? 0 : e->code;
}

/* ---- POST /auth ---- */

/* "https://index.docker.io/v1/" and the like: what clients call a registry. */
static int parse_server(const char *address, struct reference *out, struct err *e)
{
	const char *host = strstr(address, "://");

	host = host ? host + 3 : address;
	size_t n = strcspn(host, "/");
	AUTO_FREE char *name = xasprintf("%.*s/x", (int)n, n ? host : "docker.io");
	if (n == 0)
		return reference_parse("docker.io/x", "docker.io", out, e);
	AUTO_FREE char *dotted = strpbrk(name, ".:") || str_starts(name, "localhost/") ? STEAL(name) : NULL;
	if (!dotted || reference_parse(dotted, "docker.io", out, e) < 0)
		return err_http(e, 400, "serveraddress: not a registry");
	return 0;
}

static void on_auth(void *arg, void *reply, const struct err *e)
{
	struct question *q = arg;
	const struct authenticated *m = reply;
	struct err why;

	q->call = NULL;
	if (!e) {
		answer_json(q, json_pack("{s:s, s:s}", "Status", "Login Succeeded", "IdentityToken",
					 m->identity_token ? m->identity_token : ""));
		return;
	}
	why = *e;
	if (why.status == 401 || why.status == 403) {
		err_prefix(&why, "login attempt to %s failed", q->reference.domain);
		why.status = 401;
	}
	answer_error(q, &why);
}

static const struct worker_events auth_events = {.done = on_auth};

/* The document as the header would carry it: nobody but the worker takes it apart. */
static int begin_auth(struct question *q, const struct registry_auth *m, struct err *e)
{
	const char *server = json_string_value(json_object_get(m->body.json, "serveraddress"));
	AUTO_FREE char *coded = xcalloc(m->body.raw.len * 2 + 8, 1);
	struct fetch_auth ask_auth;
	int rc = parse_server(server ? server : "", &q->reference, e);

	if (rc < 0)
		return rc;
	EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)m->body.raw.data, (int)m->body.raw.len);
	q->fetch = remote_login(q->d, q->reference.domain, coded, e);
	if (!q->fetch)
		return e->code;
	ipc_init(IPC_fetch_auth, &ask_auth);
	ask_auth.registry = q->reference.domain;
	return ask(q, IPC_fetch_auth, &ask_auth, &auth_events, e);
}

void on_registry_auth(struct ipc_request *req, struct registry_auth *m, struct imaged *d)
{
	struct question *q = question_new(d, req);
	struct err e = {0};

	if (begin_auth(q, m, &e) < 0)
		answer_error(q, &e);
}

/* ---- GET /distribution/{name}/json ---- */

static json_t *platform_json(const struct platform *p)
{
	json_t *out = json_pack("{s:s, s:s}", "architecture", p->architecture, "os", p->os);

	if (*p->variant)
		json_object_set_new(out, "variant", json_string(p->variant));
	return out;
}

static void answer_described(struct question *q, json_t *take_platforms)
{
	answer_json(q, json_pack("{s:O, s:o}", "Descriptor", q->descriptor, "Platforms", take_platforms));
}

static void on_described_config(void *arg, void *reply, const struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	struct question *q = arg;
	const struct fetched *m = reply;
	struct platform platform;
	json_t *config = NULL;
	char digest[DIGEST_TEXT_SIZE];
	struct err why = {0};

	q->call = NULL;
	if (!e) {
		stage_digest(m->body.data, m->body.len, digest);
		if (!str_eq(digest, q->manifest.config.digest))
			err_set(&why, -EBADMSG, "wrong content: the config is %s, not %s", digest,
				q->manifest.config.digest);
		else
			json_parse(m->body.data, m->body.len, &bounds, &config, &why);
	}
	if (e || why.code) {
		answer_error(q, e ? e : &why);
		return;
	}
	platform_of_json(config, &platform);
	json_decref(config);
	answer_described(q, json_pack("[o]", platform_json(&platform)));
}

static const struct worker_events config_events = {.done = on_described_config};

static json_t *platforms_of_index(const struct manifest *index)
{
	json_t *out = json_array(), *entry;
	size_t i;

	json_array_foreach(json_object_get(index->doc, "manifests"), i, entry) {
		struct platform p;
		platform_of_json(json_object_get(entry, "platform"), &p);
		if (*p.os && *p.architecture)
			json_array_append_new(out, platform_json(&p));
	}
	return out;
}

static int take_described(struct question *q, const struct fetched *m, struct err *e)
{
	char digest[DIGEST_TEXT_SIZE];
	int rc = manifest_parse(m->body.data, m->body.len, m->type, q->d->daemon.config, &q->manifest, e);

	if (rc < 0)
		return rc;
	stage_digest(m->body.data, m->body.len, digest);
	if (*q->reference.digest && !str_eq(q->reference.digest, digest))
		return err_set(e, -EBADMSG, "wrong content: the manifest is %s", digest);
	q->descriptor = json_pack("{s:s, s:s, s:I}", "mediaType", q->manifest.media, "digest", digest, "size",
				  (json_int_t)m->body.len);
	return 0;
}

static void on_described(void *arg, void *reply, const struct err *e)
{
	struct question *q = arg;
	struct fetch_small_blob config;
	struct err why = {0};

	q->call = NULL;
	if (!e && take_described(q, reply, &why) < 0)
		e = &why;
	if (e) {
		answer_error(q, e);
		return;
	}
	if (q->manifest.index) {
		answer_described(q, platforms_of_index(&q->manifest));
		return;
	}
	ipc_init(IPC_fetch_small_blob, &config);
	config.registry = q->reference.domain;
	config.repository = q->reference.path;
	config.digest = q->manifest.config.digest;
	config.max_bytes = (uint32_t)q->d->daemon.config->images_max_config;
	if (ask(q, IPC_fetch_small_blob, &config, &config_events, &why) < 0)
		answer_error(q, &why);
}

static const struct worker_events described_events = {.done = on_described};

static int begin_describe(struct question *q, const struct image_distribution *m, struct err *e)
{
	struct fetch_manifest manifest;
	char full[REFERENCE_TEXT];
	int rc = reference_parse(m->name, default_registry(q->d), &q->reference, e);

	if (rc < 0)
		return rc;
	reference_default_tag(&q->reference);
	rc = guard_admit_image(q->req, reference_full(&q->reference, full), *q->reference.digest, e);
	if (rc < 0)
		return rc;
	q->fetch = remote_login(q->d, q->reference.domain, m->auth, e);
	if (!q->fetch)
		return e->code;
	ipc_init(IPC_fetch_manifest, &manifest);
	manifest.registry = q->reference.domain;
	manifest.repository = q->reference.path;
	manifest.reference = *q->reference.digest ? q->reference.digest : q->reference.tag;
	manifest.max_bytes = (uint32_t)q->d->daemon.config->images_max_manifest;
	return ask(q, IPC_fetch_manifest, &manifest, &described_events, e);
}

void on_image_distribution(struct ipc_request *req, struct image_distribution *m, struct imaged *d)
{
	struct question *q = question_new(d, req);
	struct err e = {0};

	if (begin_describe(q, m, &e) < 0)
		answer_error(q, &e);
}
