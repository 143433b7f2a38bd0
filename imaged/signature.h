/*
 * signature: is it true that the owner of a key has signed an image? Signatures are cosign's "simple signing": a
 * payload that names repository and digest, signed with ECDSA or RSA (PKCS #1 v1.5) over SHA-256, or with Ed25519
 * (github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md).
 */
#ifndef POUCH_IMAGED_SIGNATURE_H
#define POUCH_IMAGED_SIGNATURE_H

#include <stddef.h>

#include "lib/reference.h"
#include "lib/err.h"

#define SIGNATURE_PAYLOAD_MAX (64u << 10)
#define SIGNATURE_KEY_ID      65 /* SHA-256 of the key's DER form, in hexadecimal digits, NUL */

/* What must have been signed, and by whom. */
struct signature_wanted {
	const struct reference *repository; /* its domain and path */
	const char *digest;		    /* of the manifest or index that the reference names */
	const char *const *keys;	    /* public keys in PEM */
	size_t nkeys;
};

/*
 * Does `payload` name the image, and is `signature` (base64) one of it by one of the keys? `key` gets that key's id.
 * -EACCES says what is not so.
 */
int signature_check(const struct signature_wanted *w, const char *payload, size_t len, const char *signature,
		    char key[SIGNATURE_KEY_ID], struct err *e);

/* The id of a key. -EINVAL when it is none that can verify: ECDSA, RSA of 2048 bits and more, Ed25519. */
int signature_key_id(const char *pem, char out[SIGNATURE_KEY_ID], struct err *e);

#endif
