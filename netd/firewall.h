/*
 * firewall: the engine's nft table: maps of published ports, sets of its bridges; and a second, <table>_keep, owned by
 * netd's socket, which keeps networks apart while the first is flushed. Nothing else is touched, and no other table's
 * drop is overridden. The text of a command holds only what was numbers and checked device names.
 */
#ifndef POUCH_NETD_FIREWALL_H
#define POUCH_NETD_FIREWALL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "netd/address.h"

struct firewall;

/* `table`: its name. Nothing is in the kernel yet. */
int firewall_new(const char *table, struct firewall **out, struct err *e);
void firewall_free(struct firewall *f);

struct firewall_subnet {
	struct subnet subnet;
	struct address own; /* the host's in it, on the bridge; family 0: it has none */
	bool masquerade;    /* packets leave with the host's address, or with `source` if that has a family */
	struct address source;
	bool routed;	  /* ports are opened in it (firewall_port.direct) */
	bool unprotected; /* each port in it is open */
};

struct firewall_bridge {
	const char *name;
	const char *id; /* hexadecimal, no two bridges' alike: its chains are named for it */
	bool internal;	/* nothing in or out */
	const struct firewall_subnet *subnets;
	unsigned nsubnets;
};

struct firewall_port {
	uint8_t protocol;    /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	struct address host; /* on the host; all zeros: each of its addresses */
	uint16_t host_port;
	struct address to; /* the container */
	uint16_t to_port;
	bool direct; /* nothing of the host's: it is open at the container's own address */
};

/*
 * A batch is one transaction: everything between firewall_begin() and firewall_commit() takes effect at once, or
 * nothing. firewall_reset() first in a batch makes the table anew, empty but for the chains; `loopback6`: do ports that
 * are published on all addresses include ::1?
 */
void firewall_begin(struct firewall *f);
void firewall_reset(struct firewall *f, bool loopback6);
void firewall_add_bridge(struct firewall *f, const struct firewall_bridge *b);
void firewall_drop_bridge(struct firewall *f, const struct firewall_bridge *b);
void firewall_add_port(struct firewall *f, const struct firewall_port *p);
void firewall_drop_port(struct firewall *f, const struct firewall_port *p);
int firewall_commit(struct firewall *f, struct err *e);
/* What firewall_commit() does, in two steps for who may have to run a batch again: the commands, the caller's to free.
 */
char *firewall_take(struct firewall *f);
int firewall_run(struct firewall *f, const char *commands, struct err *e);

/* What the last firewall_reset() was told. */
bool firewall_loopback6(const struct firewall *f);
/* Is the table in the kernel? */
bool firewall_present(struct firewall *f);
/* Take it out. */
int firewall_remove(struct firewall *f, struct err *e);

#endif
