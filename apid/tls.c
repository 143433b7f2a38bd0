#include "apid/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/util.h"

#define NAMES_MAX 1000

static int failed(struct err *e, const char *what, const char *file)
{
	unsigned long code = ERR_peek_error(); /* the first says why, the later ones what it was needed for */
	const char *why = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
	int r = err_set(e, -EINVAL, "%s: %s: %s", file, what, why ? why : "no reason is known");

	ERR_clear_error();
	return r;
}

/* HTTP/1.1 for who asks what is spoken; others get it anyway. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
			   unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen = NULL;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int load(SSL_CTX *c, const char *cert, const char *key, const char *ca, struct err *e)
{
	if (SSL_CTX_use_certificate_chain_file(c, cert) != 1)
		return failed(e, "no certificate chain", cert);
	if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
		return failed(e, "no private key", key);
	if (SSL_CTX_check_private_key(c) != 1)
		return failed(e, "not the key of the certificate", key);
	if (SSL_CTX_load_verify_locations(c, ca, NULL) != 1)
		return failed(e, "no certificates", ca);
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
	if (!names)
		return failed(e, "no certificates", ca);
	SSL_CTX_set_client_CA_list(c, names);
	return 0;
}

int tls_context_new(const char *cert, const char *key, const char *ca, struct ssl_ctx_st **out, struct err *e)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	if (!c)
		return failed(e, "TLS", cert);
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	/* Each connection proves its certificate anew: nothing outlives a changed authority. */
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 0);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_purpose(c, X509_PURPOSE_SSL_CLIENT);
	SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
	int r = load(c, cert, key, ca, e);
	if (r < 0) {
		SSL_CTX_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void tls_context_free(struct ssl_ctx_st *context)
{
	SSL_CTX_free(context);
}

struct ssl_st *tls_accept(struct ssl_ctx_st *context, int fd)
{
	SSL *ssl = SSL_new(context);

	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		abort(); /* for lack of memory only */
	SSL_set_accept_state(ssl);
	return ssl;
}

/* ---- names ---- */

struct names {
	char text[NAMES_MAX];
	size_t len;
	bool too_long;
};

/* Names with a comma, or with bytes that are no plain text, could be read as another name: they are left out. */
static void add(struct names *n, const char *kind, const unsigned char *name, int len)
{
	if (len <= 0)
		return;
	for (int i = 0; i < len; i++)
		if (name[i] <= 0x20 || name[i] >= 0x7f || name[i] == ',')
			return;
	int wrote =
		snprintf(n->text + n->len, sizeof n->text - n->len, "%s%s=%.*s", n->len ? "," : "", kind, len, name);
	if (wrote < 0 || (size_t)wrote >= sizeof n->text - n->len)
		n->too_long = true;
	else
		n->len += (size_t)wrote;
}

static void add_common_name(struct names *n, X509 *cert)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	unsigned char *text = NULL;

	/* The last one is the most specific; earlier ones are not looked at. */
	int at = -1, last = -1;
	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
		last = at;
	if (last < 0)
		return;
	int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
	add(n, "CN", text, len);
	OPENSSL_free(text);
}

static void add_alternative_names(struct names *n, X509 *cert)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
		if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI)
			add(n, "SAN", ASN1_STRING_get0_data(name->d.ia5), ASN1_STRING_length(name->d.ia5));
	}
	GENERAL_NAMES_free(list);
}

static void add_serial(struct names *n, X509 *cert)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;

	add(n, "SERIAL", (const unsigned char *)(hex ? hex : "0"), (int)strlen(hex ? hex : "0"));
	OPENSSL_free(hex);
	BN_free(number);
}

char *tls_names(struct ssl_st *ssl)
{
	struct names n = {0};

	if (!SSL_is_init_finished(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return NULL;
	X509 *cert = SSL_get0_peer_certificate(ssl);
	if (!cert)
		return NULL;
	add_common_name(&n, cert);
	add_alternative_names(&n, cert);
	if (!n.len)
		add_serial(&n, cert);
	return n.too_long ? NULL : xstrdup(n.text);
}
