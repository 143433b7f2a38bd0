#include "netd/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/util.h"

#define BACKLOG	      64
#define WAITING_BYTES (256 << 10) /* of questions by UDP: some hundred, while the worker is started again */
#define NO_RULES      "add table ip pouch_dns\ndelete table ip pouch_dns\n" /* also when there are none */

/*
 * No translation of addresses: that would track every connection of the container. Ports of this one address are
 * rewritten on the way out, in both directions, because both ends are in this namespace.
 */
static const char rules[] = NO_RULES "add table ip pouch_dns {\n"
				     "	chain output {\n"
				     "		type filter hook output priority raw; policy accept;\n"
				     "		ip daddr " RESOLVER_ADDRESS " udp dport 53 udp dport set %1$u\n"
				     "		ip daddr " RESOLVER_ADDRESS " tcp dport 53 tcp dport set %2$u\n"
				     "		ip saddr " RESOLVER_ADDRESS " udp sport %1$u udp sport set 53\n"
				     "		ip saddr " RESOLVER_ADDRESS " tcp sport %2$u tcp sport set 53\n"
				     "	}\n"
				     "}\n";

/* A socket on a port that the kernel chooses. */
static int open_socket(int type, int *out, unsigned *port, struct err *e)
{
	static const int waiting = WAITING_BYTES;
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof address;
	AUTO_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	inet_pton(AF_INET, RESOLVER_ADDRESS, &address.sin_addr);
	if (fd >= 0 && type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &waiting, sizeof waiting);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG)) || getsockname(fd, (struct sockaddr *)&address, &size))
		return err_sys(e, -errno, "make a socket on " RESOLVER_ADDRESS " of the container");
	*port = ntohs(address.sin_port);
	*out = STEAL_FD(fd);
	return 0;
}

static int run(const char *commands, struct err *e)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int rc = 0;

	if (!nft)
		return err_set(e, -EIO, "nftables cannot be used in the container's network namespace");
	nft_ctx_buffer_error(nft);
	nft_ctx_buffer_output(nft);
	if (nft_run_cmd_from_buffer(nft, commands)) {
		const char *why = nft_ctx_get_error_buffer(nft);
		rc = err_set(e, -EIO, "nftables in the container's network namespace: %.*s", (int)strcspn(why, "\n"),
			     why);
	}
	nft_ctx_free(nft);
	return rc;
}

static int redirect(unsigned udp, unsigned tcp, struct err *e)
{
	char commands[sizeof rules + 64];

	snprintf(commands, sizeof commands, rules, udp, tcp);
	return run(commands, e);
}

struct sockets {
	int udp, tcp;
};

static int open_inside(void *arg, struct err *e)
{
	struct sockets *s = arg;
	unsigned udp = 0, tcp = 0;
	int rc = open_socket(SOCK_DGRAM, &s->udp, &udp, e);

	if (rc == 0)
		rc = open_socket(SOCK_STREAM, &s->tcp, &tcp, e);
	return rc < 0 ? rc : redirect(udp, tcp, e);
}

static int close_inside(void *arg, struct err *e)
{
	(void)arg;
	return run(NO_RULES, e);
}

int resolver_close(struct links *l, int netns, struct err *e)
{
	return link_inside(l, netns, close_inside, NULL, e);
}

int resolver_open(struct links *l, int netns, int *udp, int *tcp, struct err *e)
{
	struct sockets s = {-1, -1};
	int rc = link_inside(l, netns, open_inside, &s, e);

	if (rc < 0) {
		fd_close(&s.udp);
		fd_close(&s.tcp);
		return err_prefix(e, "name server");
	}
	*udp = s.udp;
	*tcp = s.tcp;
	return 0;
}
