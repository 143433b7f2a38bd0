#include "netd/watch.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/config.h"
#include "lib/log.h"
#include "lib/times.h"
#include "lib/util.h"
#include "netd/kernel.h"
#include "netd/waiting.h"

#define REPAIR_PAUSE_MS 20

struct watch {
	struct netd *d;
	int links, nft; /* netlink sockets */
	struct event *links_event, *nft_event, *repair;
	int64_t repaired; /* when the tables were put back last; monotonic */
};

/* ---- devices ---- */

static void device_gone(struct netd *d, const char *name)
{
	struct network *n;
	struct endpoint *ep;

	TAILQ_FOREACH(n, &d->networks->list, next) {
		TAILQ_FOREACH(ep, &n->endpoints, of_network) {
			struct attachment *a = ep->attachment;

			if (!a->gone || !str_eq(ep->host_device, name))
				continue;
			endpoint_free(ep);
			attachment_settle(d->networks, a);
			waiting_retry(d);
			return;
		}
	}
}

static void on_link_message(struct netd *d, const struct nlmsghdr *h)
{
	struct nlattr *name;

	if (h->nlmsg_type != RTM_DELLINK)
		return;
	name = nlmsg_find_attr((struct nlmsghdr *)h, sizeof(struct ifinfomsg), IFLA_IFNAME);
	if (name && nla_len(name) > 0 && memchr(nla_data(name), '\0', (size_t)nla_len(name)))
		device_gone(d, nla_data(name));
}

/* Messages were lost: look at every device that is waited for. */
static void resync(struct netd *d)
{
	struct attachment *a, *next;

	for (a = TAILQ_FIRST(&d->networks->attachments); a; a = next) {
		struct endpoint *ep, *after;

		next = TAILQ_NEXT(a, next);
		for (ep = a->gone ? TAILQ_FIRST(&a->endpoints) : NULL; ep; ep = after) {
			after = TAILQ_NEXT(ep, of_attachment);
			if (!link_index(d->links, ep->host_device))
				endpoint_free(ep);
		}
		attachment_settle(d->networks, a);
	}
	waiting_retry(d);
}

static void on_links(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	char buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));

	(void)what;
	for (;;) {
		const ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

		if (n < 0 && errno == ENOBUFS) {
			resync(w->d);
			continue;
		}
		if (n <= 0)
			return;
		unsigned len = (unsigned)n;
		for (const struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len))
			on_link_message(w->d, h);
	}
}

/* ---- the firewall ---- */

static void on_repair(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct err e = {0};

	(void)fd;
	(void)what;
	if (firewall_present(w->d->firewall))
		return;
	log_warn("the engine's nftables table was removed by somebody else; it is put back");
	if (kernel_firewall(w->d, &e) < 0)
		log_error("%s", e.text);
	w->repaired = monotonic_ms();
}

/* At once, since published ports are closed meanwhile; but not in turns with somebody who removes it again and again.
 */
static void repair(struct watch *w)
{
	const int64_t since = monotonic_ms() - w->repaired;
	const struct timeval soon = {0, since < REPAIR_PAUSE_MS ? REPAIR_PAUSE_MS * 1000 : 0};

	if (!event_pending(w->repair, EV_TIMEOUT, NULL))
		event_add(w->repair, &soon);
}

static bool deletes_table(const struct nlmsghdr *h, const char *table)
{
	const struct nlattr *name;

	if (h->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_DELTABLE))
		return false;
	name = nlmsg_find_attr((struct nlmsghdr *)h, sizeof(struct nfgenmsg), NFTA_TABLE_NAME);
	return name && nla_len(name) > 0 && memchr(nla_data(name), '\0', (size_t)nla_len(name)) &&
	       str_eq(nla_data(name), table);
}

/* The transaction that it was deleted in is complete. ENOBUFS: messages were lost. */
static void on_nft(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	char buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t n;

	(void)what;
	while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS)) {
		unsigned len = n > 0 ? (unsigned)n : 0;
		bool deleted = n < 0;

		for (const struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len))
			deleted = deleted || deletes_table(h, w->d->daemon.config->network_nft_table);
		if (deleted)
			repair(w);
	}
}

static int open_socket(int protocol, unsigned group, struct err *e)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1u << (group - 1)};
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address))
		return err_sys(e, -errno, "listen to the kernel's network events");
	return STEAL_FD(fd);
}

int watch_new(struct netd *d, struct watch **out, struct err *e)
{
	struct watch *w = XNEW(struct watch);

	w->d = d;
	w->nft = -1;
	w->links = open_socket(NETLINK_ROUTE, RTNLGRP_LINK, e);
	if (w->links >= 0)
		w->nft = open_socket(NETLINK_NETFILTER, NFNLGRP_NFTABLES, e);
	if (w->nft < 0) {
		watch_free(w);
		return e ? e->code : -EIO;
	}
	w->links_event = event_new(d->daemon.base, w->links, EV_READ | EV_PERSIST, on_links, w);
	w->nft_event = event_new(d->daemon.base, w->nft, EV_READ | EV_PERSIST, on_nft, w);
	w->repair = event_new(d->daemon.base, -1, 0, on_repair, w);
	event_add(w->links_event, NULL);
	event_add(w->nft_event, NULL);
	*out = w;
	return 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->links_event)
		event_free(w->links_event);
	if (w->nft_event)
		event_free(w->nft_event);
	if (w->repair)
		event_free(w->repair);
	fd_close(&w->links);
	fd_close(&w->nft);
	free(w);
}
