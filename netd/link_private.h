/* link_private: what link.c, link_sub.c, link_space.c and link_look.c share. */
#ifndef POUCH_NETD_LINK_PRIVATE_H
#define POUCH_NETD_LINK_PRIVATE_H

#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include "netd/link.h"

struct links {
	struct nl_sock *sock;
	int home; /* the host's network namespace */
	char alias[64];
};

struct link_space {
	struct nl_sock *sock;
};

/* A socket in the present network namespace. */
int nl_open(struct nl_sock **out, struct err *e);
/* A failure of libnl's as one of ours: "what: its text". */
int nl_fail(struct err *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int nl_add_address(struct nl_sock *sock, int index, const struct subnet *s, struct err *e);
/*
 * A device of ours, by its alias, that gets no IPv6 address of the host's own. Before nl_up(): what is up has its
 * addresses. Both return one of libnl's numbers.
 */
int nl_mark(struct links *l, int index);
int nl_up(struct links *l, int index);
void nl_set_mac(struct rtnl_link *link, const unsigned char mac[6]);
/*
 * bridge(8)'s `hairpin on`, and `isolated on` when asked for, which libnl does not know. Hairpin: where the kernel
 * filters bridged packets (br_netfilter), a container that uses its own published port gets its packets back by the
 * port they came from. Returns one of libnl's numbers.
 */
int nl_bridge_port(struct nl_sock *sock, int index, bool isolated);

#endif
