#include "apid/route.h"

#include <assert.h>
#include <stdio.h>

#include "lib/util.h"

static const struct route refused[] = {
#define REFUSED(m, p, s, st, t)                                                                                        \
	{.method = #m, .pattern = (p), .since = (s), .until = API_VERSION_LAST, .status = (st), .text = (t)},
#include "apid/refused.def"
#undef REFUSED
};

#define BUCKETS 64

static struct route *routes;
static size_t nroutes;
/* By the first segment, which is literal in every pattern. */
static struct route *buckets[BUCKETS];

static struct route **bucket_of(const char *segment, size_t len)
{
	unsigned h = 5381;

	for (size_t i = 0; i < len; i++)
		h = h * 33 ^ (unsigned char)segment[i];
	return &buckets[h % BUCKETS];
}

static void cut_pattern(struct route *r)
{
	const char *p = r->pattern;

	while (*p == '/') {
		const char *start = ++p;
		p += strcspn(p, "/");
		struct route_segment *s = &r->segments[r->nsegments++];
		assert(r->nsegments <= ROUTE_SEGMENTS_MAX);
		*s = (struct route_segment){start, (size_t)(p - start), SEG_LITERAL};
		if (*start != '{')
			continue;
		s->kind = s->len > 5 && memcmp(p - 4, "...}", 4) == 0 ? SEG_MORE : SEG_ONE;
		s->text++;
		s->len -= s->kind == SEG_MORE ? 5 : 2;
	}
}

static void add(const struct route *r)
{
	struct route *mine = &routes[nroutes];

	*mine = *r;
	mine->index = nroutes++;
	cut_pattern(mine);
	assert(mine->segments[0].kind == SEG_LITERAL);
	/* Behind the others: among equals the first is chosen. */
	struct route **last = bucket_of(mine->segments[0].text, mine->segments[0].len);
	while (*last)
		last = &(*last)->same;
	*last = mine;
}

void routes_init(void)
{
	size_t count;
	const struct ipc_message *const *messages = ipc_messages(&count);

	if (routes)
		return;
	routes = xcalloc(count + ARRAY_LEN(refused), sizeof *routes);
	for (size_t i = 0; i < count; i++) {
		const struct ipc_op *op = messages[i]->op;
		if (op)
			add(&(struct route){.method = op->method,
					    .pattern = op->pattern,
					    .since = op->since,
					    .until = op->until,
					    .message = messages[i]});
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		add(&refused[i]);
}

const struct route *route_all(size_t *count)
{
	*count = nroutes;
	return routes;
}

/* How many of the target's segments the pattern's i-th stands for: all that are left over for a SEG_MORE. */
static size_t span_of(const struct route *r, const struct target *t, size_t i)
{
	return r->segments[i].kind == SEG_MORE ? t->nsegments - (r->nsegments - 1) : 1;
}

static bool has_more(const struct route *r)
{
	for (size_t i = 0; i < r->nsegments; i++)
		if (r->segments[i].kind == SEG_MORE)
			return true;
	return false;
}

/* 0: no match; else better matches have greater values: literals first, then one-segment parameters. */
static unsigned match(const struct route *r, const struct target *t)
{
	unsigned score = 1;
	size_t at = 0;

	if (r->nsegments > t->nsegments || (r->nsegments < t->nsegments && !has_more(r)))
		return 0;
	for (size_t i = 0; i < r->nsegments; i++) {
		const struct route_segment *s = &r->segments[i];
		size_t span = span_of(r, t, i);
		for (size_t k = at; k < at + span; k++)
			if (!*t->segments[k])
				return 0;
		if (s->kind == SEG_LITERAL && (strncmp(t->segments[at], s->text, s->len) || t->segments[at][s->len]))
			return 0;
		score = score * 3 + (s->kind == SEG_LITERAL ? 2 : s->kind == SEG_ONE ? 1 : 0);
		at += span;
	}
	return score;
}

static bool serves(const struct route *r, const char *method)
{
	if (str_eq(r->method, method))
		return true;
	return str_eq(method, "HEAD") && str_eq(r->method, "GET") && r->message && r->message->op->answer == REPLY;
}

static const struct route *first_of(const struct target *t)
{
	/* "/v1.43" alone has none. */
	return t->nsegments ? *bucket_of(t->segments[0], strlen(t->segments[0])) : NULL;
}

static void add_method(char *allow, size_t size, const char *method)
{
	size_t at = strlen(allow);

	if (!strstr(allow, method))
		snprintf(allow + at, size - at, "%s%s", at ? ", " : "", method);
}

/* The methods that this target could be asked with. */
static void list_methods(const struct target *t, char *allow, size_t size)
{
	*allow = '\0';
	for (const struct route *r = first_of(t); r; r = r->same)
		if (t->minor >= r->since && t->minor <= r->until && match(r, t))
			add_method(allow, size, r->method);
}

const struct route *route_find(const char *method, const struct target *t, char *allow, size_t size, struct err *e)
{
	const struct route *best = NULL;
	unsigned best_score = 0;

	for (const struct route *r = first_of(t); r; r = r->same) {
		if (t->minor < r->since || t->minor > r->until)
			continue;
		unsigned score = serves(r, method) ? match(r, t) : 0;
		/* Among equals the first, but for HEAD's own route, which goes before GET's. */
		if (!score || score < best_score ||
		    (score == best_score && (str_eq(best->method, method) || !str_eq(r->method, method))))
			continue;
		best = r;
		best_score = score;
	}
	if (best)
		return best;
	list_methods(t, allow, size);
	if (t->minor < API_VERSION_FIRST)
		target_too_old(t->minor, e);
	else if (*allow)
		err_http(e, 405, "method not allowed: %s", method);
	else
		err_http(e, 404, "page not found");
	return NULL;
}

const char *route_param(const struct route *r, const struct target *t, const char *name, char **joined)
{
	size_t at = 0;

	*joined = NULL;
	for (size_t i = 0; i < r->nsegments; i++) {
		const struct route_segment *s = &r->segments[i];
		size_t span = span_of(r, t, i);
		if (s->kind == SEG_LITERAL || strncmp(s->text, name, s->len) || name[s->len]) {
			at += span;
			continue;
		}
		if (span == 1)
			return t->segments[at];
		size_t len = 0;
		for (size_t k = at; k < at + span; k++)
			len += strlen(t->segments[k]) + 1;
		char *out = *joined = xcalloc(1, len);
		for (size_t k = at; k < at + span; k++)
			out = stpcpy(stpcpy(out, k > at ? "/" : ""), t->segments[k]);
		return *joined;
	}
	return NULL;
}
