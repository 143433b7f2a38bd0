#include "runtimed/links.h"

#include <errno.h>

#include "runtimed/db.h"
#include "runtimed/names.h"
#include "runtimed/networks.h"
#include "runtimed/runtimed.h"

/* "ref:alias" in its two parts; the alias is the last part of a path, and that of the reference when none is given. */
static void split(const char *text, char ref[256], const char **alias)
{
	const char *colon = strchr(text, ':'), *given = colon ? colon + 1 : text, *slash = strrchr(given, '/');

	snprintf(ref, 256, "%.*s", (int)(colon ? colon - text : (ptrdiff_t)strlen(text)), text);
	*alias = slash ? slash + 1 : given;
}

static json_t *links_of(const struct container *c)
{
	return json_object_get(c->host, "Links");
}

struct link {
	char ref[256];
	const char *alias;
	struct container *to; /* NULL: not there (any more) */
};

/* As it is asked for; `e`, where it is given, says why there is no other container. */
static struct link asked_link(const struct container *c, const json_t *text, struct err *e)
{
	struct link link;

	split(json_string_value(text), link.ref, &link.alias);
	link.to = containers_find(&c->rt->containers, link.ref, e);
	return link;
}

/* As it is kept: by id, or by the name of what came later. About that the policy was not asked: it is the owner's own.
 */
static struct link read_link(const struct container *c, const json_t *text)
{
	struct link link = asked_link(c, text, NULL);

	if (link.to && !str_eq(link.ref, link.to->id) && !str_eq(link.to->owner, c->owner))
		link.to = NULL;
	return link;
}

/*
 * On a network with a name server a link is one more name there, whoever has the other name at the moment: the other
 * container may come later.
 */
static bool may_come_later(const struct container *c, const json_t *link)
{
	const char *network;
	json_t *endpoint, *v;
	size_t i;

	json_object_foreach(c->endpoints, network, endpoint)
		json_array_foreach(json_object_get(endpoint, "Links"), i, v)
			if (json_equal(v, link))
				return true;
	return false;
}

int links_read(struct container *c, struct err *e)
{
	json_t *v;
	size_t i;

	json_array_foreach(links_of(c), i, v) {
		const struct link link = asked_link(c, v, e);

		if (!link.to && may_come_later(c, v))
			continue;
		if (!link.to)
			return err_prefix(e, "could not get container for %s", link.ref);
		if (!*link.alias)
			return err_http(e, 400, "Links: '%s' has an empty alias", json_string_value(v));
		json_array_set_new(links_of(c), i, json_sprintf("%s:%s", link.to->id, link.alias));
	}
	return 0;
}

int links_found(const struct container *c, json_t **out, struct err *e)
{
	json_t *all = json_array(), *v;
	size_t i;

	json_array_foreach(links_of(c), i, v) {
		const struct link link = read_link(c, v);

		if (!link.to && may_come_later(c, v))
			continue;
		if (!link.to) {
			json_decref(all);
			return err_http(e, 404, "the container that is linked as %s is not there any more", link.alias);
		}
		json_array_append_new(
			all, json_pack("{s:s s:s s:s}", "Id", link.to->id, "Name", link.to->name, "Alias", link.alias));
	}
	*out = all;
	return 0;
}

bool links_have(const struct container *c, const struct container *to)
{
	json_t *v;
	size_t i;

	json_array_foreach(links_of(c), i, v) {
		if (read_link(c, v).to == to)
			return true;
	}
	return false;
}

json_t *links_shown(const struct container *c)
{
	json_t *all = json_array(), *v;
	size_t i;

	json_array_foreach(links_of(c), i, v) {
		const struct link link = read_link(c, v);

		json_array_append_new(
			all, json_sprintf("/%s:/%s/%s", link.to ? link.to->name : link.ref, c->name, link.alias));
	}
	return all;
}

/* ---- names by links ---- */

/*
 * As Docker: on networks of their own, aliases are for the network's name server alone. Across owners nothing is named:
 * who sees the one need not know of the other.
 */
static bool names(const struct container *c, const struct link *link)
{
	const char *mode = json_text(c->host, "NetworkMode");

	return link->to && str_eq(link->to->owner, c->owner) &&
	       (!*mode || str_eq(mode, "default") || str_eq(mode, "bridge"));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

json_t *links_names(const struct container *c)
{
	const struct containers *all = &c->rt->containers;
	char **texts = xcalloc(1, sizeof *texts);
	json_t *shown = json_array(), *v;
	const struct container *other;
	size_t n = 1, i;

	texts[0] = xasprintf("/%s", c->name);
	if (all->linking)
		TAILQ_FOREACH(other, &all->all, link) {
			json_array_foreach(links_of(other), i, v) {
				const struct link link = read_link(other, v);

				if (link.to != c || !names(other, &link))
					continue;
				texts = xrealloc(texts, n + 1, sizeof *texts);
				texts[n++] = xasprintf("/%s/%s", other->name, link.alias);
			}
		}
	qsort(texts, n, sizeof *texts, by_text);
	for (i = 0; i < n; i++) {
		json_array_append_new(shown, json_string(texts[i]));
		free(texts[i]);
	}
	free(texts);
	return shown;
}

struct container *links_resolve(const struct containers *all, const char *ref)
{
	const char *name = ref + (*ref == '/'), *slash = strrchr(name, '/');
	char parent[256];
	json_t *v;
	size_t i;

	if (!slash || snprintf(parent, sizeof parent, "%.*s", (int)(slash - name), name) >= (int)sizeof parent)
		return NULL;
	const struct container *c = table_get(&all->by_name, parent);
	if (!c)
		return NULL;
	json_array_foreach(links_of(c), i, v) {
		const struct link link = read_link(c, v);

		if (names(c, &link) && str_eq(link.alias, slash + 1))
			return link.to;
	}
	return NULL;
}

void links_touched(const struct container *c)
{
	json_t *v;
	size_t i;

	json_array_foreach(links_of(c), i, v) {
		struct container *to = read_link(c, v).to;

		if (to)
			free(STEAL(to->listed));
	}
}

/* ---- DELETE /containers/{id}/{alias}?link=1 ---- */

static void on_told(struct container *c, int rc, const struct err *e, void *arg)
{
	(void)c;
	if (rc < 0)
		ipc_reply_error(arg, e);
	else
		reply_no_content(arg);
}

/* Returns whether there was one with this alias. */
static bool drop(json_t *links, const char *unwanted)
{
	bool found = false;

	for (size_t i = json_array_size(links); i--;) {
		char ref[256];
		const char *alias;

		split(json_string_value(json_array_get(links, i)), ref, &alias);
		if (!str_eq(alias, unwanted))
			continue;
		json_array_remove(links, i);
		found = true;
	}
	return found;
}

/* Clients give the links of a container on a network of its own for the container and for the network. */
static int forget(struct container *c, const char *alias, struct err *e)
{
	json_t *host = c->host, *endpoints = c->endpoints, *endpoint;
	const char *network;

	links_touched(c);
	c->host = json_deep_copy(host);
	c->endpoints = json_deep_copy(endpoints);
	bool found = drop(links_of(c), alias);
	json_object_foreach(c->endpoints, network, endpoint)
		found = drop(json_object_get(endpoint, "Links"), alias) || found;
	int rc = found ? db_update(c, e) : err_http(e, 404, "No such link: /%s/%s", c->name, alias);
	if (rc < 0) {
		json_decref(c->host);
		json_decref(c->endpoints);
		c->host = host;
		c->endpoints = endpoints;
		return rc;
	}
	if (json_array_size(json_object_get(host, "Links")) && !json_array_size(links_of(c)))
		c->rt->containers.linking--;
	json_decref(host);
	json_decref(endpoints);
	container_changed(c);
	return 0;
}

void on_container_unlink(struct ipc_request *req, struct container_unlink *m, struct runtimed *rt)
{
	struct err e;

	if (!m->link) {
		ipc_fail(req, 404, "No such container: %s/%s", m->id, m->alias);
		return;
	}
	struct container *c = request_container(rt, req, m->id);
	if (!c)
		return;
	if (forget(c, m->alias, &e) < 0)
		ipc_reply_error(req, &e);
	else if (container_alive(c) && networks_wanted(c))
		networks_unlinked(c, m->alias, on_told, req);
	else
		reply_no_content(req);
}
