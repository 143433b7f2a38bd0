/*
 * ports: which ports of the host are forwarded to a container. Each one is held by a bound socket of netd's (not
 * listening), so that no process of the host can take it meanwhile, and a free one is found by the kernel.
 */
#ifndef POUCH_NETD_PORTS_H
#define POUCH_NETD_PORTS_H

#include "netd/firewall.h"
#include "netd/network.h"

struct config;

/* A port that could not be had because a process of the host has it. */
struct port_conflict {
	uint8_t protocol; /* 0: there is no conflict */
	struct address host;
	uint16_t port;
};

/* PortBindings, ExposedPorts of the spec: are they well-formed? 400 naming the port. */
int ports_check(const json_t *spec, struct err *e);
/*
 * Reserve every port that the spec binds or publishes, to `to4` and `to6` (family 0: none). 409 naming who has the
 * port, or *conflict for who does not belong to us. On failure none is reserved.
 */
int ports_open(struct networks *all, struct attachment *a, const struct address *to4, const struct address *to6,
	       const struct address *binding, const struct config *config, struct port_conflict *conflict,
	       struct err *e);
void ports_close(struct attachment *a);
/* Retarget what is open; what has no address in its family (0) any more is closed. */
void ports_lead_to(struct attachment *a, const struct address *to4, const struct address *to6);
/* As elements of the firewall. */
struct firewall_port port_element_of(const struct port *p);
/* NetworkSettings.Ports: {"80/tcp": [{"HostIp","HostPort"}] or null}. */
json_t *ports_json(const struct attachment *a);
json_t *ports_record(const struct attachment *a);
/* Reserve them again; what somebody else has taken meanwhile is logged. */
void ports_restore(struct attachment *a, const json_t *record);

#endif
