#include "lib/policy_admit.h"

#include <errno.h>
#include <stdio.h>

#include "lib/util.h"

/* Labels that begin so are the engine's own words about a container. */
#define ENGINE_LABELS "io.pouch."

struct row {
	enum admit_table table;
	const char *field;
	admit_check check;
};

static const struct row rows[] = {
#define ADMIT(table, field, check) {ADMIT_##table, field, admit_##check},
#include "lib/policy_admit.def"
#undef ADMIT
};

/* ---- denying ---- */

int admit_deny(struct admit *a, const char *value, const char *rule)
{
	err_set(a->e, -EPERM, "permission denied: %s: %.200s%s is not allowed by the rule %s of role %s", a->field,
		value, strlen(value) > 200 ? "…" : "", rule, a->role->name);
	if (a->e)
		a->e->status = 403;
	return -EPERM;
}

int admit_deny_json(struct admit *a, const json_t *value, const char *rule)
{
	AUTO_FREE char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	return admit_deny(a, text ? text : "?", rule);
}

int admit_match(struct admit *a, const struct policy_texts *patterns, const char *text, const char *rule)
{
	return policy_match_any(patterns, text) ? 0 : admit_deny(a, text, rule);
}

int admit_flag(struct admit *a, bool flag, const json_t *value, const char *rule)
{
	return flag ? 0 : admit_deny_json(a, value, rule);
}

int admit_join(struct admit *a, const char *ref, const char *value)
{
	if (a->rules->join == REACH_ANY)
		return 0;
	if (a->rules->join == REACH_NONE || !a->facts->container_owner)
		return admit_deny(a, value, "join");
	const char *owner = a->facts->container_owner(a->facts->arg, ref);
	return !owner || strcmp(owner, a->grant->principal) == 0 ? 0 : admit_deny(a, value, "join");
}

/* ---- walking ---- */

bool admit_is_set(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return json_object_size(value) > 0;
	case JSON_ARRAY:
		return json_array_size(value) > 0;
	case JSON_STRING:
		return json_string_length(value) > 0;
	case JSON_INTEGER:
		return json_integer_value(value) != 0;
	case JSON_REAL:
	case JSON_TRUE:
		return true;
	default:
		return false;
	}
}

static const struct row *find_row(enum admit_table table, const char *field)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].table == table && strcmp(rows[i].field, field) == 0)
			return &rows[i];
	return NULL;
}

int admit_object(struct admit *a, enum admit_table table, const char *prefix, const json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		const struct row *row = find_row(table, name);
		/* An empty list of masked paths asks for something: that nothing be masked. */
		bool set = admit_is_set(value) || (row && row->check == admit_paths && json_is_array(value));
		char field[sizeof a->field];

		if (!set)
			continue;
		snprintf(field, sizeof field, "%s%s", prefix, name);
		snprintf(a->field, sizeof a->field, "%s", field);
		int r = row ? row->check(a, value)
			    : admit_deny_json(a, value,
					      "that a field without a rule is refused "
					      "(\"containers\": \"any\" takes all)");
		if (r < 0)
			return r;
	}
	return 0;
}

int admit_nothing(struct admit *a, const json_t *value)
{
	(void)a;
	(void)value;
	return 0;
}

int admit_host_config(struct admit *a, const json_t *value)
{
	return admit_object(a, ADMIT_HOST, "HostConfig.", value);
}

int admit_networking(struct admit *a, const json_t *value)
{
	const char *name, *key;
	json_t *endpoint, *endpoints = json_object_get(value, "EndpointsConfig");
	json_t *other;

	json_object_foreach((json_t *)value, key, other) {
		snprintf(a->field, sizeof a->field, "NetworkingConfig.%s", key);
		if (other != endpoints && admit_is_set(other))
			return admit_deny_json(a, other, "that a field without a rule is refused");
	}
	json_object_foreach(endpoints, name, endpoint) {
		char prefix[200];
		snprintf(prefix, sizeof prefix, "NetworkingConfig.EndpointsConfig.%.120s.", name);
		snprintf(a->field, sizeof a->field, "NetworkingConfig.EndpointsConfig");
		int r = admit_match(a, &a->rules->networks, name, "networks");
		if (r == 0)
			r = admit_object(a, ADMIT_ENDPOINT, prefix, endpoint);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A label that gives a container a role is itself a power. */
int admit_labels(struct admit *a, const json_t *value)
{
	const struct policy *p = a->grant->policy;
	const char *name;
	json_t *text;

	json_object_foreach((json_t *)value, name, text) {
		snprintf(a->field, sizeof a->field, "Labels.%.200s", name);
		if (str_starts(name, ENGINE_LABELS))
			return admit_deny_json(a, text, "that labels beginning " ENGINE_LABELS " are the engine's");
		for (size_t i = 0; i < p->nbindings && !a->rules->role_labels; i++)
			for (size_t k = 0; k < p->bindings[i].label_names.n; k++)
				if (strcmp(p->bindings[i].label_names.v[k], name) == 0)
					return admit_deny_json(a, text, "role-labels");
	}
	return 0;
}

/* ---- roles ---- */

static int by_rules(struct admit *a, const json_t *doc)
{
	int r = 0;

	if (a->rules->anything)
		return 0;
	switch (a->kind) {
	case POLICY_CREATE:
		r = admit_object(a, ADMIT_CONFIG, "", doc);
		return r < 0 ? r : admit_limits(a, json_object_get(doc, "HostConfig"));
	case POLICY_UPDATE:
		r = admit_object(a, ADMIT_HOST, "", doc);
		return r < 0 ? r : admit_limits(a, doc);
	case POLICY_EXEC:
		return admit_object(a, ADMIT_EXEC, "", doc);
	case POLICY_VOLUME:
		return admit_object(a, ADMIT_VOLUME, "", doc);
	case POLICY_NETWORK:
		return admit_object(a, ADMIT_NETWORK, "", doc);
	case POLICY_CONNECT:
		return admit_networking(a, doc);
	}
	return admit_deny(a, "this kind of document", "that what is not known is refused");
}

/* Labels of the engine's own may be set by nobody, not even by who may do anything. */
static int engine_labels(const json_t *doc, struct err *e)
{
	const char *name;
	json_t *text;

	json_object_foreach(json_object_get(doc, "Labels"), name, text) {
		if (str_starts(name, ENGINE_LABELS)) {
			err_set(e, -EPERM,
				"permission denied: Labels.%.200s: labels beginning " ENGINE_LABELS " are the engine's",
				name);
			if (e)
				e->status = 403;
			return -EPERM;
		}
	}
	return 0;
}

static int no_role(const struct policy_grant *g, const char *permission, struct err *e)
{
	err_set(e, -EPERM, "permission denied: %s has no permission %s", g->principal, permission);
	if (e)
		e->status = 403;
	return -EPERM;
}

/* Some role must let `decide` pass, and the ceiling too; the first role's refusal is the answer when none does. */
static int decide_by_roles(struct admit *a, const char *permission, int (*decide)(struct admit *a, const void *what),
			   const void *what)
{
	const struct policy_grant *g = a->grant;
	struct err first = {0}, again = {0}, *e = a->e;
	int r = no_role(g, permission, &first);
	bool one = false;

	for (size_t i = 0; i < g->nroles; i++) {
		if (!policy_role_allows(g->roles[i], permission))
			continue;
		a->role = g->roles[i];
		a->rules = &a->role->rules;
		a->e = one ? &again : &first;
		one = true;
		r = decide(a, what);
		if (r == 0)
			break;
	}
	if (r == 0 && g->ceiling) {
		a->role = g->ceiling;
		a->rules = &a->role->rules;
		a->e = &first;
		r = policy_role_allows(a->role, permission) ? decide(a, what) : no_role(g, permission, &first);
	}
	if (r < 0 && e)
		*e = first;
	a->e = e;
	return r;
}

/* The engine's own rules for images; the first one that matches counts, and it counts for everybody. */
static int image_rules(const struct policy *p, const char *name, bool by_digest, struct err *e)
{
	for (size_t i = 0; i < p->nimages; i++) {
		const struct policy_image_rule *rule = &p->images[i];
		if (!policy_match(rule->match, name))
			continue;
		if (!rule->deny && (!rule->require_digest || by_digest))
			return 0;
		err_set(e, -EPERM, "permission denied: Image: %.300s: images %s %s by the policy's rule images[%zu]",
			name, rule->match, rule->deny ? "are denied" : "must be named by digest, as name@sha256:...,",
			i);
		if (e)
			e->status = 403;
		return -EPERM;
	}
	return 0;
}

size_t policy_image_keys(const struct policy *p, const char *name, const char *const **keys, size_t *rule)
{
	for (size_t i = 0; i < p->nimages; i++) {
		if (!policy_match(p->images[i].match, name))
			continue;
		*keys = (const char *const *)p->images[i].signed_by.v;
		if (rule)
			*rule = i;
		return p->images[i].signed_by.n;
	}
	return 0;
}

static int decide_document(struct admit *a, const void *what)
{
	a->field[0] = 0;
	return by_rules(a, what);
}

int policy_admit(const struct policy_grant *g, const char *permission, enum policy_document kind,
		 const struct json_t *doc, const struct policy_facts *facts, struct err *e)
{
	static const struct policy_facts nothing;
	struct admit a = {.grant = g, .kind = kind, .facts = facts ? facts : &nothing, .e = e};
	int r = kind == POLICY_CREATE ? engine_labels(doc, e) : 0;

	if (r == 0 && kind == POLICY_CREATE && a.facts->image)
		r = image_rules(g->policy, a.facts->image, a.facts->by_digest, e);
	return r < 0 ? r : decide_by_roles(&a, permission, decide_document, doc);
}

/* ---- binds ---- */

struct bind {
	const char *path;
	bool writable;
};

static bool beneath(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	if (len == 1) /* "/" */
		return true;
	return strncmp(dir, path, len) == 0 && (path[len] == 0 || path[len] == '/');
}

static int decide_bind(struct admit *a, const void *what)
{
	const struct bind *b = what;
	bool here = false;

	if (a->rules->anything)
		return 0;
	for (size_t i = 0; i < a->rules->binds.n; i++) {
		const struct policy_bind *rule = &a->rules->binds.v[i];
		if (!beneath(rule->path, b->path))
			continue;
		if (!b->writable || !rule->read_only)
			return 0;
		here = true;
	}
	snprintf(a->field, sizeof a->field, "HostConfig.Binds");
	return admit_deny(a, b->path, here ? "binds (read-only)" : "binds");
}

int policy_admit_bind(const struct policy_grant *g, const char *permission, const char *real_path, bool writable,
		      struct err *e)
{
	struct admit a = {.grant = g, .e = e};
	const struct bind b = {real_path, writable};

	return decide_by_roles(&a, permission, decide_bind, &b);
}

/* ---- images ---- */

static int decide_image(struct admit *a, const void *what)
{
	const char *name = what;

	if (a->rules->anything || policy_match_any(&a->rules->images, name))
		return 0;
	snprintf(a->field, sizeof a->field, "Image");
	return admit_deny(a, name, "images");
}

int policy_admit_image(const struct policy_grant *g, const char *permission, const char *name, bool by_digest,
		       struct err *e)
{
	struct admit a = {.grant = g, .e = e};
	int r = image_rules(g->policy, name, by_digest, e);

	return r < 0 ? r : decide_by_roles(&a, permission, decide_image, name);
}

/* `Image` of a create: by its full name, which the owner has found out. */
int admit_image(struct admit *a, const json_t *value)
{
	static const char *const any = "*";

	for (size_t i = 0; i < a->rules->images.n; i++)
		if (strcmp(a->rules->images.v[i], any) == 0)
			return 0;
	if (!a->facts->image)
		return admit_deny_json(a, value, "images (which needs the image's name, not its id)");
	return admit_match(a, &a->rules->images, a->facts->image, "images");
}
