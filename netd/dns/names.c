#include "netd/dns/names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/util.h"

#define PORT	53
#define ID_LEN	64
#define KEY_MAX (ID_LEN + 1 + 256)
#define NAME	'n' /* kinds of keys */
#define ADDRESS 'a'

/* The index's keys: network's id, kind, and the name in lower case or the address in hexadecimal digits. */
struct holders {
	char *key;
	struct name_endpoint **list;
	size_t n;
};

struct names {
	void *tree; /* of struct holders, tsearch(3) */
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

struct names *names_new(void)
{
	return XNEW(struct names);
}

static void holders_free(void *arg)
{
	struct holders *held = arg;

	free(held->key);
	free(held->list);
	free(held);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	tdestroy(n->tree, holders_free);
	free(n);
}

/* ---- the index ---- */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct holders *)a)->key, ((const struct holders *)b)->key);
}

static void name_key(char key[KEY_MAX], const char *network, const char *name, size_t len)
{
	size_t n = (size_t)snprintf(key, KEY_MAX, "%.*s%c", ID_LEN, network, NAME);

	for (size_t i = 0; i < len && n + 1 < KEY_MAX; i++)
		key[n++] = (char)tolower((unsigned char)name[i]);
	key[n] = '\0';
}

static void address_key(char key[KEY_MAX], const char *network, sa_family_t family, const uint8_t *bytes)
{
	size_t n = (size_t)snprintf(key, KEY_MAX, "%.*s%c", ID_LEN, network, ADDRESS);

	for (size_t i = 0; i < (family == AF_INET ? 4 : 16); i++)
		n += (size_t)snprintf(key + n, KEY_MAX - n, "%02x", bytes[i]);
}

static struct holders *find(const struct names *n, char *key)
{
	const struct holders wanted = {.key = key};
	struct holders *const *found = tfind(&wanted, &n->tree, compare);

	return found ? *found : NULL;
}

static void enter(struct names *n, char *key, struct name_endpoint *ep)
{
	struct holders *held = find(n, key);

	if (!held) {
		held = XNEW(struct holders);
		held->key = xstrdup(key);
		if (!tsearch(held, &n->tree, compare))
			abort();
	}
	for (size_t i = 0; i < held->n; i++)
		if (held->list[i] == ep)
			return;
	held->list = xrealloc(held->list, held->n + 1, sizeof *held->list);
	held->list[held->n++] = ep;
}

static void leave(struct names *n, char *key, struct name_endpoint *ep)
{
	struct holders *held = find(n, key);

	for (size_t i = 0; held && i < held->n; i++) {
		if (held->list[i] != ep)
			continue;
		held->list[i] = held->list[--held->n];
		break;
	}
	if (held && held->n == 0) {
		tdelete(held, &n->tree, compare);
		holders_free(held);
	}
}

static void each_key(struct names *n, struct name_endpoint *ep,
		     void (*fn)(struct names *n, char *key, struct name_endpoint *ep))
{
	char key[KEY_MAX];
	json_t *name;
	size_t i;

	json_array_foreach(json_object_get(ep->json, "Names"), i, name) {
		name_key(key, ep->network, json_string_value(name), json_string_length(name));
		fn(n, key, ep);
	}
	for (i = 0; i < ep->naddresses; i++) {
		address_key(key, ep->network, ep->addresses[i].family, ep->addresses[i].bytes);
		fn(n, key, ep);
	}
}

/* ---- views ---- */

static void read_addresses(struct name_endpoint *ep)
{
	const json_t *all = json_object_get(ep->json, "Addresses");
	json_t *text;
	size_t i;

	ep->addresses = xcalloc(json_array_size(all) + 1, sizeof *ep->addresses);
	json_array_foreach(all, i, text) {
		struct name_address *a = &ep->addresses[ep->naddresses];

		a->family = strchr(json_string_value(text), ':') ? AF_INET6 : AF_INET;
		ep->naddresses += inet_pton(a->family, json_string_value(text), a->bytes) == 1;
	}
}

void names_enter(struct names *n, struct name_view *v, const json_t *doc)
{
	json_t *item;
	size_t i;

	*v = (struct name_view){.doc = json_incref((json_t *)doc)};
	v->forward = json_is_true(json_object_get(doc, "Forward"));
	v->dotted = json_is_true(json_object_get(doc, "Dotted"));
	names_read_servers(json_object_get(doc, "Servers"), &v->own);
	v->endpoints = xcalloc(json_array_size(json_object_get(doc, "Endpoints")) + 1, sizeof *v->endpoints);
	json_array_foreach(json_object_get(doc, "Endpoints"), i, item) {
		struct name_endpoint *ep = &v->endpoints[v->nendpoints++];

		ep->json = item;
		ep->network = text_of(item, "Network");
		ep->network_name = text_of(item, "NetworkName");
		ep->name = text_of(item, "Name");
		read_addresses(ep);
		each_key(n, ep, enter);
	}
}

void names_leave(struct names *n, struct name_view *v)
{
	for (size_t i = 0; i < v->nendpoints; i++) {
		each_key(n, &v->endpoints[i], leave);
		free(v->endpoints[i].addresses);
	}
	free(v->endpoints);
	json_decref(v->doc);
	*v = (struct name_view){0};
}

/* ---- looking up ---- */

static bool found(const struct names *n, char *key, struct name_found *out)
{
	const struct holders *held = find(n, key);

	if (held)
		*out = (struct name_found){held->list, held->n};
	return held != NULL;
}

/* The name that a link of the container's own has this alias for; else the name itself. */
static const char *linked(const struct name_endpoint *ep, const char *name, size_t *len)
{
	const char *alias;
	json_t *other;

	json_object_foreach(json_object_get(ep->json, "Links"), alias, other) {
		if (strlen(alias) != *len || strncasecmp(alias, name, *len) != 0)
			continue;
		*len = json_string_length(other);
		return json_string_value(other);
	}
	return name;
}

static bool find_on(const struct names *n, const struct name_endpoint *ep, const char *name, size_t len,
		    struct name_found *out)
{
	char key[KEY_MAX];

	name = linked(ep, name, &len);
	name_key(key, ep->network, name, len);
	return found(n, key, out);
}

bool names_find(const struct names *n, const struct name_view *v, const char *name, struct name_found *out)
{
	const size_t len = strlen(name);

	for (size_t i = 0; len && i < v->nendpoints; i++)
		if (find_on(n, &v->endpoints[i], name, len, out))
			return true;
	for (size_t i = 0; i < v->nendpoints; i++) {
		const size_t suffix = strlen(v->endpoints[i].network_name);

		if (len > suffix + 1 && name[len - suffix - 1] == '.' &&
		    strcasecmp(name + len - suffix, v->endpoints[i].network_name) == 0 &&
		    find_on(n, &v->endpoints[i], name, len - suffix - 1, out))
			return true;
	}
	return false;
}

bool names_find_address(const struct names *n, const struct name_view *v, sa_family_t family, const uint8_t *address,
			struct name_found *out)
{
	char key[KEY_MAX];

	for (size_t i = 0; i < v->nendpoints; i++) {
		address_key(key, v->endpoints[i].network, family, address);
		if (found(n, key, out))
			return true;
	}
	return false;
}

/* ---- name servers ---- */

void names_read_servers(const json_t *texts, struct name_servers *out)
{
	json_t *item;
	size_t i;

	out->n = 0;
	json_array_foreach(texts, i, item) {
		AUTO_FREE char *text = xstrdup(json_string_value(item));
		char *scope = strchr(text, '%');
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};

		if (out->n == NAMES_SERVERS_MAX)
			return;
		if (scope) {
			*scope = '\0';
			v6.sin6_scope_id = (uint32_t)strtoul(scope + 1, NULL, 10);
		}
		if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
			out->list[out->n++].v4 = v4;
		else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
			out->list[out->n++].v6 = v6;
	}
}
