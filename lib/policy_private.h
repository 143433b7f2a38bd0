/* policy_private: the inside of a policy, for lib/policy_*.c only. */
#ifndef POUCH_LIB_POLICY_PRIVATE_H
#define POUCH_LIB_POLICY_PRIVATE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/policy.h"

struct policy_texts {
	char **v;
	size_t n;
};

struct policy_bind {
	char *path;
	bool read_only;
};

struct policy_binds {
	struct policy_bind *v;
	size_t n;
};

struct policy_range {
	unsigned first, last;
};

struct policy_ports {
	struct policy_range *v;
	size_t n;
};

enum policy_reach { REACH_NONE, REACH_OWN, REACH_ANY };

/* A role's rules for what requests ask for; the rows are policy_rules.def. */
struct policy_rules {
	bool anything; /* "containers": "any": nothing is looked at */
#define RULE(kind, member, key, def, doc) POLICY_MEMBER_##kind(member)
#define POLICY_MEMBER_FLAG(m)		  bool m;
#define POLICY_MEMBER_PATTERNS(m)	  struct policy_texts m;
#define POLICY_MEMBER_LIMIT(m)		  int64_t m;
#define POLICY_MEMBER_REACH(m)		  enum policy_reach m;
#define POLICY_MEMBER_BINDS(m)		  struct policy_binds m;
#define POLICY_MEMBER_PORTS(m)		  struct policy_ports m;
#include "lib/policy_rules.def"
#undef RULE
};

struct policy_role {
	char *name;
	struct policy_texts permissions; /* patterns */
	struct policy_texts except;	 /* patterns that take away again */
	bool own;			 /* reaches the caller's own objects only */
	struct policy_rules rules;
};

struct policy_ids {
	uint32_t *v;
	size_t n;
};

struct policy_binding {
	const struct policy_role *role;
	struct policy_ids uids, gids;
	struct policy_texts listeners, certificates;
	struct policy_texts label_names, label_values; /* pairs, by place */
};

struct policy_image_rule {
	char *match; /* pattern */
	bool deny, require_digest;
	struct policy_texts signed_by; /* public keys in PEM; empty: no signature is asked for */
};

struct policy {
	unsigned references;
	struct policy_role **roles;
	size_t nroles;
	struct policy_binding *bindings;
	size_t nbindings;
	const struct policy_role *ceiling;
	struct policy_image_rule *images;
	size_t nimages;
};

struct policy_grant {
	struct policy *policy;
	const struct policy_role **roles;
	size_t nroles;
	const struct policy_role *ceiling; /* NULL: the kernel vouches for the caller */
	char *principal;
};

/* ---- policy_rules.c ---- */

/* The rows, in the order of the table. */
enum policy_rule_kind { RULE_FLAG, RULE_PATTERNS, RULE_LIMIT, RULE_REACH, RULE_BINDS, RULE_PORTS };

struct policy_rule_row {
	const char *key;
	enum policy_rule_kind kind;
	const char *def;
	size_t offset;
	const char *doc;
};

const struct policy_rule_row *policy_rule_rows(size_t *count);
void policy_rules_default(struct policy_rules *r);
/* One key's value from the file: 0, or -EINVAL with what was expected. Replaces what is there. */
int policy_rule_set(struct policy_rules *r, const struct policy_rule_row *row, const json_t *value, struct err *e);
void policy_rules_clean(struct policy_rules *r);

/* A list of texts from the file; `what` says what was expected. Replaces what is there. */
int policy_texts_set(struct policy_texts *t, const json_t *value, const char *what, struct err *e);
void policy_texts_add(struct policy_texts *t, const char *text);
void policy_texts_clean(struct policy_texts *t);

/* "net.*" stands for everything that begins with "net."; anything else for itself. */
bool policy_match(const char *pattern, const char *text);
bool policy_match_any(const struct policy_texts *patterns, const char *text);

/* ---- policy_grant.c ---- */

bool policy_role_allows(const struct policy_role *role, const char *permission);

/* ---- policy_builtin.c ---- */

/* policy.json that stands before every file: the built-in roles. */
extern const char policy_builtin_roles[];

/* ---- policy_keys.c ---- */

/* Public keys in PEM, or paths of such files, which are read, and replaced in `value` by what is in them. */
int policy_keys_set(struct policy_texts *keys, json_t *value, struct err *e);

/* ---- policy_ids.c ---- */

/* Numbers, or names that are looked up; `users` or groups. Names in `value` are replaced by their numbers. */
int policy_ids_set(struct policy_ids *ids, json_t *value, bool users, struct err *e);
/* The gid of the first UNIX listener's group; (gid_t)-1 when it is not known. */
gid_t policy_socket_group(const struct config *config);

#endif
