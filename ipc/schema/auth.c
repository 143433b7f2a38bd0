/* Credentials for registries: POST /auth, X-Registry-Auth, X-Registry-Config. */
#include "ipc/schema/rows.h"

#define SECRET_MAX 65536

static const struct schema_object schema_auth_config_object = {
	.name = "AuthConfig",
	.doc = "Credentials for a registry.",
	.fields =
		(const struct schema_field[]){
			TEXT("username", G_BYTES, 1024, C_PLAIN, "User.", .spec = IN_DOCKER),
			TEXT("password", G_BYTES, SECRET_MAX, C_SECRET, "Password.", .spec = IN_DOCKER),
			TEXT("auth", G_BASE64, SECRET_MAX, C_SECRET, "User and password as user:password in base64.",
			     .spec = IN_CLIENTS),
			TEXT("email", G_BYTES, 1024, C_PLAIN, "Taken; registries ask no more for it.",
			     .spec = IN_DOCKER),
			TEXT("serveraddress", G_WORD, 1024, C_PLAIN, "Registry.", .spec = IN_DOCKER),
			TEXT("identitytoken", G_BYTES, SECRET_MAX, C_SECRET,
			     "Token that gets tokens, instead of a password.", .spec = IN_DOCKER),
			TEXT("registrytoken", G_BYTES, SECRET_MAX, C_SECRET, "Bearer token for the registry itself.",
			     .spec = IN_CLIENTS),
			{0},
		},
};
ROOT_OBJECT(auth_config);
OBJECT_ELEMENT(auth, auth_config);

const struct schema_field schema_auth_configs = {.type = S_MAP, .rule = G_WORD, .of = &auth, .max = 256};
