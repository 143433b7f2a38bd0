#include "apid/fill.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>

#include "lib/util.h"

#define QUOTE_MAX 200 /* of a bad value in an error message */

const struct ipc_field *fill_row(const struct ipc_message *m, enum ipc_where where)
{
	for (size_t i = 0; i < m->nfields; i++)
		if (m->fields[i].where == where)
			return &m->fields[i];
	return NULL;
}

static char *keep_text(struct fill *fill, char *take_text)
{
	if (fill->ntexts == ARRAY_LEN(fill->texts))
		abort(); /* a table with more such rows than any has */
	return fill->texts[fill->ntexts++] = take_text;
}

struct json_t *fill_keep(struct fill *fill, struct json_t *take_doc)
{
	if (fill->ndocs == ARRAY_LEN(fill->docs))
		abort();
	return fill->docs[fill->ndocs++] = take_doc;
}

void fill_clean(struct fill *fill)
{
	while (fill->ntexts)
		free_cleared(fill->texts[--fill->ntexts]);
	while (fill->ndocs)
		json_decref(fill->docs[--fill->ndocs]);
}

/* ---- where a value comes from ---- */

static const char *kind_of(const struct ipc_field *f)
{
	return f->where == W_PATH ? "path parameter" : f->where == W_HEADER ? "header" : "query parameter";
}

/* A parameter that is given several times is a list; only free text can carry one, as lines. */
static int query_value(const struct ipc_field *f, const struct target *t, struct fill *fill, const char **out,
		       struct err *e)
{
	*out = NULL;
	for (size_t i = 0; i < t->nargs; i++) {
		const char *v = t->args[i].value;
		if (strcmp(t->args[i].name, f->wire) != 0)
			continue;
		if (!*out)
			*out = v;
		else if (f->type == T_STR && f->rule == G_TEXT)
			*out = keep_text(fill, xasprintf("%s\n%s", *out, v));
		else if (strcmp(*out, v) != 0)
			return err_http(e, 400, "query parameter %s is given twice", f->wire);
	}
	return 0;
}

static int find_value(const struct ipc_field *f, const struct route *r, const struct target *t,
		      const struct http_head *h, struct fill *fill, const char **out, struct err *e)
{
	char *joined = NULL;

	switch (f->where) {
	case W_PATH:
		*out = route_param(r, t, f->wire, &joined);
		if (joined)
			keep_text(fill, joined);
		return 0;
	case W_HEADER:
		*out = http_header(h, f->wire);
		return 0;
	default:
		return query_value(f, t, fill, out, e);
	}
}

/* ---- one value ---- */

bool fill_boolean(const char *text)
{
	static const char *const no[] = {"", "0", "no", "false", "none"};

	while (*text == ' ')
		text++;
	size_t n = strlen(text);
	while (n && text[n - 1] == ' ')
		n--;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (n == strlen(no[i]) && strncasecmp(text, no[i], n) == 0)
			return false;
	return true;
}

/* A bad value for an error message: short, and valid text. */
static const char *quote(const char *v, char *buf, size_t size)
{
	if (!grammar_utf8(v, strlen(v)))
		return "(bytes that are no UTF-8)";
	snprintf(buf, size, "%s", v);
	size_t n = strlen(buf);
	while (n && !grammar_utf8(buf, n))
		buf[--n] = '\0';
	return buf;
}

/* A path parameter that no object can have as its name: the object is not there. */
static int no_such(const struct ipc_field *f, const struct ipc_message *m, const char *v, struct err *e)
{
	char buf[QUOTE_MAX];
	const char *q = quote(v, buf, sizeof buf);

	switch (f->rule) {
	case G_CONTAINER_REF:
	case G_CONTAINER_OR_LINK:
		return err_http(e, 404,
				str_starts(m->name, "exec_") ? "No such exec instance: %s" : "No such container: %s",
				q);
	case G_NETWORK_REF:
		return err_http(e, 404, "network %s not found", q);
	case G_VOLUME_NAME:
		return err_http(e, 404, "get %s: no such volume", q);
	default:
		return err_http(e, 400, "path parameter %s: expected %s, got '%s'", f->wire,
				grammar_words((enum grammar)f->rule), q);
	}
}

static int set_text(const struct ipc_field *f, const struct ipc_message *m, const char *v, const char **out,
		    struct err *e)
{
	char buf[QUOTE_MAX];
	size_t len = strlen(v);

	if (!len)
		return 0;
	bool fits = grammar_check((enum grammar)f->rule, v, len);
	if (f->where == W_PATH && (!fits || len > f->max))
		return no_such(f, m, v, e);
	if (!fits)
		return err_http(e, 400, "%s %s: expected %s, got '%s'", kind_of(f), f->wire,
				grammar_words((enum grammar)f->rule), quote(v, buf, sizeof buf));
	if (len > f->max)
		return err_http(e, 400, "%s %s: expected at most %llu bytes, got %zu", kind_of(f), f->wire,
				(unsigned long long)f->max, len);
	*out = v;
	return 0;
}

static int set_number(const struct ipc_field *f, const char *v, int64_t *out, struct err *e)
{
	char buf[QUOTE_MAX], *end;

	if (!*v)
		return 0;
	errno = 0;
	long long n = strtoll(v, &end, 10);
	if (errno || *end || *v == ' ' || *v == '\t' || n < f->min || n > (int64_t)f->max)
		return err_http(e, 400, "%s %s: expected a whole number from %lld to %llu, got '%s'", kind_of(f),
				f->wire, (long long)f->min, (unsigned long long)f->max, quote(v, buf, sizeof buf));
	*out = n;
	return 0;
}

static int set_doc(const struct ipc_field *f, const struct target *t, const char *v, size_t len, const char *what,
		   struct ipc_doc *out, struct fill *fill, struct err *e)
{
	const struct schema_context context = {.version = t->minor};
	json_t *json = NULL;

	int r = schema_parse_as((enum schema_id)f->rule, &context, v, len, &json, e);
	if (r < 0) {
		if (what)
			err_prefix(e, "%s", what);
		if (!e->status)
			e->status = 400;
		return r;
	}
	if (json)
		out->json = fill_keep(fill, json);
	else
		out->raw = (struct ipc_bytes){.data = v, .len = len}; /* a document without a schema */
	return 0;
}

static int set_field(const struct ipc_field *f, const struct ipc_message *m, const struct target *t, const char *v,
		     char *base, struct fill *fill, struct err *e)
{
	char what[128];

	switch (f->type) {
	case T_BOOL:
		*(bool *)(void *)(base + f->offset) = fill_boolean(v);
		return 0;
	case T_I64:
		return set_number(f, v, (int64_t *)(void *)(base + f->offset), e);
	case T_DOC:
		if (!*v)
			return 0;
		snprintf(what, sizeof what, "query parameter %s", f->wire);
		return set_doc(f, t, v, strlen(v), what, (struct ipc_doc *)(void *)(base + f->offset), fill, e);
	default:
		return set_text(f, m, v, (const char **)(void *)(base + f->offset), e);
	}
}

int fill_from_head(const struct route *r, const struct target *t, const struct http_head *h, void *msg,
		   struct fill *fill, struct err *e)
{
	const struct ipc_message *m = r->message;

	for (size_t i = 0; i < m->nfields; i++) {
		const struct ipc_field *f = &m->fields[i];
		const char *v = NULL;
		if (f->where != W_PATH && f->where != W_QUERY && f->where != W_HEADER)
			continue;
		int rc = find_value(f, r, t, h, fill, &v, e);
		if (rc == 0 && v)
			rc = set_field(f, m, t, v, msg, fill, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the body ---- */

static bool is_json(const char *type)
{
	size_t n = strcspn(type, " \t;");

	return n == strlen("application/json") && strncasecmp(type, "application/json", n) == 0;
}

/* As moby's httputils.CheckForJSON(): a body must say that it is JSON. */
static int check_type(const struct http_head *h, struct err *e)
{
	const char *type = http_header(h, "Content-Type");
	char buf[QUOTE_MAX];

	if (!type || !*type)
		return err_http(e, 400, "unsupported Content-Type header (): must be 'application/json'");
	if (!is_json(type))
		return err_http(e, 400, "unsupported Content-Type header (%s): must be 'application/json'",
				quote(type, buf, sizeof buf));
	return 0;
}

int fill_from_body(const struct ipc_message *m, const struct target *t, const struct http_head *h, const char *text,
		   size_t len, void *msg, struct fill *fill, struct err *e)
{
	const struct ipc_field *f = fill_row(m, W_BODY);

	if (!f)
		return 0;
	if (!len && f->need == REQUIRED)
		return err_http(e, 400, "invalid JSON: the request has no body");
	if (!len)
		return 0;
	int r = check_type(h, e);
	if (r < 0)
		return r;
	return set_doc(f, t, text, len, NULL, (struct ipc_doc *)(void *)((char *)msg + f->offset), fill, e);
}
