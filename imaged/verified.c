#include "imaged/verified.h"

#include <errno.h>
#include <stdio.h>

#include "imaged/signature.h"
#include "imaged/stage.h"
#include "lib/json.h"

#define SIGNATURES_MAX 64 /* looked at, of one image */

/* ---- what is remembered ---- */

int verified_remember(struct imaged *d, const char *repository, const char *id, const char *key, struct err *e)
{
	return store_exec(d->store, e, "INSERT OR IGNORE INTO signature VALUES (?, ?, ?)", "ttt", repository, id, key);
}

bool verified_wanted(const struct imaged *d, const char *full)
{
	const char *const *keys;

	return guard_image_keys(d->guard, full, &keys, NULL) > 0;
}

static bool remembered(struct imaged *d, const struct reference *r, const char *id, const char *pem)
{
	char repository[REFERENCE_TEXT], key[SIGNATURE_KEY_ID];
	int64_t known = 0;
	struct err e;

	return signature_key_id(pem, key, &e) == 0 &&
	       store_number(d->store, 0, &known, &e,
			    "SELECT count(*) FROM signature WHERE repository = ? AND image = ? AND key = ?", "ttt",
			    reference_repository(r, repository), id, key) == 0 &&
	       known;
}

int verified_name(struct imaged *d, const char *full, const char *id, struct err *e)
{
	const char *const *keys;
	struct reference r;
	size_t rule, n = guard_image_keys(d->guard, full, &keys, &rule);

	if (n == 0)
		return 0;
	if (reference_parse(full, default_registry(d), &r, e) == 0)
		for (size_t i = 0; i < n; i++)
			if (remembered(d, &r, id, keys[i]))
				return 0;
	return err_http(e, 403,
			"permission denied: Image: %.300s: must be signed by a key of the policy's rule images[%zu], "
			"and no signature of this image is known: pull it from its registry",
			full, rule);
}

static int any_name(struct imaged *d, json_t *take_names, const char *id, bool *found, struct err *e)
{
	json_t *name;
	size_t i;
	int rc = -EACCES;

	json_array_foreach(take_names, i, name) {
		if (rc < 0)
			rc = verified_name(d, json_string_value(name), id, e);
		*found = true;
	}
	json_decref(take_names);
	return rc;
}

int verified_run(struct imaged *d, const char *id, const struct reference *named, struct err *e)
{
	char full[REFERENCE_TEXT];
	bool found = false;

	if (*named->domain)
		return verified_name(d, reference_full(named, full), id, e);
	if (any_name(d, records_tags(d, id), id, &found, e) == 0 ||
	    any_name(d, records_digests(d, id), id, &found, e) == 0)
		return 0;
	if (found)
		return -EPERM;
	const char *const *keys;
	return guard_image_keys(d->guard, "", &keys, NULL) == 0
		       ? 0
		       : err_http(e, 403,
				  "permission denied: Image: %.300s has no name, and the policy asks for a signature "
				  "of every image",
				  id);
}

/* ---- looking for a signature ---- */

struct verification {
	struct imaged *d;
	struct worker_session *fetch;
	struct reference reference;
	char digest[DIGEST_TEXT_SIZE];
	void (*done)(void *arg, const char *key, const struct err *e);
	void *arg;
	struct worker_call *call;
	struct event *begin;
	json_t *layers; /* of the signatures' manifest */
	size_t at;
	struct err why; /* the last one did not count */
};

void verification_free(struct verification *v)
{
	if (!v)
		return;
	worker_cancel(v->call);
	event_free(v->begin);
	json_decref(v->layers);
	free(v);
}

static void finish(struct verification *v, const char *key, const struct err *e)
{
	void (*done)(void *, const char *, const struct err *) = v->done;
	void *arg = v->arg;

	verification_free(v);
	done(arg, key, e);
}

static void refuse(struct verification *v)
{
	char full[REFERENCE_TEXT];
	const char *const *keys;
	struct err e;
	size_t rule = 0;

	guard_image_keys(v->d->guard, reference_full(&v->reference, full), &keys, &rule);
	err_http(&e, 403,
		 "permission denied: Image: %.300s: is not signed as the policy's rule images[%zu] asks: %.300s", full,
		 rule, v->why.text);
	finish(v, NULL, &e);
}

static void next_signature(struct verification *v);

static const char *signature_of(const struct verification *v, size_t i, char digest[DIGEST_TEXT_SIZE])
{
	const json_t *layer = json_array_get(v->layers, i);
	const char *blob = json_string_value(json_object_get(layer, "digest"));
	const char *media = json_string_value(json_object_get(layer, "mediaType"));
	const char *text = json_string_value(
		json_object_get(json_object_get(layer, "annotations"), "dev.cosignproject.cosign/signature"));

	if (!text || !blob || !digest_valid(blob) || !str_eq(media, "application/vnd.dev.cosign.simplesigning.v1+json"))
		return NULL;
	snprintf(digest, DIGEST_TEXT_SIZE, "%s", blob);
	return text;
}

static int check_payload(struct verification *v, const struct fetched *m, char key[SIGNATURE_KEY_ID], struct err *e)
{
	char full[REFERENCE_TEXT], want[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];
	struct signature_wanted w = {.repository = &v->reference, .digest = v->digest};
	const char *text = signature_of(v, v->at, want);

	stage_digest(m->body.data, m->body.len, found);
	if (!str_eq(want, found))
		return err_set(e, -EBADMSG, "wrong content: its payload is %s, not %s", found, want);
	w.nkeys = guard_image_keys(v->d->guard, reference_full(&v->reference, full), &w.keys, NULL);
	return signature_check(&w, m->body.data, m->body.len, text, key, e);
}

static void on_payload(void *arg, void *reply, const struct err *e)
{
	struct verification *v = arg;
	char key[SIGNATURE_KEY_ID];

	v->call = NULL;
	if (e)
		v->why = *e;
	else if (check_payload(v, reply, key, &v->why) == 0) {
		finish(v, key, NULL);
		return;
	}
	v->at++;
	next_signature(v);
}

static const struct worker_events payload_events = {.done = on_payload};

static void next_signature(struct verification *v)
{
	struct fetch_small_blob m;
	char digest[DIGEST_TEXT_SIZE];

	while (v->at < json_array_size(v->layers) && !signature_of(v, v->at, digest))
		v->at++;
	if (v->at >= json_array_size(v->layers)) {
		refuse(v);
		return;
	}
	ipc_init(IPC_fetch_small_blob, &m);
	m.registry = v->reference.domain;
	m.repository = v->reference.path;
	m.digest = digest;
	m.max_bytes = SIGNATURE_PAYLOAD_MAX;
	v->call = worker_session_call(v->fetch, IPC_fetch_small_blob, &m, &payload_events, v, &v->why);
	if (!v->call)
		refuse(v);
}

static int take_manifest(struct verification *v, const struct fetched *m, struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	AUTO_JSON json_t *doc = NULL;

	if (json_parse(m->body.data, m->body.len, &bounds, &doc, e) < 0)
		return err_prefix(e, "the signatures' manifest");
	v->layers = json_incref(json_object_get(doc, "layers"));
	if (json_array_size(v->layers) > SIGNATURES_MAX)
		return err_set(e, -EFBIG, "it has more than %d signatures", SIGNATURES_MAX);
	/* Unless there is a better reason. */
	err_set(e, -EACCES, "its manifest of signatures has none of cosign's");
	return 0;
}

static void on_signatures(void *arg, void *reply, const struct err *e)
{
	struct verification *v = arg;

	v->call = NULL;
	if (e && err_status(e) == 404)
		err_set(&v->why, -ENOENT, "the repository has no sha256-%.12s….sig", digest_hex(v->digest));
	else if (e)
		v->why = *e;
	if (e || take_manifest(v, reply, &v->why) < 0)
		refuse(v);
	else
		next_signature(v);
}

static const struct worker_events signatures_events = {.done = on_signatures};

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
	struct verification *v = arg;
	AUTO_FREE char *tag = xasprintf("sha256-%s.sig", digest_hex(v->digest));
	struct fetch_manifest m;

	(void)fd;
	(void)what;
	ipc_init(IPC_fetch_manifest, &m);
	m.registry = v->reference.domain;
	m.repository = v->reference.path;
	m.reference = tag;
	m.max_bytes = (uint32_t)v->d->daemon.config->images_max_manifest;
	v->call = worker_session_call(v->fetch, IPC_fetch_manifest, &m, &signatures_events, v, &v->why);
	if (!v->call)
		refuse(v);
}

struct verification *verification_new(struct imaged *d, struct worker_session *fetch, const struct reference *r,
				      const char *digest, void (*done)(void *arg, const char *key, const struct err *e),
				      void *arg)
{
	struct verification *v = XNEW(struct verification);

	*v = (struct verification){.d = d, .fetch = fetch, .reference = *r, .done = done, .arg = arg};
	snprintf(v->digest, sizeof v->digest, "%s", digest);
	v->begin = event_new(d->daemon.base, -1, 0, on_begin, v);
	event_active(v->begin, EV_TIMEOUT, 0);
	return v;
}
