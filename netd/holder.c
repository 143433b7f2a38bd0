#include "netd/holder.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* ---- the socket, by sock_diag(7) ---- */

struct looking {
	const struct port_conflict *conflict;
	uint32_t inode; /* 0: not found */
	uint32_t uid;
};

static bool is_any(const void *address, size_t size)
{
	static const unsigned char none[16];

	return memcmp(address, none, size) == 0;
}

static int on_socket(struct nl_msg *msg, void *arg)
{
	struct looking *l = arg;
	const struct inet_diag_msg *m = nlmsg_data(nlmsg_hdr(msg));
	const struct address *host = &l->conflict->host;
	const size_t size = address_size(host);

	if (l->inode || ntohs(m->id.idiag_sport) != l->conflict->port || !m->idiag_inode)
		return NL_OK;
	/* One that is bound to all addresses may be of the other family. */
	if (!is_any(m->id.idiag_src, 16) && !is_any(host->bytes, size) &&
	    (m->idiag_family != host->family || memcmp(m->id.idiag_src, host->bytes, size) != 0))
		return NL_OK;
	l->inode = m->idiag_inode;
	l->uid = m->idiag_uid;
	return NL_OK;
}

static void look(struct looking *l, uint8_t family)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = family, .sdiag_protocol = l->conflict->protocol, .idiag_states = ~0u};
	struct nl_sock *sock = nl_socket_alloc();

	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_socket, l);
	if (nl_connect(sock, NETLINK_SOCK_DIAG) == 0 &&
	    nl_send_simple(sock, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof request) >= 0)
		nl_recvmsgs_default(sock);
	nl_socket_free(sock);
}

/* ---- the process, by runtimed ---- */

struct asking {
	struct ipc_request *req;
	struct err e;
	uint32_t uid;
};

static void on_held(void *arg, void *reply, const struct err *why)
{
	struct asking *a = arg;
	const struct socket_held *held = reply;
	struct err e = a->e;

	(void)why;
	if (held && held->pid)
		err_http(&e, a->e.status, "%s (%s, pid %u, uid %u)", a->e.text, held->name ? held->name : "", held->pid,
			 a->uid);
	else
		err_http(&e, a->e.status, "%s (uid %u)", a->e.text, a->uid);
	ipc_reply_error(a->req, &e);
	free(a);
}

void holder_reply(struct netd *d, struct ipc_request *req, const struct port_conflict *conflict, const struct err *e)
{
	static const struct ipc_call_events events = {.done = on_held};
	static const struct ipc_call_options options = {.deadline_ms = 5000, .repeatable = true};
	struct looking l = {.conflict = conflict};
	struct err ignored;

	look(&l, AF_INET);
	look(&l, AF_INET6);
	if (!l.inode) {
		ipc_reply_error(req, e);
		return;
	}
	struct asking *a = XNEW(struct asking);
	*a = (struct asking){req, *e, l.uid};
	struct socket_holder m = {.inode = l.inode};
	if (!ipc_call(d->runtimed, IPC_socket_holder, &m, &options, &events, a, &ignored))
		on_held(a, NULL, &ignored);
}
