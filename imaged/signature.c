#include "imaged/signature.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "imaged/stage.h"
#include "lib/json.h"

#define SIGNATURE_MAX 2048
#define RSA_BITS_MIN  2048

static void key_free(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void context_free(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

static EVP_PKEY *read_key(const char *pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	int kind = key ? EVP_PKEY_get_base_id(key) : 0;

	BIO_free(bio);
	if (kind == EVP_PKEY_EC || kind == EVP_PKEY_ED25519 ||
	    (kind == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN))
		return key;
	err_set(e, -EINVAL, "the policy's key is neither ECDSA, nor Ed25519, nor RSA of %d bits and more",
		RSA_BITS_MIN);
	EVP_PKEY_free(key);
	return NULL;
}

int signature_key_id(const char *pem, char out[SIGNATURE_KEY_ID], struct err *e)
{
	CLEANUP(key_free) EVP_PKEY *key = read_key(pem, e);
	unsigned char *der = NULL;
	char digest[DIGEST_TEXT_SIZE];
	int len = key ? i2d_PUBKEY(key, &der) : 0;

	if (!key)
		return -EINVAL;
	if (len <= 0)
		abort();
	stage_digest(der, (size_t)len, digest);
	OPENSSL_free(der);
	memcpy(out, digest_hex(digest), SIGNATURE_KEY_ID);
	return 0;
}

static bool signed_by(EVP_PKEY *key, const char *payload, size_t len, const unsigned char *signature, size_t size)
{
	CLEANUP(context_free) EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *hash = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

	return context && EVP_DigestVerifyInit(context, NULL, hash, NULL, key) == 1 &&
	       EVP_DigestVerify(context, signature, size, (const unsigned char *)payload, len) == 1;
}

/* Strict: no blanks, the padding in its place. Returns the number of bytes or -EINVAL. */
static int decode_base64(const char *text, unsigned char out[SIGNATURE_MAX])
{
	size_t len = strlen(text), pad = 0;

	if (len == 0 || len % 4 || len / 4 * 3 > SIGNATURE_MAX)
		return -EINVAL;
	while (pad < 2 && text[len - 1 - pad] == '=')
		pad++;
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	if (strspn(text, digits) != len - pad)
		return -EINVAL;
	int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
	return n < 0 ? -EINVAL : n - (int)pad;
}

/* ---- the payload ---- */

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* {"critical":{"identity":{"docker-reference"},"image":{"docker-manifest-digest"},"type"},"optional":…} */
static int check_payload(const struct signature_wanted *w, const char *payload, size_t len, struct err *e)
{
	const struct json_bounds bounds = JSON_BOUNDS_DOCUMENT;
	AUTO_JSON json_t *doc = NULL;
	struct reference named;
	struct err why;

	if (json_parse(payload, len, &bounds, &doc, &why) < 0)
		return err_set(e, -EACCES, "its payload is no JSON");
	const json_t *critical = json_object_get(doc, "critical");
	const char *digest = text_at(json_object_get(critical, "image"), "docker-manifest-digest");
	const char *name = text_at(json_object_get(critical, "identity"), "docker-reference");
	if (!str_eq(text_at(critical, "type"), "cosign container image signature"))
		return err_set(e, -EACCES, "its payload is of another type");
	if (!str_eq(digest, w->digest))
		return err_set(e, -EACCES, "it is for another image, %.80s",
			       digest_valid(digest) ? digest : "without a digest");
	if (reference_parse(name, w->repository->domain, &named, &why) < 0 ||
	    !str_eq(named.domain, w->repository->domain) || !str_eq(named.path, w->repository->path))
		return err_set(e, -EACCES, "it is for another repository");
	return 0;
}

int signature_check(const struct signature_wanted *w, const char *payload, size_t len, const char *signature,
		    char key_id[SIGNATURE_KEY_ID], struct err *e)
{
	unsigned char raw[SIGNATURE_MAX];
	int size = decode_base64(signature, raw);

	if (size < 0)
		return err_set(e, -EACCES, "it is no base64 text");
	for (size_t i = 0; i < w->nkeys; i++) {
		struct err why;
		CLEANUP(key_free) EVP_PKEY *key = read_key(w->keys[i], &why);
		if (!key || !signed_by(key, payload, len, raw, (size_t)size))
			continue;
		/* Only now: what nobody has signed is not worth a word. */
		int rc = check_payload(w, payload, len, e);
		return rc < 0 ? rc : signature_key_id(w->keys[i], key_id, e);
	}
	return err_set(e, -EACCES, "no key of the policy has made it");
}
