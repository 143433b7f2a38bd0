/*
 * search: GET /images/search: Docker Hub's own search for docker.io; for other registries their catalog, in which the
 * term is looked for.
 */
#include <errno.h>
#include <stdio.h>

#include "imaged/handlers.h"
#include "imaged/remote.h"
#include "lib/filters.h"
#include "lib/json.h"

#define LIMIT_MAX 100

struct search {
	struct imaged *d;
	struct ipc_request *req;
	struct worker_session *fetch;
	struct worker_call *call;
	char *registry, *term;
	uint32_t limit;
	json_t *filters;
};

static void search_free(struct search *s)
{
	worker_cancel(s->call);
	worker_session_free(s->fetch);
	json_decref(s->filters);
	free(s->registry);
	free(s->term);
	free(s);
}

static void search_end(struct search *s, json_t *take_found, const struct err *e)
{
	struct ipc_request *req = s->req;
	struct err why = e ? *e : (struct err){0};

	if (why.code && !why.status)
		why.status = 500;
	ipc_request_on_cancel(req, NULL, NULL);
	search_free(s);
	if (why.code) {
		json_decref(take_found);
		ipc_reply_error(req, &why);
	} else {
		ipc_reply_json(req, 200, take_found);
	}
}

static void on_cancel(struct ipc_request *req, void *arg)
{
	(void)req;
	search_end(arg, NULL, &(struct err){.code = -ECANCELED, .text = "the client has left"});
}

/* ---- what was found ---- */

static json_t *row(const char *name, const char *description, bool official, bool automated, json_int_t stars)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:I}", "name", name, "description", description ? description : "",
			 "is_official", official, "is_automated", automated, "star_count", stars);
}

static bool passes(const struct search *s, const json_t *found)
{
	const struct filters *f = FILTERS_OF(s->filters);
	bool official = json_is_true(json_object_get(found, "is_official")), want_official = official;
	bool automated = json_is_true(json_object_get(found, "is_automated")), want_automated = automated;
	const char *stars = filters_first(f, "stars");

	filters_bool(f, "is-official", &want_official, NULL);
	filters_bool(f, "is-automated", &want_automated, NULL);
	return official == want_official && automated == want_automated &&
	       (!stars || json_integer_value(json_object_get(found, "star_count")) >= strtoll(stars, NULL, 10));
}

static void add(const struct search *s, json_t *list, json_t *take_row)
{
	if (json_array_size(list) < s->limit && passes(s, take_row))
		json_array_append(list, take_row);
	json_decref(take_row);
}

/* The catalog: names that can be pulled as they stand there. */
static void add_repositories(const struct search *s, json_t *list, const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name) {
		const char *text = json_string_value(name);
		if (!text || !strstr(text, s->term))
			continue;
		AUTO_FREE char *full = xasprintf("%s/%s", s->registry, text);
		add(s, list, row(full, NULL, false, false, 0));
	}
}

static void add_results(const struct search *s, json_t *list, const json_t *results)
{
	const json_t *x;
	size_t i;

	json_array_foreach(results, i, x) {
		const char *name = json_string_value(json_object_get(x, "name"));
		if (name)
			add(s, list,
			    row(name, json_string_value(json_object_get(x, "description")),
				json_is_true(json_object_get(x, "is_official")),
				json_is_true(json_object_get(x, "is_automated")),
				json_integer_value(json_object_get(x, "star_count"))));
	}
}

static void on_found(void *arg, void *reply, const struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	struct search *s = arg;
	const struct fetched *m = reply;
	AUTO_JSON json_t *doc = NULL;
	struct err why = {0};
	json_t *list;

	s->call = NULL;
	if (!e && json_parse(m->body.data, m->body.len, &bounds, &doc, &why) < 0) {
		err_prefix(&why, "the registry's answer");
		e = &why;
	}
	if (e) {
		search_end(s, NULL, e);
		return;
	}
	list = json_array();
	if (json_is_array(doc))
		add_repositories(s, list, doc);
	else
		add_results(s, list, json_object_get(doc, "results"));
	search_end(s, list, NULL);
}

static const struct worker_events search_events = {.done = on_found};

/* ---- the question ---- */

static int check_filters(const struct search *s, struct err *e)
{
	const struct filters *f = FILTERS_OF(s->filters);
	const char *stars = filters_first(f, "stars");
	bool any;
	int rc = filters_bool(f, "is-official", &any, e);

	if (rc == 0)
		rc = filters_bool(f, "is-automated", &any, e);
	if (rc == 0 && stars && (!*stars || strspn(stars, "0123456789") != strlen(stars)))
		return err_http(e, 400, "invalid filter 'stars=%.100s'", stars);
	return rc;
}

/* The registry is said apart, or stands before the first slash of the term as in an image's name. */
static int set_term(struct search *s, const struct image_search *m, struct err *e)
{
	const char *term = m->term ? m->term : "", *slash = strchr(term, '/');
	size_t n = slash ? (size_t)(slash - term) : 0;
	bool host = n && (memchr(term, '.', n) || memchr(term, ':', n) || (n == 9 && str_starts(term, "localhost")));
	struct reference r;

	if (!*term)
		return err_http(e, 400, "term is needed");
	s->registry = m->registry && *m->registry ? xstrdup(m->registry)
		      : host			  ? xstrndup(term, n)
						  : xstrdup(default_registry(s->d));
	s->term = xstrdup(host ? slash + 1 : term);
	AUTO_FREE char *name = xasprintf("%s/x", s->registry);
	int rc = reference_parse(name, "", &r, e);
	if (rc < 0 || !*r.domain)
		return err_http(e, 400, "registry: not a host, or host:port");
	return 0;
}

static int search_begin(struct search *s, const struct image_search *m, struct err *e)
{
	struct fetch_search ask;
	int rc = set_term(s, m, e);

	s->filters = json_incref(m->filters.json);
	s->limit = m->limit > 0 ? (uint32_t)m->limit : LIMIT_MAX;
	if (rc == 0)
		rc = check_filters(s, e);
	if (rc < 0)
		return rc;
	s->fetch = remote_login(s->d, s->registry, m->auth, e);
	if (!s->fetch)
		return e->code;
	ipc_init(IPC_fetch_search, &ask);
	ask.registry = s->registry;
	ask.term = s->term;
	ask.limit = s->limit;
	s->call = worker_session_call(s->fetch, IPC_fetch_search, &ask, &search_events, s, e);
	return s->call ? 0 : e->code;
}

void on_image_search(struct ipc_request *req, struct image_search *m, struct imaged *d)
{
	struct search *s = XNEW(struct search);
	struct err e = {0};

	*s = (struct search){.d = d, .req = req};
	ipc_request_on_cancel(req, on_cancel, s);
	if (search_begin(s, m, &e) < 0)
		search_end(s, NULL, &e);
}
