/* tls: TLS 1.2 and newer with verified client certificates: OpenSSL behind apid/transport.h. */
#ifndef POUCH_APID_TLS_H
#define POUCH_APID_TLS_H

#include <stddef.h>

#include "lib/err.h"

struct ssl_ctx_st;
struct ssl_st;

/*
 * Read key, certificate and authorities of a listener: before the sandbox. A client must show a certificate that one of
 * the authorities has signed. -EINVAL with file and reason. Free with tls_context_free().
 */
int tls_context_new(const char *cert, const char *key, const char *ca, struct ssl_ctx_st **out, struct err *e);
void tls_context_free(struct ssl_ctx_st *context);

/* The server's side of a connection on `fd`, which stays the caller's; the handshake happens as it is read. */
struct ssl_st *tls_accept(struct ssl_ctx_st *context, int fd);

/*
 * Who the client is, from its verified certificate: "CN=x,SAN=y,…", or "SERIAL=…" for one without usable names. The
 * caller's to free; NULL before the handshake is done, and when the names are too long.
 */
char *tls_names(struct ssl_st *ssl);

#endif
