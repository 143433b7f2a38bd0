#include "netd/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/util.h"

static const struct {
	const char *name;
	uint8_t protocol;
	int type;
} protocols[] = {
	{"tcp", IPPROTO_TCP, SOCK_STREAM},
	{"udp", IPPROTO_UDP, SOCK_DGRAM},
	{"sctp", IPPROTO_SCTP, SOCK_STREAM},
};

static const char *protocol_name(uint8_t protocol)
{
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i].protocol == protocol)
			return protocols[i].name;
	return "?";
}

/* ---- reading ---- */

/* "80" or "8000-8010". */
static bool parse_range(const char *text, uint16_t *first, uint16_t *last)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	const unsigned long a = strtoul(text, &end, 10);
	unsigned long b = a;
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		b = strtoul(end + 1, &end, 10);
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return !*end && a <= b && b <= 65535;
}

/* "80/tcp", "80". */
static int parse_port(const char *text, uint16_t *port, uint8_t *protocol, struct err *e)
{
	const char *slash = strchr(text, '/');
	const size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char number[16];
	uint16_t last;

	*protocol = IPPROTO_TCP;
	for (size_t i = 0; slash && i < ARRAY_LEN(protocols); i++) {
		if (strcasecmp(slash + 1, protocols[i].name) == 0) {
			*protocol = protocols[i].protocol;
			slash = NULL;
		}
	}
	snprintf(number, sizeof number, "%.*s", (int)(len < sizeof number ? len : 0), text);
	if (slash || !parse_range(number, port, &last) || *port != last || !*port)
		return err_http(e, 400, "invalid port specification: \"%s\"", text);
	return 0;
}

struct binding {
	uint16_t inside;
	uint8_t protocol;
	uint16_t first, last; /* on the host; 0: any */
	struct address host;  /* family 0: not given */
};

static int parse_binding(const char *key, const json_t *item, struct binding *b, struct err *e)
{
	const char *ip = json_string_value(json_object_get(item, "HostIp"));
	const char *port = json_string_value(json_object_get(item, "HostPort"));

	*b = (struct binding){0};
	int rc = parse_port(key, &b->inside, &b->protocol, e);
	if (rc < 0)
		return rc;
	if (ip && *ip && !address_parse(ip, &b->host))
		return err_http(e, 400, "invalid HostIp of port %s: %s", key, ip);
	if (port && *port && !parse_range(port, &b->first, &b->last))
		return err_http(e, 400, "invalid HostPort of port %s: %s", key, port);
	return 0;
}

/* Merged files of compose, or an option given twice, say the same thing twice. */
static bool repeats(const json_t *list, size_t i, const struct binding *b)
{
	for (size_t k = 0; k < i && b->first && b->first == b->last; k++)
		if (json_equal(json_array_get(list, k), json_array_get(list, i)))
			return true;
	return false;
}

/* Calls `fn` for each binding that the spec asks for. */
static int each_binding(const json_t *spec, int (*fn)(void *arg, const struct binding *b, struct err *e), void *arg,
			struct err *e)
{
	const json_t *bindings = json_object_get(spec, "PortBindings"),
		     *exposed = json_object_get(spec, "ExposedPorts");
	const bool all = json_is_true(json_object_get(spec, "PublishAllPorts"));
	const char *key;
	json_t *list, *item;
	struct binding b;
	size_t i;
	int rc;

	json_object_foreach((json_t *)bindings, key, list) {
		rc = parse_binding(key, NULL, &b, e);
		if (rc == 0 && json_array_size(list) == 0)
			rc = fn(arg, &b, e);
		json_array_foreach(list, i, item) {
			if (rc == 0)
				rc = parse_binding(key, item, &b, e);
			if (rc == 0 && !repeats(list, i, &b))
				rc = fn(arg, &b, e);
		}
		if (rc < 0)
			return rc;
	}
	json_object_foreach((json_t *)exposed, key, item) {
		rc = parse_binding(key, NULL, &b, e);
		if (rc == 0 && all && !json_object_get(bindings, key))
			rc = fn(arg, &b, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int accept_any(void *arg, const struct binding *b, struct err *e)
{
	(void)arg;
	(void)b;
	(void)e;
	return 0;
}

int ports_check(const json_t *spec, struct err *e)
{
	return each_binding(spec, accept_any, NULL, e);
}

/* ---- reserving ---- */

static socklen_t to_sockaddr(const struct address *a, uint16_t port, struct sockaddr_storage *out)
{
	*out = (struct sockaddr_storage){0};
	if (a->family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		memcpy(&six->sin6_addr, a->bytes, 16);
		return sizeof *six;
	}
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	four->sin_family = AF_INET;
	four->sin_port = htons(port);
	memcpy(&four->sin_addr, a->bytes, 4);
	return sizeof *four;
}

/* Bind without listening: who comes before the firewall's rule, or without it, is refused by the kernel. */
static int reserve(struct port *p)
{
	struct sockaddr_storage address;
	socklen_t len = to_sockaddr(&p->host, p->outside, &address);
	int type = SOCK_STREAM, one = 1;

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (protocols[i].protocol == p->protocol)
			type = protocols[i].type;
	AUTO_CLOSE int fd = socket(p->host.family, type | SOCK_CLOEXEC, p->protocol);
	if (fd < 0)
		return -errno;
	if (p->host.family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&address, len))
		return -errno;
	if (!p->outside) {
		getsockname(fd, (struct sockaddr *)&address, &len);
		p->outside = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
								 : ((struct sockaddr_in *)&address)->sin_port);
	}
	p->reserved = STEAL_FD(fd);
	return 0;
}

static const struct attachment *holder(struct networks *all, const struct port *wanted)
{
	static const struct address none;
	struct attachment *a;

	TAILQ_FOREACH(a, &all->attachments, next) {
		for (size_t i = 0; i < a->nports; i++) {
			const struct port *p = &a->ports[i];
			const bool any = memcmp(p->host.bytes, none.bytes, 16) == 0 ||
					 memcmp(wanted->host.bytes, none.bytes, 16) == 0;

			if (!p->direct && p->protocol == wanted->protocol && p->outside == wanted->outside &&
			    p->host.family == wanted->host.family && (any || address_equal(&p->host, &wanted->host)))
				return a;
		}
	}
	return NULL;
}

static int refuse(struct networks *all, const struct port *p, int code, struct port_conflict *conflict, struct err *e)
{
	char text[ADDRESS_TEXT];
	const struct attachment *by = holder(all, p);

	address_text(&p->host, text);
	if (code == -EADDRNOTAVAIL)
		return err_http(e, 400, "port %u/%s: %s is no address of this host", p->inside,
				protocol_name(p->protocol), text);
	if (code == -EPROTONOSUPPORT)
		return err_http(e, 400, "port %u/%s: this host's kernel has no %s", p->inside,
				protocol_name(p->protocol), p->protocol == IPPROTO_SCTP ? "SCTP" : "such protocol");
	if (code == -EADDRINUSE && !p->outside)
		return err_http(e, 503, "port %u/%s: no port is free among the sysctl net.ipv4.ip_local_port_range",
				p->inside, protocol_name(p->protocol));
	if (code != -EADDRINUSE)
		return err_sys(e, code, "reserve port %s:%u/%s", text, p->outside, protocol_name(p->protocol));
	if (by)
		return err_http(e, 409, "Bind for %s:%u failed: port is already allocated to container %s", text,
				p->outside, by->name);
	*conflict = (struct port_conflict){p->protocol, p->host, p->outside};
	return err_http(e, 409, "Bind for %s:%u failed: port is already allocated: a process of the host has it", text,
			p->outside);
}

struct opening {
	struct networks *all;
	struct attachment *a;
	const struct ports_target *to;
	const struct config *config;
	struct port_conflict *conflict;
};

/* From an address of the host to one of the container; a binding without HostIp has one in each family. */
struct way {
	struct address host, to;
};

static void forget_last(struct attachment *a, size_t n)
{
	for (; n; n--)
		fd_close(&a->ports[--a->nports].reserved);
}

/* The same port on all ways, or on none; `outside` 0: one that the kernel chooses. On failure *tried is the one. */
static int open_ways(struct opening *o, const struct binding *b, const struct way *ways, unsigned n, uint16_t outside,
		     struct port *tried)
{
	for (unsigned i = 0; i < n; i++) {
		struct port p = {b->protocol, b->inside, outside, ways[i].host, ways[i].to, -1, false};
		/* The kernel lets a port of "all" be bound again on one address: ours are compared here. */
		int rc = outside && holder(o->all, &p) ? -EADDRINUSE : reserve(&p);

		*tried = p;
		if (rc < 0) {
			forget_last(o->a, i);
			return rc;
		}
		outside = p.outside;
		o->a->ports = xrealloc(o->a->ports, o->a->nports + 1, sizeof p);
		o->a->ports[o->a->nports++] = p;
	}
	return 0;
}

#define EPHEMERAL_TRIES 64 /* a port that is free in one family is most often free in the other */

static int open_port(struct opening *o, const struct binding *b, const struct way *ways, unsigned n, struct err *e)
{
	struct port tried = {0};
	unsigned port = b->first;
	int rc = -EADDRINUSE;

	if (!port)
		for (unsigned i = 0; rc == -EADDRINUSE && i < EPHEMERAL_TRIES; i++)
			rc = open_ways(o, b, ways, n, 0, &tried);
	for (; rc == -EADDRINUSE && port && port <= b->last; port++)
		rc = open_ways(o, b, ways, n, (uint16_t)port, &tried);
	return rc < 0 ? refuse(o->all, &tried, rc, o->conflict, e) : 0;
}

/* "-p" again for the same port of the container opens nothing more. */
static void open_direct(struct opening *o, const struct binding *b, const struct address *to)
{
	const struct port p = {b->protocol, b->inside, b->inside, {.family = to->family}, *to, -1, true};

	for (size_t i = 0; i < o->a->nports; i++) {
		const struct port *other = &o->a->ports[i];

		if (other->direct && other->protocol == p.protocol && other->inside == p.inside &&
		    other->to.family == to->family)
			return;
	}
	o->a->ports = xrealloc(o->a->ports, o->a->nports + 1, sizeof p);
	o->a->ports[o->a->nports++] = p;
}

static int open_binding6(struct opening *o, const struct binding *b, struct err *e)
{
	static const struct address loopback = {.family = AF_INET6, .bytes = {[15] = 1}};
	const struct way way = {b->host, o->to->v6};
	char text[ADDRESS_TEXT];

	if (!o->to->v6.family)
		return err_http(e, 400, "port %u: HostIp is an IPv6 address, and the container has none", b->inside);
	if (b->host.bytes[0] == 0xfe && (b->host.bytes[1] & 0xc0) == 0x80)
		return err_http(e, 400,
				"port %u: HostIp %s is a link-local address, which means one device of the host and "
				"not the host",
				b->inside, address_text(&b->host, text));
	if (address_equal(&b->host, &loopback) && !link_loopback6_works())
		return err_http(e, 400,
				"port %u: nothing can be published on ::1 while the sysctl "
				"net.bridge.bridge-nf-call-ip6tables is 1: the kernel drops what comes back",
				b->inside);
	return open_port(o, b, &way, 1, e);
}

static int open_binding(void *arg, const struct binding *b, struct err *e)
{
	static const struct address any4 = {.family = AF_INET}, any6 = {.family = AF_INET6};
	struct opening *o = arg;
	const struct ports_target *to = o->to;
	struct address host = b->host.family ? b->host : to->binding;
	struct way ways[2];
	unsigned n = 0;

	/* The host's address means nothing where no port of the host's is used. */
	if (to->direct4)
		open_direct(o, b, &to->v4);
	if (to->direct6)
		open_direct(o, b, &to->v6);
	if (b->host.family == AF_INET6)
		return to->direct6 ? 0 : open_binding6(o, b, e);
	if (!host.family && !address_parse(o->config->network_default_address, &host))
		host = any4;
	if (to->v4.family && !to->direct4 && host.family == AF_INET)
		ways[n++] = (struct way){host, to->v4};
	/* Without an address: also by IPv6, on the same port. */
	if (to->v6.family && !to->direct6 && !b->host.family &&
	    (host.family == AF_INET6 || address_equal(&host, &any4)))
		ways[n++] = (struct way){host.family == AF_INET6 ? host : any6, to->v6};
	if (n)
		return open_port(o, b, ways, n, e);
	return to->direct4 || to->direct6
		       ? 0
		       : err_http(e, 400, "port %u: it is published on an IPv4 address, and the container has none",
				  b->inside);
}

int ports_open(struct networks *all, struct attachment *a, const struct ports_target *to, const struct config *config,
	       struct port_conflict *conflict, struct err *e)
{
	struct opening o = {all, a, to, config, conflict};
	int rc = each_binding(a->spec, open_binding, &o, e);

	if (rc < 0)
		ports_close(a);
	return rc;
}

bool ports_can_lead_to(const struct attachment *a, const struct ports_target *to)
{
	for (size_t i = 0; i < a->nports; i++)
		if (a->ports[i].direct != (a->ports[i].to.family == AF_INET ? to->direct4 : to->direct6))
			return false;
	return true;
}

void ports_lead_to(struct attachment *a, const struct ports_target *target)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->nports; i++) {
		struct port *p = &a->ports[i];
		const struct address *to = p->to.family == AF_INET ? &target->v4 : &target->v6;

		p->to = *to;
		if (to->family)
			a->ports[kept++] = *p;
		else
			fd_close(&p->reserved);
	}
	a->nports = kept;
}

void ports_close(struct attachment *a)
{
	for (size_t i = 0; i < a->nports; i++)
		fd_close(&a->ports[i].reserved);
	free(a->ports);
	a->ports = NULL;
	a->nports = 0;
}

struct firewall_port port_element_of(const struct port *p)
{
	return (struct firewall_port){p->protocol, p->host, p->outside, p->to, p->inside, p->direct};
}

/* ---- documents ---- */

json_t *ports_json(const struct attachment *a)
{
	json_t *ports = json_object(), *item;
	const char *key;
	char name[24], host[ADDRESS_TEXT], number[8];

	const char *mode = json_string_value(json_object_get(a->spec, "NetworkMode"));
	if (!str_eq(mode, "host") && !str_eq(mode, "none"))
		json_object_foreach(json_object_get(a->spec, "ExposedPorts"), key, item)
			json_object_set_new(ports, key, json_null());
	for (size_t i = 0; i < a->nports; i++) {
		const struct port *p = &a->ports[i];

		snprintf(name, sizeof name, "%u/%s", p->inside, protocol_name(p->protocol));
		if (p->direct && !json_object_get(ports, name))
			json_object_set_new(ports, name, json_null());
		if (p->direct)
			continue;
		snprintf(number, sizeof number, "%u", p->outside);
		if (!json_is_array(json_object_get(ports, name)))
			json_object_set_new(ports, name, json_array());
		json_array_append_new(
			json_object_get(ports, name),
			json_pack("{s:s, s:s}", "HostIp", address_text(&p->host, host), "HostPort", number));
	}
	return ports;
}

json_t *ports_record(const struct attachment *a)
{
	json_t *list = json_array();
	char host[ADDRESS_TEXT], to[ADDRESS_TEXT];

	for (size_t i = 0; i < a->nports; i++) {
		const struct port *p = &a->ports[i];

		json_array_append_new(list,
				      json_pack("{s:i, s:i, s:i, s:s, s:s, s:b}", "Protocol", p->protocol, "Inside",
						p->inside, "Outside", p->outside, "Host", address_text(&p->host, host),
						"To", address_text(&p->to, to), "Direct", p->direct));
	}
	return list;
}

void ports_restore(struct attachment *a, const json_t *record)
{
	json_t *item;
	size_t i;

	json_array_foreach(record, i, item) {
		struct port p = {.reserved = -1,
				 .protocol = (uint8_t)json_integer_value(json_object_get(item, "Protocol")),
				 .inside = (uint16_t)json_integer_value(json_object_get(item, "Inside")),
				 .outside = (uint16_t)json_integer_value(json_object_get(item, "Outside")),
				 .direct = json_is_true(json_object_get(item, "Direct"))};

		if (!address_parse(json_string_value(json_object_get(item, "Host")), &p.host) ||
		    !address_parse(json_string_value(json_object_get(item, "To")), &p.to))
			continue;
		const int rc = p.direct ? 0 : reserve(&p);
		if (rc < 0)
			log_warn("port %u of container %s is bound by a process of the host: %s", p.outside, a->name,
				 strerror(-rc));
		a->ports = xrealloc(a->ports, a->nports + 1, sizeof p);
		a->ports[a->nports++] = p;
	}
}
