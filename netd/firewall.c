#include "netd/firewall.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/util.h"

struct firewall {
	struct nft_ctx *nft;
	char table[32];
	/*
	 * A second table with what keeps networks apart, owned by this process's netlink socket: a flush of all rules
	 * passes it by. It ends with the process, when the first one is there.
	 */
	char keep[40];
	bool loopback6; /* are ports on all addresses also on ::1? */
	char *batch;	/* commands so far */
	size_t len;
};

/*
 * What keeps networks apart. %1$s is the table's name, %2$s its flags. Chains end in accept, which lets the host's own
 * chains decide further: a drop of theirs wins. Elements, and the chains of each bridge, are added by the functions
 * below. Each packet passes both tables: all but the first of a connection meet two rules in each and no look-up, since
 * maps are what costs; what is neither of a bridge nor for one meets look-ups of its devices, once a connection.
 */
static const char apart[] =
	"add table inet %1$s {\n"
	"	%2$s\n"
	/* Ports that are open at containers' own addresses. */
	"	set open4 { type ipv4_addr . inet_proto . inet_service; }\n"
	"	set open6 { type ipv6_addr . inet_proto . inet_service; }\n"
	/* The chains for what comes from a bridge, to the host and to elsewhere, and for what goes to it. */
	"	map inside { type ifname : verdict; }\n"
	"	map leaving { type ifname : verdict; }\n"
	"	map entering { type ifname : verdict; }\n"
	/*
	 * The bridges route 127.0.0.0/8, for ports published there; containers may not use that.
	 * What somebody else's rule has sent there is his. (The kernel itself takes packets to or
	 * from ::1 from loopback alone.)
	 */
	"	chain to_loopback {\n"
	"		ct status dnat return\n"
	"		drop\n"
	"	}\n"
	"	chain from_bridge {\n"
	"		ip saddr 127.0.0.0/8 drop\n"
	"		ip daddr 127.0.0.0/8 jump to_loopback\n"
	"		ct original ip daddr 127.0.0.0/8 drop\n"
	"		icmpv6 type nd-router-advert drop\n"
	"	}\n"
	/* What is on an internal network reaches of the host only its address there. */
	"	chain from_internal {\n"
	"		jump from_bridge\n"
	"		fib daddr type local fib daddr . iif type != local drop\n"
	"	}\n"
	/*
	 * Before sources are translated: answers to the host's loopback are from there afterwards. A source that a
	 * container has forged is not let into the flow of somebody on the host.
	 */
	"	chain host {\n"
	"		type filter hook input priority filter; policy accept;\n"
	"		ip saddr 127.0.0.0/8 meta iiftype != loopback iifname vmap @inside\n"
	"		ct state established,related accept\n"
	"		iifname vmap @inside\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority filter; policy accept;\n"
	/* Nor into one that goes on to a container. */
	"		ip saddr 127.0.0.0/8 drop\n"
	"		ct state established,related accept\n"
	"		iifname vmap @leaving\n"
	"		oifname vmap @entering\n"
	"	}\n"
	"}\n";

/*
 * Flows of published ports go on while the other table is flushed: the kernel translates what it remembers for as long
 * as there is any chain of the type. %1$s is the table's name.
 */
static const char translating[] =
	"add chain inet %1$s translating { type nat hook input priority 100; policy accept; }\n";

/* Published ports, and the host's address for containers. %1$s is the table's name, %2$s without_loopback6 or "". */
static const char published[] =
	"add table inet %1$s {\n"
	"	set masquerade4 { type ipv4_addr; flags interval; }\n"
	"	set masquerade6 { type ipv6_addr; flags interval; }\n"
	/* What leaves with an address of the host's that was asked for. */
	"	map source4 { type ipv4_addr : ipv4_addr; flags interval; }\n"
	"	map source6 { type ipv6_addr : ipv6_addr; flags interval; }\n"
	/* The chain for connections that go into a bridge. */
	"	map arriving { type ifname : verdict; }\n"
	/* Published on one address of the host, and on all of them. */
	"	map at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map all4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	map all6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	/* No port is in both: each is a bound socket. */
	"	chain publish {\n"
	"		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @all4\n"
	"		meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @at4\n"
	"%2$s"
	"		meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @all6\n"
	"		meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6\n"
	"	}\n"
	/*
	 * Only what is meant for this host: a mapping captures nothing that is on its way to others. What is meant for
	 * its loopback comes from itself; from elsewhere the kernel drops it, if nothing has been translated.
	 */
	"	chain from_outside {\n"
	"		type nat hook prerouting priority dstnat; policy accept;\n"
	"		ip daddr 127.0.0.0/8 return\n"
	"		ip6 daddr ::1 return\n"
	"		fib daddr type local jump publish\n"
	"	}\n"
	/* What the host sends to an address of its own leaves by its loopback: it has been routed already. */
	"	chain from_host {\n"
	"		type nat hook output priority -100; policy accept;\n"
	"		meta oiftype loopback jump publish\n"
	"	}\n"
	/* The host's loopback has no address that a container could answer to; a bridge's own is for chain_into(). */
	"	chain from_loopback {\n"
	"		ip saddr 127.0.0.0/8 masquerade\n"
	"		ip6 saddr ::1 masquerade\n"
	"	}\n"
	"	chain leave {\n"
	"		type nat hook postrouting priority srcnat; policy accept;\n"
	"		oifname vmap @arriving\n"
	"		snat ip to ip saddr map @source4\n"
	"		snat ip6 to ip6 saddr map @source6\n"
	"		ip saddr @masquerade4 masquerade\n"
	"		ip6 saddr @masquerade6 masquerade\n"
	"	}\n"
	"}\n";

/* Where replies to ::1 cannot come back (link.h), ports on all addresses are not on that one. */
static const char without_loopback6[] = "		ip6 daddr ::1 return\n";

/* Without it libnftables ends the process, with words of its own. */
static int check_kernel(struct err *e)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	return fd < 0 ? err_sys(e, -errno,
				"this host's kernel has no nfnetlink, which networks need: are its modules "
				"nfnetlink and nf_tables there?")
		      : 0;
}

int firewall_new(const char *table, struct firewall **out, struct err *e)
{
	const int rc = check_kernel(e);

	if (rc < 0)
		return rc;
	struct firewall *f = XNEW(struct firewall);
	f->nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!f->nft) {
		free(f);
		return err_set(e, -EIO, "nftables cannot be used");
	}
	nft_ctx_buffer_error(f->nft);
	nft_ctx_buffer_output(f->nft);
	snprintf(f->table, sizeof f->table, "%s", table);
	snprintf(f->keep, sizeof f->keep, "%s_keep", table);
	*out = f;
	return 0;
}

void firewall_free(struct firewall *f)
{
	if (!f)
		return;
	nft_ctx_free(f->nft);
	free(f->batch);
	free(f);
}

static void __attribute__((format(printf, 2, 3))) add(struct firewall *f, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	const int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	f->batch = xrealloc(f->batch, f->len + (size_t)n + 1, 1);
	memcpy(f->batch + f->len, text, (size_t)n + 1);
	f->len += (size_t)n;
}

void firewall_begin(struct firewall *f)
{
	f->len = 0;
}

void firewall_reset(struct firewall *f, bool loopback6)
{
	const char *const tables[] = {f->table, f->keep};

	/* Adding first, so that a table that is not there is no failure. */
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		const char *flags = tables[i] == f->keep ? "flags owner;" : "";

		add(f, "add table inet %s { %s }\ndelete table inet %s\n", tables[i], flags, tables[i]);
		add(f, apart, tables[i], flags);
	}
	add(f, translating, f->keep);
	add(f, published, f->table, loopback6 ? "" : without_loopback6);
	f->loopback6 = loopback6;
}

bool firewall_loopback6(const struct firewall *f)
{
	return f->loopback6;
}

/* The subnet as the network that it is in. */
static const char *network_text(const struct subnet *of, char text[ADDRESS_TEXT])
{
	const struct subnet s = {subnet_base(of), of->prefix};

	return subnet_text(&s, text);
}

static void subnet_elements(struct firewall *f, const char *verb, const struct firewall_subnet *of)
{
	const char family = of->subnet.address.family == AF_INET ? '4' : '6';
	char text[ADDRESS_TEXT], source[ADDRESS_TEXT];

	network_text(&of->subnet, text);
	if (of->masquerade && of->source.family)
		add(f, "%s element inet %s source%c { %s : %s }\n", verb, f->table, family, text,
		    address_text(&of->source, source));
	else if (of->masquerade)
		add(f, "%s element inet %s masquerade%c { %s }\n", verb, f->table, family, text);
}

static void bridge_elements(struct firewall *f, const char *verb, const struct firewall_bridge *b)
{
	const char *const tables[] = {f->table, f->keep};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		add(f, "%s element inet %s inside { \"%s\" : jump %s }\n", verb, tables[i], b->name,
		    b->internal ? "from_internal" : "from_bridge");
		if (b->internal)
			add(f, "%s element inet %s leaving { \"%s\" : goto from_%s }\n", verb, tables[i], b->name,
			    b->id);
		else
			add(f, "%s element inet %s leaving { \"%s\" : jump from_bridge }\n", verb, tables[i], b->name);
		add(f, "%s element inet %s entering { \"%s\" : goto to_%s }\n", verb, tables[i], b->name, b->id);
	}
	add(f, "%s element inet %s arriving { \"%s\" : goto into_%s }\n", verb, f->table, b->name, b->id);
	for (unsigned i = 0; i < b->nsubnets; i++)
		subnet_elements(f, verb, &b->subnets[i]);
}

/* Who may go into the bridge: itself; published ports; what its gateway modes open. */
static void chain_to(struct firewall *f, const char *table, const struct firewall_bridge *b)
{
	add(f, "add chain inet %s to_%s {\n iifname \"%s\" accept\n", table, b->id, b->name);
	if (!b->internal)
		add(f, " ct status dnat accept\n");
	for (unsigned i = 0; !b->internal && i < b->nsubnets; i++) {
		const struct firewall_subnet *s = &b->subnets[i];
		const bool v4 = s->subnet.address.family == AF_INET;
		const char *ip = v4 ? "ip" : "ip6", *icmp = v4 ? "icmp" : "icmpv6";
		char text[ADDRESS_TEXT];

		network_text(&s->subnet, text);
		if (s->routed)
			add(f,
			    " %s daddr . meta l4proto . th dport @open%c accept\n %s daddr %s %s type echo-request "
			    "accept\n",
			    ip, v4 ? '4' : '6', ip, text, icmp);
		if (s->unprotected)
			add(f, " %s daddr %s accept\n", ip, text);
	}
	add(f, " drop\n}\n");
}

/* From the host's loopback, with the host's address there. A masquerade would look for it, at 1 % of a connection. */
static void rule_from_loopback(struct firewall *f, const struct firewall_subnet *s)
{
	const bool v4 = s->subnet.address.family == AF_INET;
	const char *ip = v4 ? "ip" : "ip6";
	char to[ADDRESS_TEXT], own[ADDRESS_TEXT];

	if (s->own.family)
		add(f, " %s saddr %s %s daddr %s snat %s to %s\n", ip, v4 ? "127.0.0.0/8" : "::1", ip,
		    network_text(&s->subnet, to), ip, address_text(&s->own, own));
}

/*
 * Through a published port back to the same network: the answer has to come by the host as well. A bridged packet has
 * no device here that it came from, hence its source.
 */
static void rule_hairpin(struct firewall *f, const struct firewall_subnet *s)
{
	char from[ADDRESS_TEXT];

	add(f, " %s saddr %s ct status dnat masquerade\n", s->subnet.address.family == AF_INET ? "ip" : "ip6",
	    network_text(&s->subnet, from));
}

static void chain_into(struct firewall *f, const struct firewall_bridge *b)
{
	add(f, "add chain inet %s into_%s {\n", f->table, b->id);
	for (unsigned i = 0; i < b->nsubnets; i++)
		rule_from_loopback(f, &b->subnets[i]);
	for (unsigned i = 0; i < b->nsubnets; i++)
		rule_hairpin(f, &b->subnets[i]);
	add(f, " goto from_loopback\n}\n");
}

static void bridge_chains(struct firewall *f, const struct firewall_bridge *b)
{
	const char *const tables[] = {f->table, f->keep};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (b->internal)
			add(f, "add chain inet %s from_%s {\n jump from_bridge\n oifname \"%s\" accept\n drop\n}\n",
			    tables[i], b->id, b->name);
		chain_to(f, tables[i], b);
	}
	chain_into(f, b);
}

static void delete_chains(struct firewall *f, const struct firewall_bridge *b)
{
	const char *const tables[] = {f->table, f->keep};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (b->internal)
			add(f, "delete chain inet %s from_%s\n", tables[i], b->id);
		add(f, "delete chain inet %s to_%s\n", tables[i], b->id);
	}
	add(f, "delete chain inet %s into_%s\n", f->table, b->id);
}

void firewall_add_bridge(struct firewall *f, const struct firewall_bridge *b)
{
	bridge_chains(f, b);
	bridge_elements(f, "add", b);
}

void firewall_drop_bridge(struct firewall *f, const struct firewall_bridge *b)
{
	bridge_elements(f, "delete", b);
	delete_chains(f, b);
}

static const char *protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "sctp";
}

static bool is_any(const struct address *a)
{
	static const struct address none;

	return memcmp(a->bytes, none.bytes, sizeof none.bytes) == 0;
}

static void open_element(struct firewall *f, const char *verb, const struct firewall_port *p)
{
	const char *const tables[] = {f->table, f->keep};
	char to[ADDRESS_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		add(f, "%s element inet %s open%c { %s . %s . %u }\n", verb, tables[i],
		    p->to.family == AF_INET ? '4' : '6', address_text(&p->to, to), protocol_name(p->protocol),
		    p->to_port);
}

static void port_element(struct firewall *f, const char *verb, const struct firewall_port *p, bool with_target)
{
	char host[ADDRESS_TEXT], to[ADDRESS_TEXT];
	const char family = p->to.family == AF_INET ? '4' : '6';

	if (p->direct) {
		open_element(f, verb, p);
		return;
	}
	if (is_any(&p->host))
		add(f, "%s element inet %s all%c { %s . %u", verb, f->table, family, protocol_name(p->protocol),
		    p->host_port);
	else
		add(f, "%s element inet %s at%c { %s . %s . %u", verb, f->table, family, address_text(&p->host, host),
		    protocol_name(p->protocol), p->host_port);
	if (with_target)
		add(f, " : %s . %u", address_text(&p->to, to), p->to_port);
	add(f, " }\n");
}

void firewall_add_port(struct firewall *f, const struct firewall_port *p)
{
	port_element(f, "add", p, true);
}

void firewall_drop_port(struct firewall *f, const struct firewall_port *p)
{
	port_element(f, "delete", p, false);
}

int firewall_run(struct firewall *f, const char *commands, struct err *e)
{
	if (!*commands || nft_run_cmd_from_buffer(f->nft, commands) == 0)
		return 0;
	const char *why = nft_ctx_get_error_buffer(f->nft);
	const size_t line = strcspn(why, "\n");
	return err_set(e, -EIO, "nftables: %.*s", (int)line, why);
}

char *firewall_take(struct firewall *f)
{
	char *commands = f->len ? STEAL(f->batch) : xstrdup("");

	f->len = 0;
	return commands;
}

int firewall_commit(struct firewall *f, struct err *e)
{
	AUTO_FREE char *commands = firewall_take(f);

	return firewall_run(f, commands, e);
}

bool firewall_present(struct firewall *f)
{
	char command[64];

	snprintf(command, sizeof command, "list chain inet %s publish", f->table);
	return firewall_run(f, command, NULL) == 0;
}

int firewall_remove(struct firewall *f, struct err *e)
{
	char commands[256];

	/* Adding first, so that a table that is not there is no failure. */
	snprintf(commands, sizeof commands,
		 "add table inet %1$s\ndelete table inet %1$s\nadd table inet %2$s { flags owner; }\n"
		 "delete table inet %2$s\n",
		 f->table, f->keep);
	return firewall_run(f, commands, e);
}
