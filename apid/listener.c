#include "apid/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "apid/connection.h"
#include "apid/tls.h"
#include "lib/log.h"
#include "lib/util.h"

#define ACCEPTS_PER_TURN 64
#define FILES_KEPT	 512 /* descriptors for pipes and channels, beside the connections */

/* ---- how many connections a client has ---- */

static struct client_count *find_count(struct apid *a, uint64_t key)
{
	struct client_count *free_slot = NULL;

	for (size_t i = 0; i < a->ncounts; i++) {
		if (a->counts[i].n && a->counts[i].key == key)
			return &a->counts[i];
		if (!a->counts[i].n)
			free_slot = &a->counts[i];
	}
	if (!free_slot) {
		a->counts = xrealloc(a->counts, a->ncounts + 1, sizeof *a->counts);
		free_slot = &a->counts[a->ncounts++];
	}
	*free_slot = (struct client_count){.key = key};
	return free_slot;
}

static bool count(struct apid *a, uint64_t key)
{
	struct client_count *c = find_count(a, key);

	if (c->n >= a->config->limits_connections_per_uid || a->nconnections >= a->config->limits_connections ||
	    a->nconnections >= a->max_connections)
		return false;
	c->n++;
	return true;
}

void listener_uncount(struct apid *a, uint64_t key)
{
	struct client_count *c = find_count(a, key);

	if (c->n)
		c->n--;
}

/* A UNIX client counts by its uid, a remote one by its address. */
static uint64_t key_of(int fd, const struct sockaddr_storage *from)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	uint64_t high, low;

	if (from->ss_family == AF_INET)
		return 1ull << 32 | ((const struct sockaddr_in *)(const void *)from)->sin_addr.s_addr;
	if (from->ss_family == AF_INET6) {
		const unsigned char *p = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr.s6_addr;
		memcpy(&high, p, 8);
		memcpy(&low, p + 8, 8);
		return (high ^ low * 0x9e3779b97f4a7c15u) | 1ull << 63;
	}
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? cred.uid : UINT32_MAX;
}

/* ---- accepting ---- */

static void prepare_tcp(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void welcome(struct listener *l, int take_fd, const struct sockaddr_storage *from)
{
	static const char busy[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
		"Connection: close\r\nContent-Length: 40\r\n\r\n{\"message\":\"busy: too many connections\"}";
	AUTO_CLOSE int fd = take_fd;
	uint64_t key = key_of(fd, from);

	if (!count(l->apid, key)) {
		if (!l->tls)
			send(fd, busy, sizeof busy - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (!l->local)
		prepare_tcp(fd);
	connection_new(l->apid, l, STEAL_FD(fd), key);
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
	static const struct timeval pause = {.tv_usec = 100000};
	struct listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t n = sizeof from;
		int fd = accept4(listen_fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			welcome(l, fd, &from);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			log_error("accept: %s", strerror(errno));
			event_del(l->acceptable);
			event_add(l->again, &pause);
		}
		return;
	}
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	event_add(l->acceptable, NULL);
}

int listener_add(struct apid *a, int fd, uint32_t index, struct err *e)
{
	int domain = 0;
	socklen_t n = sizeof domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0)
		return err_sys(e, -errno, "listener %u", index);
	int r = fd_set_nonblock(fd, e);
	if (r < 0)
		return r;
	const struct config_listener *config = &a->config->listeners.v[index];
	struct ssl_ctx_st *tls = NULL;
	if (config->type == LISTENER_TLS)
		r = tls_context_new(config->tls_cert, config->tls_key, config->tls_ca, &tls, e);
	if (r < 0)
		return r;
	a->listeners = xrealloc(a->listeners, a->nlisteners + 1, sizeof *a->listeners);
	a->listeners[a->nlisteners] =
		(struct listener){.apid = a, .fd = fd, .index = index, .local = domain == AF_UNIX, .tls = tls};
	a->nlisteners++;
	return 0;
}

void listener_start_all(struct apid *a)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		abort();
	a->max_connections = files.rlim_cur > 2 * FILES_KEPT ? files.rlim_cur - FILES_KEPT : files.rlim_cur / 2;
	for (size_t i = 0; i < a->nlisteners; i++) {
		struct listener *l = &a->listeners[i];
		l->acceptable = event_new(a->base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
		l->again = evtimer_new(a->base, on_again, l);
		event_add(l->acceptable, NULL);
	}
}

void listener_stop_all(struct apid *a)
{
	for (size_t i = 0; i < a->nlisteners; i++) {
		struct listener *l = &a->listeners[i];
		if (l->acceptable)
			event_free(STEAL(l->acceptable));
		if (l->again)
			event_free(STEAL(l->again));
	}
}

void listener_free_all(struct apid *a)
{
	listener_stop_all(a);
	for (size_t i = 0; i < a->nlisteners; i++)
		tls_context_free(a->listeners[i].tls);
	free(STEAL(a->listeners));
	a->nlisteners = 0;
}
