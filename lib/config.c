#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/config_derive.h"
#include "lib/config_parse.h"
#include "lib/fd.h"
#include "lib/util.h"

/* ---- memory ---- */

static struct config_memory *memory_of(struct config *c)
{
	return (struct config_memory *)(void *)((char *)c - offsetof(struct config_memory, config));
}

void *config_block(struct config_memory *m, size_t n, size_t size)
{
	m->blocks = xrealloc(m->blocks, m->nblocks + 1, sizeof *m->blocks);
	m->blocks[m->nblocks] = xcalloc(n, size);
	return m->blocks[m->nblocks++];
}

const char *config_keep(struct config_memory *m, const char *text)
{
	json_t *kept = json_string(text);

	json_array_append_new(m->keep, kept);
	return json_string_value(kept);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	struct config_memory *m = memory_of(c);
	for (size_t i = 0; i < m->nblocks; i++)
		free(m->blocks[i]);
	free(m->blocks);
	json_decref(m->tree);
	json_decref(m->keep);
	free(m);
}

/* ---- complaints ---- */

/* Was the setting, or what encloses it, given by --set? */
static bool is_set(const struct config_source *source, const char *path)
{
	for (size_t i = 0; i < source->nsets; i++) {
		size_t n = strcspn(source->sets[i], "=");
		if (strncmp(source->sets[i], path, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '['))
			return true;
	}
	return false;
}

int config_complain(const struct config_reader *r, const struct config_at *at, const char *fmt, ...)
{
	const struct config_source *s = r->source;
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	err_setv(r->e, -EINVAL, fmt, ap);
	va_end(ap);
	config_at_text(at, path, sizeof path);
	if (*path && is_set(s, path))
		return err_prefix(r->e, "--set %s", path);
	if (*path)
		err_prefix(r->e, "%s", path);
	if (s->file)
		err_prefix(r->e, "%s:%zu", s->file, config_line(s->text, at));
	return -EINVAL;
}

/* ---- the tree ---- */

static json_t *lookup(json_t *object, const char *key)
{
	const char *dot;

	while (json_is_object(object) && (dot = strchr(key, '.'))) {
		object = json_object_getn(object, key, (size_t)(dot - key));
		key = dot + 1;
	}
	return json_object_get(object, key);
}

static int put(json_t *object, const char *key, json_t *take_value)
{
	const char *dot;

	while ((dot = strchr(key, '.'))) {
		AUTO_FREE char *step = xstrndup(key, (size_t)(dot - key));
		json_t *inner = json_object_get(object, step);
		if (!json_is_object(inner)) {
			inner = json_object();
			json_object_set_new(object, step, inner);
		}
		object = inner;
		key = dot + 1;
	}
	return json_object_set_new(object, key, take_value);
}

static const struct config_row *row_of(const struct config_object *o, const char *key)
{
	for (const struct config_row *row = o->rows; row->key; row++)
		if (strcmp(row->key, key) == 0)
			return row;
	return NULL;
}

static bool is_group(const struct config_object *o, const char *key)
{
	size_t n = strlen(key);

	for (const struct config_row *row = o->rows; row->key; row++)
		if (strncmp(row->key, key, n) == 0 && row->key[n] == '.')
			return true;
	return false;
}

/* Every key must be a row's, or lead to one. `prefix` are the keys above within the same object. */
static int check_keys(const struct config_reader *r, const struct config_object *o, json_t *value, const char *prefix,
		      const struct config_at *up)
{
	const char *key;
	json_t *inner;

	json_object_foreach(value, key, inner) {
		AUTO_FREE char *path = xasprintf("%s%s%s", prefix, *prefix ? "." : "", key);
		const struct config_at at = {.up = up, .key = path, .dotted = true};
		if (!strchr(key, '.') && row_of(o, path))
			continue;
		if (strchr(key, '.') || !is_group(o, path))
			return config_complain(r, &at, "there is no such setting");
		if (!json_is_object(inner))
			return config_complain(r, &at, "an object is expected");
		int n = check_keys(r, o, inner, path, up);
		if (n < 0)
			return n;
	}
	return 0;
}

/* The default as JSON, kept as long as the config. */
static json_t *default_of(const struct config_reader *r, const struct config_row *row)
{
	char buf[256];
	const char *text = row->def ? row->def : config_derive(row->key, r->source->root, buf, sizeof buf);
	json_t *v = config_json_of_text(row, text);

	json_array_append_new(r->memory->keep, v);
	return v;
}

int config_store_object(const struct config_reader *r, const struct config_object *o, json_t *value,
			const struct config_at *at, void *object)
{
	if (value && !json_is_object(value))
		return config_complain(r, at, "an object is expected");
	int n = check_keys(r, o, value, "", at);
	if (n < 0)
		return n;
	for (const struct config_row *row = o->rows; row->key; row++) {
		const struct config_at here = {.up = at, .key = row->key, .dotted = true};
		json_t *v = lookup(value, row->key);
		n = config_store(r, row, v ? v : default_of(r, row), &here, object);
		if (n < 0)
			return n;
	}
	return 0;
}

/* The file's JSON; an empty object without a file. */
static json_t *tree_of(const struct config_source *s, struct err *e)
{
	json_error_t je;

	if (!s->file)
		return json_object();
	if (s->len > CONFIG_TEXT_MAX) {
		err_set(e, -EFBIG, "%s: larger than %u bytes", s->file, CONFIG_TEXT_MAX);
		return NULL;
	}
	json_t *tree = json_loadb(s->text, s->len, JSON_REJECT_DUPLICATES, &je);
	if (!tree)
		err_set(e, -EINVAL, "%s:%d: %s", s->file, je.line, je.text);
	else if (!json_is_object(tree))
		err_set(e, -EINVAL, "%s:1: an object is expected", s->file);
	if (json_is_object(tree))
		return tree;
	json_decref(tree);
	return NULL;
}

static int apply_sets(const struct config_source *s, json_t *tree, struct err *e)
{
	for (size_t i = 0; i < s->nsets; i++) {
		const char *eq = strchr(s->sets[i], '=');
		if (!eq)
			return err_set(e, -EINVAL, "--set %s: KEY=VALUE is expected", s->sets[i]);
		AUTO_FREE char *key = xstrndup(s->sets[i], (size_t)(eq - s->sets[i]));
		const struct config_row *row = row_of(config_rows(), key);
		if (!row)
			return err_set(e, -EINVAL, "--set %s: there is no such setting", key);
		json_t *value = config_json_of_text(row, eq + 1);
		if (!value)
			return err_set(e, -EINVAL, "--set %s: JSON is expected", key);
		put(tree, key, value);
	}
	return 0;
}

static int read_tree(const struct config_source *source, json_t **out, struct err *e)
{
	json_t *tree = tree_of(source, e);

	if (!tree)
		return -EINVAL;
	int r = apply_sets(source, tree, e);
	if (r < 0) {
		json_decref(tree);
		return r;
	}
	*out = tree;
	return 0;
}

/* ---- whole files ---- */

int config_parse(const struct config_source *source, struct config **out, struct err *e)
{
	struct config_memory *m = XNEW(struct config_memory);
	const struct config_reader r = {.source = source, .memory = m, .e = e};

	m->keep = json_array();
	int n = read_tree(source, &m->tree, e);
	if (n == 0)
		n = config_store_object(&r, config_rows(), m->tree, NULL, &m->config);
	if (n == 0)
		n = config_check(&r, &m->config);
	if (n < 0) {
		config_free(&m->config);
		return n;
	}
	*out = &m->config;
	return 0;
}

int config_load(const struct config_source *source, struct config **out, struct err *e)
{
	struct config_source s = *source;
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int fd = open(source->file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, -errno, "%s", source->file);
	int r = fd_read_file(fd, CONFIG_TEXT_MAX, &text, &s.len, e);
	if (r < 0)
		return err_prefix(e, "%s", source->file);
	s.text = text;
	return config_parse(&s, out, e);
}

int config_text(const struct config_source *source, char **out, size_t *len, struct err *e)
{
	json_t *tree = NULL;
	int r = read_tree(source, &tree, e);

	if (r < 0)
		return r;
	*out = json_dumps(tree, JSON_COMPACT);
	json_decref(tree);
	if (!*out)
		return err_set(e, -ENOMEM, "out of memory");
	*len = strlen(*out);
	return 0;
}

/* ---- what others ask ---- */

static bool texts_differ(const struct config_texts *a, const struct config_texts *b)
{
	if (a->n != b->n)
		return true;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return true;
	return false;
}

static bool differs(const struct config_row *row, const void *a, const void *b)
{
	switch (row->type) {
	case CONFIG_FLAG:
		return *(const bool *)a != *(const bool *)b;
	case CONFIG_NUMBER:
	case CONFIG_TIME:
		return *(const uint32_t *)a != *(const uint32_t *)b;
	case CONFIG_SIZE:
		return *(const uint64_t *)a != *(const uint64_t *)b;
	case CONFIG_MODE:
		return *(const mode_t *)a != *(const mode_t *)b;
	case CONFIG_CHOICE:
		return *(const unsigned *)a != *(const unsigned *)b;
	case CONFIG_TEXT:
	case CONFIG_PATH:
		return strcmp(*(const char *const *)a, *(const char *const *)b) != 0;
	case CONFIG_TEXTS:
		return texts_differ(a, b);
	case CONFIG_LIST:
	case CONFIG_MAP:
		break; /* none of these is fixed at the start: test_config.c holds the table to it */
	}
	return false;
}

const char *config_fixed_difference(const struct config *a, const struct config *b)
{
	for (const struct config_row *row = config_rows()->rows; row->key; row++)
		if (row->when == START && differs(row, (const char *)a + row->offset, (const char *)b + row->offset))
			return row->key;
	return NULL;
}

const struct config_registry *config_registry(const struct config *c, const char *host)
{
	for (size_t i = 0; i < c->registries.n; i++)
		if (strcmp(c->registries.v[i].key, host) == 0)
			return &c->registries.v[i];
	return NULL;
}

const struct config_runtime *config_runtime(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->runtimes.n; i++)
		if (strcmp(c->runtimes.v[i].key, name) == 0)
			return &c->runtimes.v[i];
	return NULL;
}

const char *config_api_socket(const struct config *c)
{
	for (size_t i = 0; i < c->listeners.n; i++)
		if (c->listeners.v[i].type == LISTENER_UNIX)
			return c->listeners.v[i].path;
	return NULL;
}
