/* Settings that must fit each other. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "lib/config_parse.h"
#include "lib/config_rule.h"
#include "lib/util.h"

#define PROCESS_IDS_COUNT 16u

#define AT(name, of, at_key) const struct config_at name = {.up = (of), .key = (at_key), .dotted = true}

static bool is_loopback(const char *address)
{
	return str_starts(address, "127.") || str_eq(address, "::1");
}

static int check_unix(const struct config_reader *r, struct config_listener *l, const struct config_at *at)
{
	AT(path, at, "path");

	if (!*l->path) {
		AUTO_FREE char *made = xasprintf("%s/pouchd.sock", r->source->run);
		l->path = config_keep(r->memory, made);
	}
	if (strlen(l->path) >= sizeof((struct sockaddr_un *)0)->sun_path)
		return config_complain(r, &path, "%s is too long for a socket", l->path);
	return 0;
}

static int check_tls(const struct config_reader *r, const struct config_listener *l, const struct config_at *at)
{
	const struct {
		const char *key, *value;
	} needed[] = {{"tls-cert", l->tls_cert}, {"tls-key", l->tls_key}, {"tls-ca", l->tls_ca}};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		AT(here, at, needed[i].key);
		if (!*needed[i].value)
			return config_complain(r, &here, "must be given for type tls");
	}
	return 0;
}

static int check_tcp(const struct config_reader *r, const struct config_listener *l, const struct config_at *at)
{
	AT(plain, at, "plain-text");
	AT(address, at, "address");

	if (!l->plain_text)
		return config_complain(r, &plain,
				       "must be true for type tcp: anyone who can connect is served in plain text");
	if (!is_loopback(l->address))
		return config_complain(
			r, &address, "%s is not a loopback address, which type tcp demands; use type tls", l->address);
	return 0;
}

static bool same_socket(const struct config_listener *a, const struct config_listener *b)
{
	if ((a->type == LISTENER_UNIX) != (b->type == LISTENER_UNIX))
		return false;
	return a->type == LISTENER_UNIX ? str_eq(a->path, b->path)
					: a->port == b->port && str_eq(a->address, b->address);
}

static int check_listeners(const struct config_reader *r, struct config *c)
{
	AT(list, NULL, "listeners");

	for (size_t i = 0; i < c->listeners.n; i++) {
		const struct config_at at = {.up = &list, .index = i};
		struct config_listener *l = &c->listeners.v[i];
		int n = 0;
		if (l->type == LISTENER_UNIX)
			n = check_unix(r, l, &at);
		else if (l->type == LISTENER_TLS)
			n = check_tls(r, l, &at);
		else
			n = check_tcp(r, l, &at);
		if (n < 0)
			return n;
		for (size_t k = 0; k < i; k++)
			if (same_socket(l, &c->listeners.v[k]))
				return config_complain(r, &at, "is the same socket as listeners[%zu]", k);
	}
	return 0;
}

static int check_ids(const struct config_reader *r, const struct config *c)
{
	uint64_t first = c->ids_containers_base;
	uint64_t end = first + (uint64_t)c->ids_containers_count * c->ids_containers_size;
	AT(count, NULL, "ids.containers.count");
	AT(base, NULL, "ids.base");

	if (end > UINT32_MAX) /* -1 is no id */
		return config_complain(r, &count, "the ranges end at %" PRIu64 ", beyond the last user id", end);
	if (c->ids_base < end && (uint64_t)c->ids_base + PROCESS_IDS_COUNT > first)
		return config_complain(r, &base, "%u to %u lies in the containers' ranges, %" PRIu64 " to %" PRIu64,
				       c->ids_base, c->ids_base + PROCESS_IDS_COUNT - 1, first, end - 1);
	return 0;
}

static int check_gateway(const struct config_reader *r, const struct config *c)
{
	struct in_addr subnet, gateway;
	char address[INET_ADDRSTRLEN];
	unsigned bits = 0;
	AT(at, NULL, "network.bridge.gateway");

	if (!*c->network_gateway)
		return 0;
	snprintf(address, sizeof address, "%.*s", (int)strcspn(c->network_subnet, "/"), c->network_subnet);
	if (inet_pton(AF_INET, address, &subnet) != 1 || sscanf(strchr(c->network_subnet, '/') + 1, "%u", &bits) != 1)
		return config_complain(r, &at, "the subnet cannot be read");
	uint32_t mask = bits ? ~0u << (32 - bits) : 0;
	if (inet_pton(AF_INET, c->network_gateway, &gateway) != 1 ||
	    (ntohl(gateway.s_addr) & mask) != ntohl(subnet.s_addr) || gateway.s_addr == subnet.s_addr)
		return config_complain(r, &at, "%s is no address of a host in %s", c->network_gateway,
				       c->network_subnet);
	return 0;
}

static int check_pools(const struct config_reader *r, const struct config *c)
{
	AT(list, NULL, "network.pools");

	for (size_t i = 0; i < c->network_pools.n; i++) {
		const struct config_at at = {.up = &list, .index = i};
		unsigned bits = 0;
		if (sscanf(strchr(c->network_pools.v[i], '/') + 1, "%u", &bits) != 1 || bits > c->network_pool_bits)
			return config_complain(r, &at, "%s has no room for a subnet of network.pool-bits %u",
					       c->network_pools.v[i], c->network_pool_bits);
	}
	return 0;
}

int config_check(const struct config_reader *r, struct config *c)
{
	AT(runtime, NULL, "runtime.default");

	int n = check_listeners(r, c);
	if (n == 0)
		n = check_ids(r, c);
	if (n == 0)
		n = check_gateway(r, c);
	if (n == 0)
		n = check_pools(r, c);
	if (n < 0)
		return n;
	if (!config_runtime(c, c->runtime_default))
		return config_complain(r, &runtime, "runtime.runtimes has no \"%s\"", c->runtime_default);
	if (c->limits_connections_per_uid > c->limits_connections)
		c->limits_connections_per_uid = c->limits_connections;
	return 0;
}
