/* signature: what counts as signed, with keys made here. covers D-14 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "imaged/signature.h"
#include "lib/util.h"

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER  "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856"
#define TYPE   "cosign container image signature"

static EVP_PKEY *keys[4];
static char *pems[4];

static char *pem_of(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;

	PEM_write_bio_PUBKEY(bio, key);
	long n = BIO_get_mem_data(bio, &data);
	char *pem = xstrndup(data, (size_t)n);
	BIO_free(bio);
	return pem;
}

static int setup(void **state)
{
	(void)state;
	keys[0] = EVP_EC_gen("P-256");
	keys[1] = EVP_RSA_gen(2048);
	keys[2] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	keys[3] = EVP_RSA_gen(1024);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		pems[i] = pem_of(keys[i]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		EVP_PKEY_free(keys[i]);
		free(pems[i]);
	}
	return 0;
}

static char *payload(const char *name, const char *digest, const char *type)
{
	return xasprintf("{\"critical\":{\"identity\":{\"docker-reference\":\"%s\"},\"image\":"
			 "{\"docker-manifest-digest\":\"%s\"},\"type\":\"%s\"},\"optional\":null}",
			 name, digest, type);
}

static char *sign(EVP_PKEY *key, const char *text)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char raw[512], base64[1024];
	size_t n = sizeof raw;
	bool ed = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;

	assert_int_equal(EVP_DigestSignInit(c, NULL, ed ? NULL : EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(c, raw, &n, (const unsigned char *)text, strlen(text)), 1);
	EVP_MD_CTX_free(c);
	EVP_EncodeBlock(base64, raw, (int)n);
	return xstrdup((char *)base64);
}

/* What signature_check() says of a payload signed by keys[by], when keys[0…n-1] count. */
static int checked(const char *text, size_t by, size_t n, const char *signature, char *id)
{
	AUTO_FREE char *made = sign(keys[by], text);
	struct reference r;
	struct err e = {0};

	assert_int_equal(reference_parse("r.example/team/app", "docker.io", &r, &e), 0);
	const struct signature_wanted w = {
		.repository = &r, .digest = DIGEST, .keys = (const char *const *)pems, .nkeys = n};
	return signature_check(&w, text, strlen(text), signature ? signature : made, id, &e);
}

static void test_kinds_of_keys(void **state)
{
	AUTO_FREE char *text = payload("r.example/team/app", DIGEST, TYPE);
	char id[SIGNATURE_KEY_ID], want[SIGNATURE_KEY_ID];
	struct err e;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(checked(text, i, 3, NULL, id), 0);
		assert_int_equal(signature_key_id(pems[i], want, &e), 0);
		assert_string_equal(id, want);
	}
	/* Too short a key is none. */
	assert_int_equal(checked(text, 3, 4, NULL, id), -EACCES);
	assert_int_equal(signature_key_id(pems[3], want, &e), -EINVAL);
	const char *empty = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
	assert_int_equal(signature_key_id(empty, want, &e), -EINVAL);
}

static void test_who_counts(void **state)
{
	AUTO_FREE char *text = payload("r.example/team/app", DIGEST, TYPE);
	char id[SIGNATURE_KEY_ID];

	(void)state;
	assert_int_equal(checked(text, 1, 1, NULL, id), -EACCES);
	assert_int_equal(checked(text, 2, 2, NULL, id), -EACCES);
	assert_int_equal(checked(text, 0, 0, NULL, id), -EACCES);
}

static void test_what_is_signed(void **state)
{
	static const struct {
		const char *name, *digest, *type;
		int result;
	} rows[] = {
		{"r.example/team/app", DIGEST, TYPE, 0},
		{"r.example/team/app:1", DIGEST, TYPE, 0},
		{"r.example/team/app", OTHER, TYPE, -EACCES},
		{"r.example/team/app", "", TYPE, -EACCES},
		{"r.example/team/other", DIGEST, TYPE, -EACCES},
		{"other.example/team/app", DIGEST, TYPE, -EACCES},
		{"", DIGEST, TYPE, -EACCES},
		{"r.example/team/app", DIGEST, "something else", -EACCES},
	};
	char id[SIGNATURE_KEY_ID];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = payload(rows[i].name, rows[i].digest, rows[i].type);
		if (checked(text, 0, 1, NULL, id) != rows[i].result)
			fail_msg("row %zu", i);
	}
	assert_int_equal(checked("{}", 0, 1, NULL, id), -EACCES);
	assert_int_equal(checked("[", 0, 1, NULL, id), -EACCES);
	assert_int_equal(checked("{\"critical\":[]}", 0, 1, NULL, id), -EACCES);
}

static void test_damage(void **state)
{
	AUTO_FREE char *text = payload("r.example/team/app", DIGEST, TYPE);
	AUTO_FREE char *other = payload("r.example/team/app", DIGEST, TYPE " ");
	AUTO_FREE char *good = sign(keys[0], text);
	char id[SIGNATURE_KEY_ID];
	static const char *const bad[] = {"", "=", "====", "AAAA", "A", "a b=", "AAAA\nAAA=", "AA=A", "!!!!"};

	(void)state;
	assert_int_equal(checked(text, 0, 1, good, id), 0);
	assert_int_equal(checked(other, 0, 1, good, id), -EACCES);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(checked(text, 0, 1, bad[i], id), -EACCES);
	/* The last digit before the padding has bits that mean nothing. */
	for (size_t i = 0; i + 4 < strlen(good); i += 7) {
		char before = good[i];
		good[i] = before == 'A' ? 'B' : 'A';
		assert_int_equal(checked(text, 0, 1, good, id), -EACCES);
		good[i] = before;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_of_keys),
		cmocka_unit_test(test_who_counts),
		cmocka_unit_test(test_what_is_signed),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
