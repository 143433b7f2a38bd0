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
/* Where an attachment's ports lead to. */
struct ports_target {
	struct address v4, v6; /* family 0: none */
	bool direct4, direct6; /* nothing of the host is needed for it (GATEWAY_ROUTED) */
	struct address binding;
};

/*
 * Reserve every port that the spec binds or publishes. 409 naming who has the port, or *conflict for who does not
 * belong to us. On failure none is reserved.
 */
int ports_open(struct networks *all, struct attachment *a, const struct ports_target *to, const struct config *config,
	       struct port_conflict *conflict, struct err *e);
void ports_close(struct attachment *a);
/* Would they be the same ones of the host if they led there? */
bool ports_can_lead_to(const struct attachment *a, const struct ports_target *to);
/* Retarget what is open; what has no address in its family (0) any more is closed. */
void ports_lead_to(struct attachment *a, const struct ports_target *to);
/* As elements of the firewall. */
struct firewall_port port_element_of(const struct port *p);
/* NetworkSettings.Ports: {"80/tcp": [{"HostIp","HostPort"}] or null}. */
json_t *ports_json(const struct attachment *a);
json_t *ports_record(const struct attachment *a);
/* Reserve them again; what somebody else has taken meanwhile is logged. */
void ports_restore(struct attachment *a, const json_t *record);

#endif
