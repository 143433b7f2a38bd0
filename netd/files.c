#include "netd/files.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/util.h"
#include "netd/kernel.h"
#include "netd/names.h"
#include "netd/resolver.h"

#define HOST_FILE_MAX (1u << 20)

/* Text that grows. */
struct text {
	char *s;
	size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
	AUTO_FREE char *more = NULL;
	va_list ap;

	va_start(ap, fmt);
	const int n = vasprintf(&more, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	t->s = xrealloc(t->s, t->len + (size_t)n + 1, 1);
	memcpy(t->s + t->len, more, (size_t)n + 1);
	t->len += (size_t)n;
}

static char *read_host_file(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct err e = {0};
	char *text = NULL;
	size_t len;

	if (fd < 0 || fd_read_file(fd, HOST_FILE_MAX, &text, &len, &e) < 0)
		return NULL;
	return text;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* ---- hosts ---- */

/* The host as containers reach it: by the gateway of their first network, else by that of the default one. */
static struct address host_gateway(struct netd *d, const struct attachment *a)
{
	const struct endpoint *ep = TAILQ_FIRST(&a->endpoints);
	struct address gateway = {0};

	if (ep)
		gateway = endpoint_gateway(ep, AF_INET);
	if (!gateway.family) {
		const struct network *n = network_by_name(d->networks, "bridge");
		gateway = n->pools[0].gateway;
	}
	return gateway;
}

static void add_extra_hosts(struct text *t, struct netd *d, const struct attachment *a)
{
	json_t *item;
	size_t i;
	char gateway[ADDRESS_TEXT];

	json_array_foreach(json_object_get(a->spec, "ExtraHosts"), i, item) {
		const char *entry = json_string_value(item);
		const char *separator = entry ? strpbrk(entry, ":=") : NULL;
		const struct address host = host_gateway(d, a);

		if (!separator)
			continue;
		const char *ip = separator + 1;
		add(t, "%s\t%.*s\n", str_eq(ip, "host-gateway") ? address_text(&host, gateway) : ip,
		    (int)(separator - entry), entry);
	}
}

/* --link: the other container by its alias and name. */
static void add_links(struct text *t, struct netd *d, const struct attachment *a)
{
	json_t *link;
	size_t i;
	char ip[ADDRESS_TEXT];

	json_array_foreach(json_object_get(a->spec, "Links"), i, link) {
		const struct attachment *other = attachment_find(d->networks, text_of(link, "Id"));
		const struct endpoint *ep = other ? TAILQ_FIRST(&other->endpoints) : NULL;

		if (ep && ep->v4.address.family)
			add(t, "%s\t%s %s %.12s\n", address_text(&ep->v4.address, ip), text_of(link, "Alias"),
			    text_of(link, "Name"), other->container);
	}
}

char *files_hosts(struct netd *d, const struct attachment *a)
{
	const char *hostname = text_of(a->spec, "Hostname"), *domain = text_of(a->spec, "Domainname");
	struct text t = {0};
	struct endpoint *ep;
	char ip[ADDRESS_TEXT];

	if (str_eq(text_of(a->spec, "NetworkMode"), "host")) {
		AUTO_FREE char *own = read_host_file("/etc/hosts");
		add(&t, "%s", own ? own : "127.0.0.1\tlocalhost\n");
	} else {
		add(&t, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n"
			"ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	}
	add_extra_hosts(&t, d, a);
	add_links(&t, d, a);
	TAILQ_FOREACH(ep, &a->endpoints, of_attachment) {
		const struct subnet *const both[] = {&ep->v4, &ep->v6};

		for (size_t i = 0; i < ARRAY_LEN(both) && *hostname; i++) {
			if (!both[i]->address.family)
				continue;
			add(&t, "%s\t", address_text(&both[i]->address, ip));
			if (*domain)
				add(&t, "%s.%s ", hostname, domain);
			add(&t, "%s\n", hostname);
		}
	}
	return t.s;
}

/* ---- resolv.conf ---- */

static bool is_loopback(const char *server)
{
	return str_starts(server, "127.") || str_eq(server, "::1");
}

/* The values of the lines of a resolv.conf that begin with `keyword`; a list of words or, with `split`, of each. */
static json_t *lines_of(const char *file, const char *keyword, bool split)
{
	const size_t len = strlen(keyword);
	json_t *list = json_array();

	for (const char *line = file; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, keyword, len) != 0 || (line[len] != ' ' && line[len] != '\t'))
			continue;
		const char *word = line + len + strspn(line + len, " \t");
		for (size_t n; (n = strcspn(word, " \t\n\r")) > 0; word += strspn(word, " \t")) {
			json_array_append_new(list, json_stringn(word, n));
			word += n;
			if (!split)
				break;
		}
	}
	return list;
}

/* What containers can reach of the host's servers; where those are on its loopback, the ones behind systemd-resolved.
 */
static json_t *servers_for_containers(const char *host)
{
	AUTO_FREE char *behind = host && strstr(host, "nameserver 127.0.0.53")
					 ? read_host_file("/run/systemd/resolve/resolv.conf")
					 : NULL;
	json_t *all = lines_of(behind ? behind : host, "nameserver", false), *reached = json_array(), *server;
	size_t i;

	json_array_foreach(all, i, server)
		if (!is_loopback(json_string_value(server)))
			json_array_append(reached, server);
	json_decref(all);
	return reached;
}

static json_t *texts_json(const struct config_texts *texts)
{
	json_t *list = json_array();

	for (size_t i = 0; i < texts->n; i++)
		json_array_append_new(list, json_string(texts->v[i]));
	return list;
}

/* The container's own list, else the config's, else the host's. */
static json_t *choose(const json_t *own, const struct config_texts *config, json_t *take_host)
{
	if (json_array_size(own) == 0 && config->n == 0)
		return take_host;
	json_decref(take_host);
	return json_array_size(own) ? json_copy((json_t *)own) : texts_json(config);
}

static json_t *options_of(struct netd *d, const struct attachment *a, const char *host)
{
	return choose(json_object_get(a->spec, "DnsOptions"), &d->daemon.config->dns_options,
		      lines_of(host, "options", true));
}

static const char *ndots_in(const json_t *options)
{
	json_t *option;
	size_t i;

	json_array_foreach(options, i, option)
		if (str_starts(json_string_value(option), "ndots:"))
			return json_string_value(option) + strlen("ndots:");
	return NULL;
}

bool files_has_ndots(struct netd *d, const struct attachment *a)
{
	AUTO_FREE char *host = read_host_file("/etc/resolv.conf");
	json_t *options = options_of(d, a, host);
	const char *ndots = ndots_in(options);
	const bool has = ndots && atoi(ndots) > 0;

	json_decref(options);
	return has;
}

/* A server on a loopback that the container names is one of its own, which it shall ask itself. */
static bool names_own_server(const struct attachment *a)
{
	json_t *server;
	size_t i;

	json_array_foreach(json_object_get(a->spec, "Dns"), i, server)
		if (is_loopback(json_string_value(server)))
			return true;
	return false;
}

/* One line, or one for each item. "." is Docker's way to say: none. */
static void add_list(struct text *t, const char *keyword, bool line_each, json_t *take_list)
{
	json_t *item;
	size_t i;
	bool begun = false;

	json_array_foreach(take_list, i, item) {
		if (str_eq(json_string_value(item), "."))
			continue;
		if (!begun || line_each)
			add(t, "%s%s", begun ? "\n" : "", keyword);
		add(t, " %s", json_string_value(item));
		begun = true;
	}
	add(t, "%s", begun ? "\n" : "");
	json_decref(take_list);
}

char *files_resolv_conf(struct netd *d, const struct attachment *a)
{
	const struct config *c = d->daemon.config;
	const json_t *own = json_object_get(a->spec, "Dns");
	AUTO_FREE char *host = read_host_file("/etc/resolv.conf");
	const bool served = names_wanted(a) && !names_own_server(a);
	struct text t = {0};

	if (str_eq(text_of(a->spec, "NetworkMode"), "host") && !json_array_size(own) && host)
		return STEAL(host);
	add(&t, "# Written by Pouch for this container.\n");
	if (served)
		add(&t, "nameserver " RESOLVER_ADDRESS "\n");
	else
		add_list(&t, "nameserver", true, choose(own, &c->dns_servers, servers_for_containers(host)));
	add_list(&t, "search", false,
		 choose(json_object_get(a->spec, "DnsSearch"), &c->dns_search, lines_of(host, "search", true)));
	json_t *options = options_of(d, a, host);
	/* Names without a dot are asked as they are first: those of containers. */
	if (served && !ndots_in(options))
		json_array_append_new(options, json_string("ndots:0"));
	add_list(&t, "options", false, options);
	return t.s;
}

/* An interface's name behind an address is its number for who cannot look it up. */
static json_t *numbered(struct netd *d, const char *server)
{
	const char *scope = strchr(server, '%');

	return scope ? json_sprintf("%.*s%%%d", (int)(scope - server), server, link_index(d->links, scope + 1))
		     : json_string(server);
}

json_t *files_host_servers(struct netd *d)
{
	AUTO_FREE char *host = read_host_file("/etc/resolv.conf");
	json_t *servers = choose(NULL, &d->daemon.config->dns_servers, lines_of(host, "nameserver", false));
	json_t *list = json_array(), *server;
	size_t i;

	json_array_foreach(servers, i, server)
		json_array_append_new(list, numbered(d, json_string_value(server)));
	json_decref(servers);
	return list;
}
