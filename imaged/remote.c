#include "imaged/remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "imaged/imageconf.h"
#include "imaged/remote_private.h"

#define INDEX_DEPTH_MAX 3 /* indexes of indexes are allowed, and seldom */

void remote_free(struct remote *x)
{
	if (!x)
		return;
	if (x->begin)
		event_free(x->begin);
	worker_cancel(x->call);
	verification_free(x->verification);
	remote_free_layers(x);
	draft_free(x->draft);
	manifest_clean(&x->manifest);
	json_decref(x->config);
	free(x->manifest_text);
	free(x->config_text);
	free(x);
}

void remote_fail(struct remote *x, const struct err *e)
{
	void (*done)(void *, const struct remote_result *, const struct err *) = x->done;
	void *arg = x->arg;
	struct err why = *e;

	/* What a registry does wrong is not the client's fault, whatever the code. */
	if (!why.status)
		why.status = 500;
	remote_free(x);
	done(arg, NULL, &why);
}

static void finish(struct remote *x)
{
	void (*done)(void *, const struct remote_result *, const struct err *) = x->done;
	void *arg = x->arg;
	struct remote_result result = x->result;

	remote_free(x);
	done(arg, &result, NULL);
}

/* ---- the session ---- */

static void logged_in(void *arg, void *reply, const struct err *e)
{
	/* Whatever is asked next is refused with the same words. */
	(void)arg;
	(void)reply;
	(void)e;
}

static const struct worker_events login_events = {.done = logged_in};

struct worker_session *remote_login(struct imaged *d, const char *registry, const char *auth, struct err *e)
{
	struct worker_session *s = worker_session_new(d, PROC_image_fetch);
	struct fetch_login m;

	ipc_init(IPC_fetch_login, &m);
	m.registry = registry;
	m.auth = auth && *auth ? auth : NULL;
	struct worker_call *call = worker_session_call(s, IPC_fetch_login, &m, &login_events, NULL, e);
	if (auth)
		explicit_bzero((char *)(uintptr_t)auth, strlen(auth));
	if (call)
		return s;
	worker_session_free(s);
	return NULL;
}

/* ---- is it here already? ---- */

static bool fits(const struct remote *x, const struct image *image)
{
	struct platform have = {0};

	snprintf(have.os, sizeof have.os, "%s", image->os);
	snprintf(have.architecture, sizeof have.architecture, "%s", image->architecture);
	snprintf(have.variant, sizeof have.variant, "%s", image->variant);
	/* Of an index there may be a better one. */
	return platform_fit(&have, &x->request.platform) == PLATFORM_EXACT;
}

static bool is_whole(struct remote *x, const char *id)
{
	AUTO_FREE struct image_layer *layers = NULL;
	ssize_t n = records_layers(x->d, id, &layers, NULL);

	for (ssize_t i = 0; i < n; i++)
		if (!stage_has_layer(x->d, layers[i].diff_id))
			return false;
	return n >= 0;
}

/* The image that the reference's tag names here, if it came by that digest. */
static bool have_digest(struct remote *x, const char *digest)
{
	AUTO_IMAGE struct image image = {0};
	char name[REFERENCE_TEXT];
	int64_t known = 0;
	struct reference by_tag = x->request.reference;

	if (*by_tag.tag)
		*by_tag.digest = '\0';
	if (records_find(x->d, reference_full(&by_tag, name), &image, NULL, NULL) < 0)
		return false;
	reference_by_digest(&x->request.reference, digest, name);
	store_number(x->d->store, 0, &known, NULL, "SELECT count(*) FROM digest WHERE name = ? AND image = ?", "tt",
		     name, image.id);
	if (!known || !fits(x, &image) || !is_whole(x, image.id))
		return false;
	/* The policy may have come after it. */
	if (verified_name(x->d, reference_full(&x->request.reference, name), image.id, NULL) < 0)
		return false;
	snprintf(x->result.id, sizeof x->result.id, "%s", image.id);
	snprintf(x->result.digest, sizeof x->result.digest, "%s", digest);
	return true;
}

/* ---- manifest ---- */

static int call_for_manifest(struct remote *x, const char *reference, bool head, struct err *e);
static void ask_manifest(struct remote *x, const char *reference, bool head);
static void ask_config(struct remote *x);

static void set_fetch(struct remote *x, struct fetch_manifest *m, const char *reference)
{
	ipc_init(IPC_fetch_manifest, m);
	m->registry = x->request.reference.domain;
	m->repository = x->request.reference.path;
	m->reference = reference;
	m->max_bytes = (uint32_t)x->d->daemon.config->images_max_manifest;
}

static char *shown_name(const struct remote *x, char *out)
{
	char full[REFERENCE_TEXT];

	return reference_familiar(reference_full(&x->request.reference, full), default_registry(x->d), out);
}

/* What was asked for by its digest must have it. */
static int check_bytes(const char *wanted, const struct fetched *m, const char *found, struct err *e)
{
	if (*wanted && !str_eq(wanted, found))
		return err_set(e, -EBADMSG, "wrong content: the manifest is %s, not %s", found, wanted);
	if (m->digest && str_starts(m->digest, "sha256:") && !str_eq(m->digest, found))
		return err_set(e, -EBADMSG, "wrong content: the manifest is %s, not %s as the registry says", found,
			       m->digest);
	return 0;
}

static void on_verified(void *arg, const char *key, const struct err *e)
{
	struct remote *x = arg;

	x->verification = NULL;
	if (e) {
		remote_fail(x, e);
		return;
	}
	snprintf(x->key, sizeof x->key, "%s", key);
	board_say(x->board, NULL, "Signature: verified, key %.12s", key);
	ask_config(x);
}

/* The manifest is known, and nothing of it has been fetched yet: what must be true of an image before it is let in. */
static void accepted(struct remote *x)
{
	char full[REFERENCE_TEXT];

	if (verified_wanted(x->d, reference_full(&x->request.reference, full)))
		x->verification =
			verification_new(x->d, x->fetch, &x->request.reference, x->result.digest, on_verified, x);
	else
		ask_config(x);
}

static int take_manifest(struct remote *x, const struct fetched *m, struct err *e)
{
	char found[DIGEST_TEXT_SIZE];
	struct descriptor chosen;

	stage_digest(m->body.data, m->body.len, found);
	int rc = check_bytes(x->wanted, m, found, e);
	manifest_clean(&x->manifest);
	if (rc == 0)
		rc = manifest_parse(m->body.data, m->body.len, m->type, x->d->daemon.config, &x->manifest, e);
	if (rc < 0)
		return rc;
	if (!*x->result.digest)
		snprintf(x->result.digest, sizeof x->result.digest, "%s", found);
	if (!x->manifest.index) {
		x->manifest_text = xmemdup(m->body.data, m->body.len);
		x->manifest_len = m->body.len;
		return 0;
	}
	if (++x->depth > INDEX_DEPTH_MAX)
		return err_set(e, -EBADMSG, "an index of an index, %d times over", INDEX_DEPTH_MAX);
	rc = manifest_choose(&x->manifest, &x->request.platform, &chosen, e);
	return rc < 0 ? rc : call_for_manifest(x, chosen.digest, false, e);
}

static void on_manifest(void *arg, void *reply, const struct err *e)
{
	struct remote *x = arg;
	struct fetched *m = reply;
	struct err why = {0};
	char name[REFERENCE_TEXT];

	x->call = NULL;
	if (e) {
		why = *e;
		if (why.status == 404)
			err_prefix(&why, "manifest for %s not found", shown_name(x, name));
		remote_fail(x, &why);
		return;
	}
	if (take_manifest(x, m, &why) < 0)
		remote_fail(x, &why);
	else if (!x->call)
		accepted(x);
}

/* The digest that a tag has now. */
static void on_head(void *arg, void *reply, const struct err *e)
{
	struct remote *x = arg;
	const struct fetched *m = reply;

	x->call = NULL;
	if (!e && m->digest && digest_valid(m->digest) && have_digest(x, m->digest)) {
		finish(x);
		return;
	}
	/* There are registries that do not answer HEAD. */
	ask_manifest(x, x->request.reference.tag, false);
}

static const struct worker_events manifest_events = {.done = on_manifest}, head_events = {.done = on_head};

static int call_for_manifest(struct remote *x, const char *reference, bool head, struct err *e)
{
	struct fetch_manifest m;

	set_fetch(x, &m, reference);
	m.head = head;
	snprintf(x->wanted, sizeof x->wanted, "%s", digest_valid(reference) ? reference : "");
	x->call = worker_session_call(x->fetch, IPC_fetch_manifest, &m, head ? &head_events : &manifest_events, x, e);
	return x->call ? 0 : e->code;
}

static void ask_manifest(struct remote *x, const char *reference, bool head)
{
	struct err e = {0};

	if (call_for_manifest(x, reference, head, &e) < 0)
		remote_fail(x, &e);
}

/* ---- config ---- */

static int check_platform(const struct remote *x, struct err *e)
{
	struct platform have;
	char want[100], is[100], name[REFERENCE_TEXT];

	platform_of_json(x->config, &have);
	if (!x->request.platform_given || platform_fit(&have, &x->request.platform))
		return 0;
	return err_http(e, 404,
			"image with reference %s was found but does not match the specified platform: wanted %s, "
			"actual: %s",
			shown_name(x, name), platform_text(&x->request.platform, want), platform_text(&have, is));
}

static int take_config(struct remote *x, const char *text, size_t len, struct err *e)
{
	char digest[DIGEST_TEXT_SIZE];

	stage_digest(text, len, digest);
	if (!str_eq(digest, x->manifest.config.digest))
		return err_set(e, -EBADMSG, "wrong content: the config is %s, not %s as the manifest says", digest,
			       x->manifest.config.digest);
	x->config_text = xmemdup(text, len);
	int rc = imageconf_parse(text, len, x->d->daemon.config->images_max_layers, &x->config, e);
	if (rc < 0)
		return rc;
	if (json_array_size(imageconf_diff_ids(x->config)) != x->manifest.nlayers)
		return err_set(e, -EBADMSG, "the image's config names %zu layers, its manifest %zu",
			       json_array_size(imageconf_diff_ids(x->config)), x->manifest.nlayers);
	rc = check_platform(x, e);
	if (rc < 0)
		return rc;
	snprintf(x->result.id, sizeof x->result.id, "%s", digest);
	x->draft = draft_new(x->d);
	draft_set_config(x->draft, x->config_text, len, x->config);
	return draft_set_manifest(x->draft, x->manifest_text, x->manifest_len, e);
}

static void on_config(void *arg, void *reply, const struct err *e)
{
	struct remote *x = arg;
	const struct fetched *m = reply;
	struct err why = {0};

	x->call = NULL;
	if (e)
		remote_fail(x, e);
	else if (take_config(x, m->body.data, m->body.len, &why) < 0)
		remote_fail(x, &why);
	else
		remote_begin_layers(x);
}

static const struct worker_events config_events = {.done = on_config};

static void ask_config(struct remote *x)
{
	struct fetch_small_blob m;
	struct err e = {0};

	ipc_init(IPC_fetch_small_blob, &m);
	m.registry = x->request.reference.domain;
	m.repository = x->request.reference.path;
	m.digest = x->manifest.config.digest;
	m.max_bytes = (uint32_t)x->d->daemon.config->images_max_config;
	x->call = worker_session_call(x->fetch, IPC_fetch_small_blob, &m, &config_events, x, &e);
	if (!x->call)
		remote_fail(x, &e);
}

/* ---- the end ---- */

static void on_kept(void *arg, const char *id, json_t *moved, const struct err *e)
{
	struct remote *x = arg;

	(void)id;
	(void)moved;
	if (e)
		remote_fail(x, e);
	else
		finish(x);
}

void remote_keep(struct remote *x)
{
	AUTO_IMAGE struct image before = {0};
	char name[REFERENCE_TEXT];
	struct reference by_tag = x->request.reference;
	struct err e = {0};

	if (*by_tag.tag) {
		*by_tag.digest = '\0';
		draft_add_tag(x->draft, reference_full(&by_tag, name));
	}
	draft_add_digest(x->draft, reference_by_digest(&x->request.reference, x->result.digest, name));
	if (*x->key)
		draft_add_signature(x->draft, reference_repository(&x->request.reference, name), x->key);
	reference_full(&by_tag, name);
	x->result.newer = records_find(x->d, name, &before, NULL, NULL) < 0 || !str_eq(before.id, x->result.id);
	if (draft_keep(x->draft, on_kept, x, &e) < 0)
		remote_fail(x, &e);
}

/* ---- the begin ---- */

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
	struct remote *x = arg;
	const struct reference *r = &x->request.reference;
	AUTO_IMAGE struct image image = {0};
	char name[REFERENCE_TEXT];

	(void)fd;
	(void)what;
	if (*r->digest && have_digest(x, r->digest))
		finish(x);
	else if (*r->digest)
		ask_manifest(x, r->digest, false);
	else
		ask_manifest(x, r->tag, records_find(x->d, reference_full(r, name), &image, NULL, NULL) == 0);
}

struct remote *remote_new(struct imaged *d, struct worker_session *fetch, const struct remote_request *request,
			  struct board *board,
			  void (*done)(void *arg, const struct remote_result *r, const struct err *e), void *arg)
{
	struct remote *x = XNEW(struct remote);

	*x = (struct remote){.d = d, .fetch = fetch, .request = *request, .board = board, .done = done, .arg = arg};
	x->begin = event_new(d->daemon.base, -1, 0, on_begin, x);
	event_active(x->begin, EV_TIMEOUT, 0);
	return x;
}
