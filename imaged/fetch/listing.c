/*
 * listing: all tags of a repository, all repositories of a registry, page by page (distribution's specification,
 * "Listing Tags", "Listing Repositories"); and the search of Docker Hub.
 */
#include <errno.h>

#include "imaged/fetch/answer.h"
#include "lib/json.h"

#define PAGE	  "1000"
#define PAGE_MAX  (4u << 20)
#define PAGES_MAX 100

struct listing {
	struct ipc_request *req;
	struct worker *w;
	struct ask *ask;
	char *scope;
	const char *member; /* of a page: the list */
	json_t *found;
	unsigned pages;
};

static void listing_free(struct listing *x)
{
	ask_free(x->ask);
	json_decref(x->found);
	free(x->scope);
	free(x);
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	listing_free(arg);
	ipc_fail(req, 499, "cancelled");
}

static void finish(struct listing *x, const struct err *e)
{
	struct ipc_request *req = x->req;
	AUTO_FREE char *text = json_dumps(x->found, JSON_COMPACT);
	struct err why = e ? *e : (struct err){0};

	ipc_request_on_cancel(req, NULL, NULL);
	listing_free(x);
	if (why.code)
		ipc_reply_error(req, &why);
	else
		ipc_reply(req, &(struct fetched){.body = {.data = text, .len = strlen(text)}});
}

static void ask_page(struct listing *x, const char *path, const struct url *url);

/* Link: </v2/…?last=…&n=…>; rel="next" — of the same registry, or it is not followed. */
static bool next_page(const struct response *r, const struct url *from, struct url *out)
{
	const char *end = r->link && *r->link == '<' ? strchr(r->link, '>') : NULL;

	if (!end || !strstr(end, "next"))
		return false;
	AUTO_FREE char *target = xstrndup(r->link + 1, (size_t)(end - r->link - 1));
	if (url_parse(target, from->text, out, NULL) < 0)
		return false;
	if (url_same_origin(out, from))
		return true;
	url_clean(out);
	return false;
}

static void on_page(void *arg, struct response *r, const struct url *url, const struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	struct listing *x = arg;
	AUTO_URL struct url next = {0};
	AUTO_JSON json_t *doc = NULL;
	struct err why = {0};

	x->ask = NULL;
	if (!e && json_parse(r->body ? r->body : "", r->len, &bounds, &doc, &why) < 0) {
		err_prefix(&why, "the registry's list");
		e = &why;
	}
	if (!e)
		json_array_extend(x->found, json_object_get(doc, x->member));
	if (!e && next_page(r, url, &next) && ++x->pages < PAGES_MAX)
		ask_page(x, NULL, &next);
	else
		finish(x, e);
}

static const struct ask_events events = {.done = on_page};

static void ask_page(struct listing *x, const char *path, const struct url *url)
{
	x->ask = ask_new(
		x->w,
		&(struct ask_request){
			.method = "GET", .path = path, .url = url, .scope = x->scope, .file = -1, .max_body = PAGE_MAX},
		&events, x);
}

static void list(struct ipc_request *req, struct worker *w, const char *path, char *take_scope, const char *member)
{
	struct listing *x = XNEW(struct listing);

	*x = (struct listing){.req = req, .w = w, .scope = take_scope, .member = member, .found = json_array()};
	ask_page(x, path, NULL);
	ipc_request_on_cancel(req, on_cancel, x);
}

void on_fetch_tags(struct ipc_request *req, struct fetch_tags *m, struct worker *w)
{
	AUTO_FREE char *path = xasprintf("v2/%s/tags/list?n=" PAGE, m->repository);

	if (worker_ready(req, w, m->registry))
		list(req, w, path, scope_of(m->repository, "pull"), "tags");
}

/* Docker Hub has a search of its own; other registries list what they have. */
void on_fetch_search(struct ipc_request *req, struct fetch_search *m, struct worker *w)
{
	AUTO_URL struct url url = {0};
	struct err e = {0};

	if (!worker_ready(req, w, m->registry))
		return;
	if (!str_eq(m->registry, "docker.io")) {
		list(req, w, "v2/_catalog?n=" PAGE, xstrdup("registry:catalog:*"), "repositories");
		return;
	}
	char *term = curl_easy_escape(NULL, m->term, 0);
	AUTO_FREE char *text = xasprintf("https://index.docker.io/v1/search?q=%s&n=%u", term ? term : "", m->limit);
	curl_free(term);
	if (url_parse(text, NULL, &url, &e) < 0)
		ipc_reply_error(req, &e);
	else
		answer_fetched(req, w,
			       &(struct ask_request){.method = "GET", .url = &url, .file = -1, .max_body = PAGE_MAX});
}
