#include "imaged/pull.h"

#include <errno.h>
#include <stdio.h>

#include "imaged/events.h"
#include "imaged/remote.h"
#include "imaged/stage.h"
#include "lib/json.h"

struct pull;

/* Somebody who waits for a pull. */
struct client {
	struct pull *pull;
	struct ipc_request *req;
	struct lines *lines;
	struct client *next;
};

/* Work that clients share when they ask for the same with the same credentials. */
struct pull {
	struct imaged *d;
	char *key;
	struct remote_request request; /* the present one */
	json_t *tags;		       /* still to come, when all are wanted; NULL */
	struct worker_session *fetch;
	struct worker_call *listing;
	struct remote *remote;
	bool begun; /* the first image */
	struct board *board;
	struct client *clients;
	struct pull *next;
};

static void pull_free(struct pull *p)
{
	struct pull **at = &p->d->pulls;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	worker_cancel(p->listing);
	remote_free(p->remote);
	worker_session_free(p->fetch);
	board_free(p->board);
	json_decref(p->tags);
	free(p->key);
	free(p);
}

/* ---- clients ---- */

static void client_leave(struct client *c)
{
	struct client **at = &c->pull->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	board_leave(c->pull->board, c->lines);
	free(c);
}

/* The work ends when nobody waits for it any more. */
static void on_gone(void *arg)
{
	struct client *c = arg;
	struct pull *p = c->pull;
	struct lines *lines = c->lines;

	client_leave(c);
	lines_fail(lines, &(struct err){.code = -ECANCELED, .text = "the client has left"});
	if (!p->clients)
		pull_free(p);
}

static void client_join(struct pull *p, struct ipc_request *req)
{
	struct client *c = XNEW(struct client);

	*c = (struct client){.pull = p, .req = req, .next = p->clients};
	p->clients = c;
	c->lines = lines_new(req, on_gone, c);
	board_join(p->board, c->lines);
}

static void end_all(struct pull *p, const struct err *e)
{
	while (p->clients) {
		struct lines *lines = p->clients->lines;
		client_leave(p->clients);
		if (e)
			lines_fail(lines, e);
		else
			lines_end(lines);
	}
	pull_free(p);
}

/* ---- the work ---- */

static void next_image(struct pull *p);

/* Docker's words for a registry's no: it does not tell a missing repository from one that is not for everybody. */
static void explain_denial(const struct pull *p, struct err *e)
{
	char name[REFERENCE_TEXT], shown[REFERENCE_TEXT];

	if (e->status != 401 && !(e->status == 404 && strstr(e->text, "name unknown")))
		return;
	reference_repository(&p->request.reference, name);
	reference_familiar(name, default_registry(p->d), shown);
	err_prefix(e, "pull access denied for %s, repository does not exist or may require 'docker login'", shown);
	e->status = 404;
}

static void on_image(void *arg, const struct remote_result *r, const struct err *e)
{
	struct pull *p = arg;
	char full[REFERENCE_TEXT], shown[REFERENCE_TEXT];

	p->remote = NULL;
	if (e) {
		struct err why = *e;
		explain_denial(p, &why);
		end_all(p, &why);
		return;
	}
	reference_full(&p->request.reference, full);
	reference_familiar(full, default_registry(p->d), shown);
	board_say(p->board, NULL, "Digest: %s", r->digest);
	board_say(p->board, NULL,
		  r->newer ? "Status: Downloaded newer image for %s" : "Status: Image is up to date for %s", shown);
	for (struct client *c = p->clients; c; c = c->next)
		ipc_request_object(c->req, "image", r->id);
	event_transfer(p->d, "pull", r->id, full);
	next_image(p);
}

static int take_tag(struct pull *p, const char *tag, struct err *e)
{
	char full[REFERENCE_TEXT];

	if (!tag_valid(tag))
		return err_set(e, -EBADMSG, "the registry lists something that is no tag");
	snprintf(p->request.reference.tag, sizeof p->request.reference.tag, "%s", tag);
	reference_full(&p->request.reference, full);
	for (struct client *c = p->clients; c; c = c->next) {
		int rc = guard_admit_image(c->req, full, false, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The next of all tags; one that is asked for alone is the first and last. */
static void next_image(struct pull *p)
{
	struct err e = {0};

	if (p->tags && json_array_size(p->tags)) {
		int rc = take_tag(p, json_string_value(json_array_get(p->tags, 0)), &e);
		json_array_remove(p->tags, 0);
		if (rc < 0) {
			end_all(p, &e);
			return;
		}
	} else if (p->begun) {
		end_all(p, NULL);
		return;
	}
	p->begun = true;
	p->remote = remote_new(p->d, p->fetch, &p->request, p->board, on_image, p);
}

static void on_tags(void *arg, void *reply, const struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	const struct fetched *m = reply;
	struct pull *p = arg;
	struct err why = {0};

	p->listing = NULL;
	if (e) {
		why = *e;
		explain_denial(p, &why);
	} else if (json_parse(m->body.data, m->body.len, &bounds, &p->tags, &why) == 0 &&
		   (!json_is_array(p->tags) || json_array_size(p->tags) == 0)) {
		err_http(&why, 404, "the repository has no tags");
	}
	if (why.code)
		end_all(p, &why);
	else
		next_image(p);
}

static const struct worker_events tags_events = {.done = on_tags};

static int ask_tags(struct pull *p, struct err *e)
{
	struct fetch_tags m;

	ipc_init(IPC_fetch_tags, &m);
	m.registry = p->request.reference.domain;
	m.repository = p->request.reference.path;
	p->listing = worker_session_call(p->fetch, IPC_fetch_tags, &m, &tags_events, p, e);
	return p->listing ? 0 : e->code;
}

/* ---- the request ---- */

/* fromImage, and the tag or digest that may stand beside it. Without either all tags are meant. */
static int parse_name(struct imaged *d, const struct image_create *m, struct reference *r, struct err *e)
{
	AUTO_FREE char *name = xstrdup(m->from_image);
	size_t n = strlen(name);

	/* As docker pull -a of old writes it. */
	if (n && name[n - 1] == ':')
		name[n - 1] = '\0';
	int rc = reference_parse(name, default_registry(d), r, e);
	if (rc < 0)
		return rc;
	if (m->tag && *m->tag && digest_valid(m->tag))
		snprintf(r->digest, sizeof r->digest, "%s", m->tag);
	else if (m->tag && *m->tag && tag_valid(m->tag))
		snprintf(r->tag, sizeof r->tag, "%s", m->tag);
	else if (m->tag && *m->tag)
		return err_http(e, 400, "invalid tag or digest format");
	/* A digest says it all. */
	if (*r->digest)
		*r->tag = '\0';
	return 0;
}

static char *key_of(const struct remote_request *r, const char *auth)
{
	char name[REFERENCE_TEXT], platform[100], digest[DIGEST_TEXT_SIZE];

	stage_digest(auth ? auth : "", auth ? strlen(auth) : 0, digest);
	return xasprintf("%s %s %s", reference_full(&r->reference, name), platform_text(&r->platform, platform),
			 digest);
}

static int read_request(struct imaged *d, struct ipc_request *req, const struct image_create *m,
			struct remote_request *out, struct err *e)
{
	char full[REFERENCE_TEXT];
	int rc = parse_name(d, m, &out->reference, e);

	platform_host(&out->platform);
	if (rc == 0 && m->platform && *m->platform) {
		out->platform_given = true;
		rc = platform_parse(m->platform, &out->platform, e);
	}
	if (rc == 0 && (*out->reference.tag || *out->reference.digest))
		rc = guard_admit_image(req, reference_full(&out->reference, full), *out->reference.digest, e);
	return rc < 0 ? rc : stage_check_space(d, e);
}

static struct pull *pull_new(struct imaged *d, const struct remote_request *request, const char *auth, char *take_key,
			     struct err *e)
{
	struct pull *p = XNEW(struct pull);
	int rc = 0;

	*p = (struct pull){.d = d, .key = take_key, .request = *request, .board = board_new(), .next = d->pulls};
	d->pulls = p;
	p->fetch = remote_login(d, request->reference.domain, auth, e);
	if (!p->fetch)
		rc = e->code;
	else if (!*request->reference.tag && !*request->reference.digest)
		rc = ask_tags(p, e);
	else
		next_image(p);
	if (rc == 0)
		return p;
	pull_free(p);
	return NULL;
}

void pull_begin(struct ipc_request *req, const struct image_create *m, struct imaged *d)
{
	struct remote_request request = {0};
	struct err e = {0};

	if (read_request(d, req, m, &request, &e) < 0) {
		ipc_reply_error(req, &e);
		return;
	}
	bool all = !*request.reference.tag && !*request.reference.digest;
	char *key = key_of(&request, m->auth);
	struct pull *p = d->pulls;
	/* Each of all tags is admitted for the one who asks. */
	while (p && (all || !str_eq(p->key, key)))
		p = p->next;
	if (p)
		free(key);
	else
		p = pull_new(d, &request, m->auth, key, &e);
	if (m->auth)
		explicit_bzero((char *)(uintptr_t)m->auth, strlen(m->auth));
	if (p)
		client_join(p, req);
	else
		ipc_reply_error(req, &e);
}
