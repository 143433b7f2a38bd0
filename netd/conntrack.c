#include "netd/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "netd/link_private.h"

#define TYPE(message)	   ((NFNL_SUBSYS_CTNETLINK << 8) | (message))
#define FILTER_PROTO_NUM   (1u << 3) /* bits of CTA_FILTER_ORIG_FLAGS, which no header has */
#define FILTER_DESTINATION (1u << 5)

struct looking {
	const struct firewall_port *port;
	bool opened;
	struct nl_msg **found; /* requests that delete what was found */
	size_t nfound;
};

/* One direction of a flow. */
struct tuple {
	const void *src, *dst; /* addresses of the port's family */
	uint16_t sport, dport;
};

static bool parse_tuple(struct nlattr *nest, sa_family_t family, struct tuple *out)
{
	const bool v4 = family == AF_INET;
	const int src = v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, dst = v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST;
	const int size = v4 ? 4 : 16;
	struct nlattr *parts[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];

	if (!nest || nla_parse_nested(parts, CTA_TUPLE_MAX, nest, NULL) < 0 || !parts[CTA_TUPLE_IP] ||
	    !parts[CTA_TUPLE_PROTO] || nla_parse_nested(ip, CTA_IP_MAX, parts[CTA_TUPLE_IP], NULL) < 0 ||
	    nla_parse_nested(proto, CTA_PROTO_MAX, parts[CTA_TUPLE_PROTO], NULL) < 0 || !ip[src] || !ip[dst] ||
	    nla_len(ip[src]) != size || nla_len(ip[dst]) != size || !proto[CTA_PROTO_NUM] ||
	    nla_get_u8(proto[CTA_PROTO_NUM]) != IPPROTO_UDP || !proto[CTA_PROTO_SRC_PORT] || !proto[CTA_PROTO_DST_PORT])
		return false;
	*out = (struct tuple){nla_data(ip[src]), nla_data(ip[dst]), ntohs(nla_get_u16(proto[CTA_PROTO_SRC_PORT])),
			      ntohs(nla_get_u16(proto[CTA_PROTO_DST_PORT]))};
	return true;
}

static bool is_meant(const struct looking *l, const struct tuple *there, const struct tuple *back, uint32_t status)
{
	static const unsigned char any[16];
	const struct firewall_port *p = l->port;
	const size_t size = address_size(&p->to);

	if (there->dport != p->host_port ||
	    (memcmp(p->host.bytes, any, size) != 0 && memcmp(p->host.bytes, there->dst, size) != 0))
		return false;
	return l->opened ? !(status & IPS_NAT_MASK)
			 : back->sport == p->to_port && memcmp(back->src, p->to.bytes, size) == 0;
}

static struct nl_msg *message(int type, int flags, sa_family_t family)
{
	const struct nfgenmsg head = {.nfgen_family = (uint8_t)family, .version = NFNETLINK_V0};
	struct nl_msg *msg = nlmsg_alloc_simple(TYPE(type), NLM_F_REQUEST | flags);

	if (!msg || nlmsg_append(msg, (void *)(uintptr_t)&head, sizeof head, NLMSG_ALIGNTO) < 0)
		abort();
	return msg;
}

static int on_flow(struct nl_msg *msg, void *arg)
{
	struct looking *l = arg;
	const sa_family_t family = l->port->to.family;
	struct nlattr *flow[CTA_MAX + 1];
	struct tuple there, back;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(struct nfgenmsg), flow, CTA_MAX, NULL) < 0 ||
	    !parse_tuple(flow[CTA_TUPLE_ORIG], family, &there) || !parse_tuple(flow[CTA_TUPLE_REPLY], family, &back) ||
	    !flow[CTA_STATUS] || !is_meant(l, &there, &back, ntohl(nla_get_u32(flow[CTA_STATUS]))))
		return NL_OK;
	struct nl_msg *removal = message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family);
	nla_put(removal, CTA_TUPLE_ORIG | NLA_F_NESTED, nla_len(flow[CTA_TUPLE_ORIG]), nla_data(flow[CTA_TUPLE_ORIG]));
	if (flow[CTA_ID]) /* not the one that has come in its place meanwhile */
		nla_put_u32(removal, CTA_ID, nla_get_u32(flow[CTA_ID]));
	l->found = xrealloc(l->found, l->nfound + 1, sizeof *l->found);
	l->found[l->nfound++] = removal;
	return NL_OK;
}

/* Of the flows the kernel tells those of UDP to this port. (One before 5.8 tells all of them.) */
static int ask(struct nl_sock *sock, const struct firewall_port *p)
{
	struct nl_msg *msg = message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, p->to.family);
	struct nlattr *tuple = nla_nest_start(msg, CTA_TUPLE_ORIG | NLA_F_NESTED);
	struct nlattr *proto = nla_nest_start(msg, CTA_TUPLE_PROTO | NLA_F_NESTED);

	nla_put_u8(msg, CTA_PROTO_NUM, IPPROTO_UDP);
	nla_put_u16(msg, CTA_PROTO_DST_PORT, htons(p->host_port));
	nla_nest_end(msg, proto);
	nla_nest_end(msg, tuple);
	struct nlattr *filter = nla_nest_start(msg, CTA_FILTER | NLA_F_NESTED);
	nla_put_u32(msg, CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM | FILTER_DESTINATION);
	nla_put_u32(msg, CTA_FILTER_REPLY_FLAGS, 0);
	nla_nest_end(msg, filter);
	int rc = nl_send_auto(sock, msg);
	nlmsg_free(msg);
	return rc < 0 ? rc : nl_recvmsgs_default(sock);
}

static int forget(const struct firewall_port *p, bool opened, struct err *e)
{
	struct looking l = {.port = p, .opened = opened};
	int rc;

	if (p->protocol != IPPROTO_UDP || (p->direct && opened))
		return 0;
	struct nl_sock *sock = nl_socket_alloc();
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_flow, &l);
	rc = nl_connect(sock, NETLINK_NETFILTER);
	if (rc == 0)
		rc = ask(sock, p);
	for (size_t i = 0; i < l.nfound; i++) {
		if (rc >= 0 && (rc = nl_send_auto(sock, l.found[i])) >= 0)
			rc = nl_wait_for_ack(sock);
		if (rc == -NLE_OBJ_NOTFOUND) /* it has ended by itself */
			rc = 0;
		nlmsg_free(l.found[i]);
	}
	free(l.found);
	nl_socket_free(sock);
	return rc < 0 ? nl_fail(e, rc, "forget the flows of UDP to port %u", p->host_port) : 0;
}

int conntrack_opened(const struct firewall_port *p, struct err *e)
{
	return forget(p, true, e);
}

int conntrack_closed(const struct firewall_port *p, struct err *e)
{
	return forget(p, false, e);
}
