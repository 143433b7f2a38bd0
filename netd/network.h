/*
 * network: the records of networks and of the containers on them, in memory and in the database (one document each).
 * What a container has just now need not survive a power failure, and is written without a sync.
 */
#ifndef POUCH_NETD_NETWORK_H
#define POUCH_NETD_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/err.h"
#include "lib/store.h"
#include "netd/address.h"
#include "netd/link.h"
#include "netd/pool.h"

struct config;
struct links;

#define NETWORK_POOLS_MAX 8

enum network_driver { DRIVER_BRIDGE, DRIVER_MACVLAN, DRIVER_IPVLAN, DRIVER_HOST, DRIVER_NONE };

/* How what is outside of a bridge comes to its containers, in each family (Docker's gateway_mode_ipv4 and _ipv6). */
enum gateway_mode {
	GATEWAY_NAT,		 /* by ports of the host */
	GATEWAY_NAT_UNPROTECTED, /* and straight to each port of theirs */
	GATEWAY_ROUTED,		 /* straight to their published ports; nothing is translated */
	GATEWAY_ISOLATED,	 /* the host has no address there either */
};

/* One IPAM pool of a network. */
struct network_pool {
	struct pool *pool;
	struct address gateway; /* of containers; for a bridge the host's own address */
};

struct endpoint;
struct attachment;

struct network {
	char id[65];
	char *name;
	char *owner; /* lib/guard.h; "" nobody's */
	enum network_driver driver;
	bool internal, attachable, ipv4, ipv6;
	bool builtin;	   /* bridge, host, none: cannot be removed */
	bool config_only;  /* nothing but what others are made from (configuration.c) */
	char *config_from; /* the name of the one it is made from; "" */
	json_t *ipam;	   /* {"Driver","Options","Config":[…]}, with chosen subnets and gateways filled in */
	json_t *options, *labels;
	int64_t created;
	char bridge[LINK_NAME_MAX + 1]; /* device of the host: the bridge, or the parent of macvlan and ipvlan */
	bool dummy;			/* no parent was asked for: it is one that leads nowhere */
	const char *mode;		/* of macvlan, ipvlan; in `options`, NULL for the default */
	unsigned mtu;			/* macvlan, ipvlan: 0 for the parent's */
	bool icc, masquerade;
	struct address binding; /* host_binding_ipv4; family 0: the config's */
	bool inhibit_ipv4;	/* the gateway is somebody else on the bridge */
	enum gateway_mode gateway_mode4, gateway_mode6;
	struct address source4, source6; /* what leaves has this address; family 0: the host's on the way */
	char prefix[8];			 /* of devices in containers: "eth" */
	bool chosen;			 /* its subnet was not asked for: another would do */
	char *warning;			 /* for who creates it; NULL: none */
	struct network_pool pools[NETWORK_POOLS_MAX];
	unsigned npools;
	TAILQ_HEAD(, endpoint) endpoints;
	TAILQ_ENTRY(network) next;
};

/* A container's place in a network. */
struct endpoint {
	char id[65];
	struct network *network;
	struct attachment *attachment;
	json_t *settings;     /* EndpointSettings as asked for */
	struct subnet v4, v6; /* address and the subnet's prefix; family 0: none */
	unsigned char mac[6];
	char host_device[LINK_NAME_MAX + 1]; /* "" for macvlan, ipvlan */
	char device[LINK_NAME_MAX + 1];	     /* in the container */
	/*
	 * macvlan, ipvlan: holds the container's namespace, so that its end can be seen: the device is removed in it
	 * before the address is given back. NULL after a restart of netd.
	 */
	struct link_space *space;
	TAILQ_ENTRY(endpoint) of_network, of_attachment;
};

/* A port of a container that the host forwards. */
struct port {
	uint8_t protocol;
	uint16_t inside, outside;
	struct address host; /* all zeros: every address */
	struct address to;
	int reserved; /* bound socket that keeps others from it; -1 */
	bool direct;  /* none of the host's: it is open at the container's own address */
};

/* A running container. */
struct attachment {
	char container[65];
	bool gone; /* detached: its addresses wait until the kernel has removed its devices */
	char *name;
	json_t *spec; /* of network_attach */
	struct port *ports;
	size_t nports;
	TAILQ_HEAD(, endpoint) endpoints;
	TAILQ_ENTRY(attachment) next;
};

struct networks {
	struct store *store;
	TAILQ_HEAD(, network) list;
	TAILQ_HEAD(, attachment) attachments;
};

/* Read everything. Pools know what is taken. The built-in networks are made when they are missing. */
int networks_new(struct store *store, const struct config *config, const char *root, struct networks **out,
		 struct err *e);
void networks_free(struct networks *n);

/* By name, id or unique prefix of an id: -ENOENT (404), -EINVAL (400) for an ambiguous prefix. */
int network_find(struct networks *n, const char *ref, struct network **out, struct err *e);
struct network *network_by_name(struct networks *n, const char *name);
const char *network_driver_name(enum network_driver driver);
/* Has a container a device for it? Of who is on host or none there is nothing but that it is there. */
static inline bool network_has_devices(const struct network *n)
{
	return n->driver != DRIVER_HOST && n->driver != DRIVER_NONE;
}
/* Can its containers reach anybody outside? */
static inline bool network_leads_outside(const struct network *n)
{
	return !n->internal && !n->dummy;
}
/* Are its endpoints devices on one of the host's? */
static inline bool network_is_sub(const struct network *n)
{
	return n->driver == DRIVER_MACVLAN || n->driver == DRIVER_IPVLAN;
}

/*
 * From a checked NetworkCreate document: options understood, pools made; a subnet is chosen, free of the host's routes
 * and of other networks, when it gives none. Not recorded yet. 400, 409 for a name or subnet that is taken, 404 for a
 * driver.
 */
int network_plan(struct networks *n, const json_t *body, const struct config *config, struct links *links,
		 struct network **out, struct err *e);
/* The same from its record; nothing is chosen anew. */
int network_restore(struct networks *n, const json_t *doc, const struct config *config, struct network **out,
		    struct err *e);
/* A bare network with the values of the document that need no check. */
struct network *network_from_body(const json_t *body, const struct config *config);
/* Record it, durable, and put it into the list. On failure it stays the caller's. */
int network_add(struct networks *all, struct network *n, struct err *e);
/* Its record has changed. */
int network_update(struct networks *all, const struct network *n, struct err *e);
/* Take it out of records and list, and free it. It has no endpoints. */
int network_drop(struct networks *all, struct network *n, struct err *e);
void network_free(struct network *network);

/* Not one that is gone. */
struct attachment *attachment_find(struct networks *n, const char *container);
struct attachment *attachment_new(struct networks *n, const char *container, const json_t *spec);
/* Write or rewrite its record. */
int attachment_save(struct networks *n, const struct attachment *a, struct err *e);
/* Give back its addresses, close its ports, remove the record, free it. */
void attachment_drop(struct networks *n, struct attachment *a);
/* Close its ports, remove the record, and keep what endpoints it has until they are freed one by one. */
void attachment_leave(struct networks *n, struct attachment *a);
/* Free it when it is gone and its last endpoint is, too. */
void attachment_settle(struct networks *n, struct attachment *a);

enum gateway_mode network_gateway_mode(const struct network *n, sa_family_t family);
/* Can an endpoint in `n` have this Ethernet address, and which is it? */
int network_check_mac(const struct network *n, const char *text, unsigned char mac[6], struct err *e);
/* A new endpoint with addresses and a MAC, as asked for in `settings`; 400, 409, 503. */
int endpoint_new(struct attachment *a, struct network *network, const json_t *settings, struct endpoint **out,
		 struct err *e);
void endpoint_free(struct endpoint *ep);
/* It is its container's no more; its addresses stay taken until it is freed. */
void endpoint_leave(struct networks *all, struct endpoint *ep);
/* Free the endpoint of this id, if it has left and is still there. */
void networks_forget_endpoint(struct networks *all, const char *id);
/* Free all endpoints of the network; they have left. */
void networks_forget_endpoints(struct networks *all, struct network *n);
/* Gateway of the family for it; family 0 when there is none. */
struct address endpoint_gateway(const struct endpoint *ep, sa_family_t family);

#endif
