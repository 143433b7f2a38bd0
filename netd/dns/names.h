/*
 * names: who is called what on which network. One index holds all networks; what a container may see of it is what is
 * on its own networks.
 */
#ifndef POUCH_NETD_DNS_NAMES_H
#define POUCH_NETD_DNS_NAMES_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define NAMES_SERVERS_MAX 3 /* of a container that are asked, as in resolv.conf(5) */

struct name_address {
	sa_family_t family;
	uint8_t bytes[16];
};

/* A container on one network. */
struct name_endpoint {
	const char *network, *network_name, *name; /* id, name, the container's name; in `json` */
	const json_t *json;
	struct name_address *addresses;
	size_t naddresses;
};

/* Name servers. */
struct name_servers {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} list[NAMES_SERVERS_MAX];
	size_t n;
};

/* What a container's server knows of it; kept by serve.c. */
struct name_view {
	json_t *doc; /* SCH_DNS_CONTAINER */
	struct name_endpoint *endpoints;
	size_t nendpoints;
	struct name_servers own; /* none: the host's */
	bool forward, dotted;
};

struct names;

struct names *names_new(void);
void names_free(struct names *n);

/* The view of a container from a checked document, its names entered into the index. */
void names_enter(struct names *n, struct name_view *v, const json_t *doc);
/* Take its names out and empty the view. */
void names_leave(struct names *n, struct name_view *v);

/* The endpoints of a name, or of an address. */
struct name_found {
	struct name_endpoint *const *list; /* valid until the index changes */
	size_t n;
};

/* What `name` (lower case) is for the container: as written, by its links, as NAME.NETWORK. false: unknown. */
bool names_find(const struct names *n, const struct name_view *v, const char *name, struct name_found *out);
bool names_find_address(const struct names *n, const struct name_view *v, sa_family_t family, const uint8_t *address,
			struct name_found *out);

/* From texts "ADDRESS" or "ADDRESS%interface number"; what is none is left out, as are those beyond the third. */
void names_read_servers(const json_t *texts, struct name_servers *out);

#endif
