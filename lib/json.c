#include "lib/json.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"

static void *checked_malloc(size_t n)
{
	return xrealloc(NULL, n, 1);
}

/*
 * A password that a client has sent as JSON, or a token of a registry, does not outlive the document. Without memory
 * for a part of a document the process ends, as everywhere: a document that lacks a part would be believed.
 */
__attribute__((constructor)) static void set_memory(void)
{
	json_set_alloc_funcs(checked_malloc, free_cleared);
}

/*
 * Before main(): jansson's own seeding would open /dev/urandom at the first object, which a sandbox may forbid;
 * without a secret seed an attacker can make every key collide.
 */
__attribute__((constructor)) static void seed_hashes(void)
{
	size_t seed = 0;

	if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed && seed)
		json_object_seed(seed);
}

static struct json_place place_of(const char *text, const char *at)
{
	struct json_place place = {1, 1};

	for (const char *p = text; p < at; p++) {
		place.column++;
		if (*p == '\n')
			place = (struct json_place){place.line + 1, 1};
	}
	return place;
}

static int refuse(struct err *e, const char *text, const char *at, const char *why)
{
	struct json_place place = place_of(text, at);

	return err_set(e, -EINVAL, "invalid JSON: %s (line %u, column %u)", why, place.line, place.column);
}

/* The end of the string that begins at p (behind its closing quote), `end` when it has none. */
static const char *behind_string(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '\\')
			p++;
		else if (*p == '"')
			return p + 1;
	}
	return end;
}

/* Count without building: a text of brackets or keys alone costs no memory. */
static int check_bounds(const char *text, size_t len, const struct json_bounds *bounds, struct err *e)
{
	const char *end = text + len;
	size_t values = 1;
	unsigned depth = 0;

	for (const char *p = text; p < end;) {
		if (*p == '"') {
			p = behind_string(p, end);
			continue;
		}
		if (*p == '\0')
			return refuse(e, text, p, "a NUL byte");
		if (*p == '{' || *p == '[') {
			values++;
			if (++depth > bounds->depth)
				return refuse(e, text, p, "nested too deeply");
		} else if (*p == '}' || *p == ']') {
			depth -= depth > 0;
		} else if (*p == ',') {
			values++;
		}
		if (values > bounds->values)
			return refuse(e, text, p, "too many values");
		p++;
	}
	return 0;
}

int json_parse(const char *text, size_t len, const struct json_bounds *bounds, json_t **out, struct err *e)
{
	json_error_t why;

	*out = NULL;
	if (check_bounds(text, len, bounds, e) < 0)
		return -EINVAL;
	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (*out)
		return 0;
	/* jansson quotes the input behind " near", which may hold a secret, and has advice for programmers. */
	static const char *const ends[] = {" near ", " without JSON_"};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char *end = strstr(why.text, ends[i]);
		if (end)
			*end = '\0';
	}
	return err_set(e, -EINVAL, "invalid JSON: %s (line %d, column %d)", why.text, why.line, why.column);
}

/* ---- places ---- */

struct cursor {
	const char *at, *end;
};

static void skip_space(struct cursor *c)
{
	while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at)
		c->at++;
}

/* Behind the value that begins at the cursor. */
static void skip_value(struct cursor *c)
{
	unsigned depth = 0;

	do {
		skip_space(c);
		if (c->at == c->end)
			return;
		if (*c->at == '"') {
			c->at = behind_string(c->at, c->end);
		} else if (strchr("{[", *c->at)) {
			depth++;
			c->at++;
		} else if (strchr("}]", *c->at)) {
			depth--;
			c->at++;
		} else if (strchr(",:", *c->at)) {
			c->at++;
		} else {
			while (c->at < c->end && !strchr(" \t\r\n,:{}[]\"", *c->at))
				c->at++;
		}
	} while (depth > 0);
}

static bool is_key(const char *token, size_t len, const char *key)
{
	if (!memchr(token, '\\', len))
		return strlen(key) == len - 2 && memcmp(token + 1, key, len - 2) == 0;
	json_t *text = json_loadb(token, len, JSON_DECODE_ANY, NULL);
	bool same = text && strcmp(json_string_value(text), key) == 0;
	json_decref(text);
	return same;
}

/* From the beginning of an object or list to that of one of its values. */
static bool step_into(struct cursor *c, const struct json_step *step)
{
	skip_space(c);
	if (c->at == c->end || *c->at != (step->key ? '{' : '['))
		return false;
	c->at++;
	for (size_t i = 0;; i++) {
		bool found = !step->key && i == step->index;
		skip_space(c);
		if (c->at == c->end || strchr("}]", *c->at))
			return false;
		if (step->key) {
			const char *token = c->at;
			if (*token != '"')
				return false;
			c->at = behind_string(token, c->end);
			found = is_key(token, (size_t)(c->at - token), step->key);
			skip_space(c);
			if (c->at == c->end || *c->at++ != ':')
				return false;
			skip_space(c);
		}
		if (found)
			return true;
		skip_value(c);
		skip_space(c);
		if (c->at == c->end || *c->at++ != ',')
			return false;
	}
}

bool json_locate(const char *text, size_t len, const struct json_step *steps, size_t nsteps, struct json_place *out)
{
	struct cursor c = {text, text + len};

	skip_space(&c);
	for (size_t i = 0; i < nsteps; i++)
		if (!step_into(&c, &steps[i]))
			return false;
	*out = place_of(text, c.at);
	return true;
}
