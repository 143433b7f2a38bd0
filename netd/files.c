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

	json_array_foreach(json_object_get(a->spec, "ExtraHosts"), i, item)
	{
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

	json_array_foreach(json_object_get(a->spec, "Links"), i, link)
	{
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
	TAILQ_FOREACH(ep, &a->endpoints, of_attachment)
	{
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

/* The host's file; where its only servers are on its loopback, the file behind systemd-resolved. */
static char *host_resolv_conf(void)
{
	char *text = read_host_file("/etc/resolv.conf");
	char *server = text ? strstr(text, "nameserver 127.0.0.53") : NULL;

	if (server) {
		char *behind = read_host_file("/run/systemd/resolve/resolv.conf");

		if (behind) {
			free(text);
			text = behind;
		}
	}
	return text;
}

/* Lines of the host's file that begin with `keyword`; servers on its loopback are out of a container's reach. */
static void add_host_lines(struct text *t, const char *host, const char *keyword)
{
	const size_t len = strlen(keyword);

	for (const char *line = host; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, keyword, len) != 0 || (line[len] != ' ' && line[len] != '\t'))
			continue;
		const char *value = line + len + strspn(line + len, " \t");
		if (str_eq(keyword, "nameserver") && is_loopback(value))
			continue;
		add(t, "%s %.*s\n", keyword, (int)strcspn(value, "\n"), value);
	}
}

/* From the container's own list, else the config's; false when both are empty. */
static bool add_list(struct text *t, const char *keyword, bool line_each, const json_t *own,
		     const struct config_texts *config)
{
	const size_t n = json_array_size(own) ? json_array_size(own) : config->n;

	for (size_t i = 0; i < n; i++) {
		const char *value = json_array_size(own) ? json_string_value(json_array_get(own, i)) : config->v[i];

		if (str_eq(value, ".")) /* Docker's way to say: none */
			continue;
		if (line_each || i == 0)
			add(t, "%s", keyword);
		add(t, " %s%s", value, line_each || i + 1 == n ? "\n" : "");
	}
	return n > 0;
}

char *files_resolv_conf(struct netd *d, const struct attachment *a)
{
	const struct config *c = d->daemon.config;
	AUTO_FREE char *host = host_resolv_conf();
	struct text t = {0};

	if (str_eq(text_of(a->spec, "NetworkMode"), "host") && !json_array_size(json_object_get(a->spec, "Dns")) &&
	    host)
		return STEAL(host);
	add(&t, "# Written by Pouch for this container.\n");
	if (!add_list(&t, "nameserver", true, json_object_get(a->spec, "Dns"), &c->dns_servers))
		add_host_lines(&t, host, "nameserver");
	if (!add_list(&t, "search", false, json_object_get(a->spec, "DnsSearch"), &c->dns_search))
		add_host_lines(&t, host, "search");
	if (!add_list(&t, "options", false, json_object_get(a->spec, "DnsOptions"), &c->dns_options))
		add_host_lines(&t, host, "options");
	return t.s;
}
