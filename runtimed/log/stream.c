/* stream: a connection to a collector: TCP, TLS, UDP, UNIX; each step ends in time. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/util.h"
#include "runtimed/log/log.h"

bool stream_is_open(const struct stream *s)
{
	return s->fd >= 0;
}

void stream_close(struct stream *s)
{
	if (s->ssl)
		SSL_free(STEAL(s->ssl));
	if (s->context)
		SSL_CTX_free(STEAL(s->context));
	fd_close(&s->fd);
}

static int wait_for(int fd, short events, unsigned ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, (int)ms);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

/* ---- sockets ---- */

static bool is_datagram(const struct log_address *a)
{
	return str_eq(a->scheme, "udp") || str_eq(a->scheme, "unixgram");
}

static int connect_to(int fd, const struct sockaddr *to, socklen_t len, unsigned ms)
{
	int code = 0;
	socklen_t n = sizeof code;

	if (connect(fd, to, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	int r = wait_for(fd, POLLOUT, ms);
	if (r < 0)
		return r;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0 ? -errno : -code;
}

static int open_unix(const struct stream_how *how, int *out, struct err *e)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = how->address.host;

	if (strlen(path) >= sizeof to.sun_path)
		return err_set(e, -ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes", path,
			       sizeof to.sun_path - 1);
	memcpy(to.sun_path, path, strlen(path) + 1);
	AUTO_CLOSE int fd = socket(
		AF_UNIX, (is_datagram(&how->address) ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -errno : connect_to(fd, (struct sockaddr *)&to, sizeof to, how->timeout_ms);
	if (r < 0)
		return err_sys(e, r, "connect to %s", path);
	*out = STEAL_FD(fd);
	return 0;
}

static int open_inet(const struct stream_how *how, int *out, struct err *e)
{
	const struct addrinfo hints = {.ai_socktype = is_datagram(&how->address) ? SOCK_DGRAM : SOCK_STREAM};
	const struct log_address *a = &how->address;
	struct addrinfo *list;
	const int on = 1;
	int r = -EHOSTUNREACH;

	int g = getaddrinfo(a->host, a->port, &hints, &list);
	if (g)
		return err_set(e, -EHOSTUNREACH, "look up %s: %s", a->host, gai_strerror(g));
	for (struct addrinfo *i = list; i && r < 0; i = i->ai_next) {
		AUTO_CLOSE int fd = socket(i->ai_family, i->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		r = fd < 0 ? -errno : connect_to(fd, i->ai_addr, i->ai_addrlen, how->timeout_ms);
		if (r < 0)
			continue;
		if (hints.ai_socktype == SOCK_STREAM) {
			setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		}
		*out = STEAL_FD(fd);
	}
	freeaddrinfo(list);
	return r < 0 ? err_sys(e, r, "connect to %s:%s", a->host, a->port) : 0;
}

/* ---- TLS ---- */

static int tls_fail(struct err *e, const char *what)
{
	char text[200];

	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	return err_set(e, -EPROTO, "TLS: %s: %s", what, text);
}

static int tls_context(struct stream *s, const struct stream_how *how, struct err *e)
{
	s->context = SSL_CTX_new(TLS_client_method());
	if (!s->context)
		return tls_fail(e, "make a context");
	SSL_CTX_set_min_proto_version(s->context, TLS1_2_VERSION);
	SSL_CTX_set_mode(s->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(s->context, how->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (how->ca ? !SSL_CTX_load_verify_file(s->context, how->ca) : !SSL_CTX_set_default_verify_paths(s->context))
		return tls_fail(e, how->ca ? how->ca : "the system's certificates");
	if (how->cert && SSL_CTX_use_certificate_chain_file(s->context, how->cert) != 1)
		return tls_fail(e, how->cert);
	if (how->key && SSL_CTX_use_PrivateKey_file(s->context, how->key, SSL_FILETYPE_PEM) != 1)
		return tls_fail(e, how->key);
	return 0;
}

/* After an SSL call that returned `n`: 0 when it is to be made again. */
static int tls_wait(struct stream *s, const struct stream_how *how, int n, const char *what, struct err *e)
{
	int r;

	switch (SSL_get_error(s->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		r = wait_for(s->fd, POLLIN, how->timeout_ms);
		break;
	case SSL_ERROR_WANT_WRITE:
		r = wait_for(s->fd, POLLOUT, how->timeout_ms);
		break;
	default:
		return tls_fail(e, what);
	}
	return r < 0 ? err_sys(e, r, "TLS: %s", what) : 0;
}

static int tls_start(struct stream *s, const struct stream_how *how, struct err *e)
{
	const char *name = how->name ? how->name : how->address.host;
	int n, r = tls_context(s, how, e);

	if (r < 0)
		return r;
	s->ssl = SSL_new(s->context);
	if (!s->ssl || !SSL_set_fd(s->ssl, s->fd))
		return tls_fail(e, "make a connection");
	X509_VERIFY_PARAM *check = SSL_get0_param(s->ssl);
	/* An address stands elsewhere in a certificate than a name. */
	if (!X509_VERIFY_PARAM_set1_ip_asc(check, name)) {
		SSL_set_tlsext_host_name(s->ssl, name);
		SSL_set1_host(s->ssl, name);
	}
	while ((n = SSL_connect(s->ssl)) != 1) {
		r = tls_wait(s, how, n, name, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the connection ---- */

int stream_open(struct stream *s, const struct stream_how *how, struct err *e)
{
	*s = (struct stream){.fd = -1};
	int r = str_starts(how->address.scheme, "unix") ? open_unix(how, &s->fd, e) : open_inet(how, &s->fd, e);

	if (r == 0 && how->tls)
		r = tls_start(s, how, e);
	if (r < 0)
		stream_close(s);
	return r;
}

static int write_some(struct stream *s, const struct stream_how *how, const char *data, size_t len, size_t *done,
		      struct err *e)
{
	if (s->ssl) {
		size_t n = 0;
		int ok = SSL_write_ex(s->ssl, data, len, &n);
		*done += n;
		return ok ? 0 : tls_wait(s, how, ok, "write", e);
	}
	ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0) {
		*done += (size_t)n;
		return 0;
	}
	int r = errno == EAGAIN || errno == ENOBUFS ? wait_for(s->fd, POLLOUT, how->timeout_ms) : -errno;
	return r < 0 && r != -EINTR ? err_sys(e, r, "write to the collector") : 0;
}

int stream_write(struct stream *s, const struct stream_how *how, const void *data, size_t len, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		int r = write_some(s, how, (const char *)data + done, len - done, &done, e);
		if (r < 0)
			return r;
	}
	return 0;
}

ssize_t stream_read(struct stream *s, const struct stream_how *how, void *data, size_t size, struct err *e)
{
	for (;;) {
		int r;
		if (s->ssl) {
			int n = SSL_read(s->ssl, data, (int)size);
			if (n > 0 || SSL_get_error(s->ssl, n) == SSL_ERROR_ZERO_RETURN)
				return n > 0 ? n : 0;
			r = tls_wait(s, how, n, "read", e);
		} else {
			ssize_t n = recv(s->fd, data, size, 0);
			if (n >= 0)
				return n;
			r = errno == EAGAIN ? wait_for(s->fd, POLLIN, how->timeout_ms) : errno == EINTR ? 0 : -errno;
			if (r < 0)
				err_sys(e, r, "read from the collector");
		}
		if (r < 0)
			return r;
	}
}

bool stream_alive(const struct stream *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}
