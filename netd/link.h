/*
 * link: what netd does to the kernel's network devices, by netlink: bridges on the host, pairs of veths, devices on
 * devices of the host (link_sub.c), and what is inside of a container's network namespace.
 */
#ifndef POUCH_NETD_LINK_H
#define POUCH_NETD_LINK_H

#include <stdbool.h>

#include "lib/err.h"
#include "netd/address.h"

#define LINK_NAME_MAX 15

struct links; /* the netlink sockets of the host's namespace */

/*
 * Before the sandbox, which hides /proc/self/ns. `owner`: written into the alias of every device that is made on the
 * host, and what is ours later is known by it.
 */
int links_new(const char *owner, struct links **out, struct err *e);
void links_free(struct links *l);

/* Index of a device on the host; 0 when there is none. */
int link_index(struct links *l, const char *name);

struct link_bridge {
	const char *name;
	struct subnet addresses[8]; /* the host's own, with their prefix */
	unsigned naddresses;
	unsigned mtu;
	bool ipv6;
	bool route_localnet; /* ports published on 127.0.0.1 and ::1 are translated onto it */
};

/* Create the bridge, or bring the one that is there to this state. -EEXIST when the name is another kind of device. */
int link_bridge(struct links *l, const struct link_bridge *b, struct err *e);
/* Remove it; one that is not ours only loses the addresses. */
int link_bridge_remove(struct links *l, const struct link_bridge *b, struct err *e);
/*
 * Can ports be published on ::1? Not where br_netfilter filters IPv6 on bridges: it translates replies back before the
 * kernel has taken them from the device, and a packet to ::1 is not taken from any but loopback.
 */
bool link_loopback6_works(void);
/* 0 also when there is none. */
int link_delete(struct links *l, const char *name, struct err *e);

struct link_pair {
	const char *host;   /* name of the host's end */
	const char *bridge; /* that it is put on */
	const char *inside; /* name in the namespace */
	int netns;
	unsigned char mac[6];
	unsigned mtu;
	bool isolated; /* not to be reached from the bridge's other isolated ports (icc=false) */
};

/* A pair of veths, its host's end up and on the bridge, the other one down in the namespace. */
int link_pair(struct links *l, const struct link_pair *p, struct err *e);

enum link_sub_kind { LINK_MACVLAN, LINK_IPVLAN };

/* A macvlan or ipvlan device on `parent`, down in the namespace. `mode`: NULL for the default, else as in Docker's
 * options. */
struct link_sub {
	enum link_sub_kind kind;
	const char *parent, *mode, *inside;
	int netns;
	unsigned char mac[6]; /* all 0 for ipvlan */
	unsigned mtu;	      /* 0: the parent's */
};
int link_sub(struct links *l, const struct link_sub *s, struct err *e);
/* Has the kernel such devices, and can they be on this parent? 400. Makes none. */
int link_sub_check(struct links *l, const struct link_sub *s, struct err *e);
/* Is there such a mode? */
bool link_sub_mode(enum link_sub_kind kind, const char *mode);
/*
 * The parent is there after this: one that is not is made, a dummy, or the VLAN that its name says ("eth0.50"). 400
 * that names what is missing.
 */
int link_parent(struct links *l, const char *name, bool dummy, struct err *e);
/* Remove it, if it was made so. */
int link_parent_remove(struct links *l, const char *name, struct err *e);

/* ---- inside of a namespace ---- */

struct link_space; /* netlink socket of a container's namespace */

/* Call `fn` in the namespace: sockets that it makes belong there. Borrows `netns` for the moment. */
int link_inside(struct links *l, int netns, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);
/* Borrow `netns` for the moment. `fresh`: nobody has used it yet, and it gets the settings that containers find. */
int link_space_open(struct links *l, int netns, bool fresh, struct link_space **out, struct err *e);
/*
 * Of who has no device: that those which it may get later believe no router. The rest of these settings, and the
 * loopback, are runtimed's and the runtime's there.
 */
int link_space_alone(struct links *l, int netns, struct err *e);
void link_space_free(struct link_space *s);

int link_space_loopback(struct link_space *s, struct err *e);
/* Addresses onto the device, and up. Without an IPv6 address among them the device gets no link-local one either. */
int link_space_configure(struct link_space *s, const char *device, const struct subnet *addresses, unsigned n,
			 struct err *e);
/* Default route; replaces the one of its family. */
int link_space_route(struct link_space *s, const char *device, const struct address *gateway, struct err *e);
/* 0 also when there is none. */
int link_space_delete(struct link_space *s, const char *device, struct err *e);
bool link_space_has(struct link_space *s, const char *device);
/* The first free name: the prefix ("eth") and a number. */
void link_space_free_name(struct link_space *s, const char *prefix, char name[LINK_NAME_MAX + 1]);

/* ---- looking ---- */

/* A route of the host. */
struct link_route {
	struct subnet to;
	bool direct; /* what it leads to is on the device's own network */
	char device[LINK_NAME_MAX + 1];
};

/*
 * Is there a route of the host, other than the default and those of the device `except` (0: none), that overlaps with
 * the subnet? 1 with one of them in *out, a direct one if there is one; 0; or a failure.
 */
int link_subnet_used(struct links *l, const struct subnet *s, int except, struct link_route *out, struct err *e);
/* Calls `fn` with each device of the host that is ours. */
int link_each_ours(struct links *l, void (*fn)(void *arg, const char *name), void *arg, struct err *e);

#endif
