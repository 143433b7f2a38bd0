#include <errno.h>
#include <stdio.h>

#include "lib/config.h"
#include "lib/json.h"
#include "lib/policy_private.h"
#include "lib/util.h"

#define STEPS_MAX 8

/* Where in the file the parser is: on failure the steps stay, and say the line and the key. */
struct parse {
	const char *file, *text;
	size_t len;
	struct json_step steps[STEPS_MAX];
	size_t nsteps;
	struct policy *policy;
};

static void enter(struct parse *p, const char *key, size_t index)
{
	if (p->nsteps < STEPS_MAX)
		p->steps[p->nsteps] = (struct json_step){key, index};
	p->nsteps++;
}

static void leave(struct parse *p)
{
	p->nsteps--;
}

/* Put "file:line: key: " before the error. */
static int located(const struct parse *p, struct err *e)
{
	struct json_place place = {0};
	char key[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < p->nsteps && i < STEPS_MAX && used < sizeof key; i++) {
		const struct json_step *s = &p->steps[i];
		int n = s->key ? snprintf(key + used, sizeof key - used, "%s%s", i ? "." : "", s->key)
			       : snprintf(key + used, sizeof key - used, "[%zu]", s->index);
		used += n > 0 ? (size_t)n : 0;
	}
	if (p->text)
		json_locate(p->text, p->len, p->steps, p->nsteps < STEPS_MAX ? p->nsteps : STEPS_MAX, &place);
	return err_prefix(e, "%s:%u: %s", p->file, place.line ? place.line : 1, key[0] ? key : "policy");
}

/* ---- keys of an object, as a table ---- */

struct key {
	const char *name;
	int (*set)(struct parse *p, void *target, json_t *value, struct err *e);
	size_t offset; /* into the target */
};

static int each_key(struct parse *p, const struct key *keys, size_t nkeys, void *target, json_t *object, struct err *e)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return err_set(e, -EINVAL, "expected an object");
	json_object_foreach(object, name, value) {
		const struct key *found = NULL;
		for (size_t i = 0; i < nkeys && !found; i++)
			if (strcmp(keys[i].name, name) == 0)
				found = &keys[i];
		enter(p, name, 0);
		if (!found)
			return err_set(e, -EINVAL, "there is no such key");
		int r = found->set(p, (char *)target + found->offset, value, e);
		if (r < 0)
			return r;
		leave(p);
	}
	return 0;
}

static int set_bool(struct parse *p, void *target, json_t *value, struct err *e)
{
	(void)p;
	if (!json_is_boolean(value))
		return err_set(e, -EINVAL, "expected true or false");
	*(bool *)target = json_is_true(value);
	return 0;
}

static int set_text(struct parse *p, void *target, json_t *value, struct err *e)
{
	char **text = target;

	(void)p;
	if (!json_is_string(value) || json_string_length(value) == 0)
		return err_set(e, -EINVAL, "expected a text");
	free(*text);
	*text = xstrdup(json_string_value(value));
	return 0;
}

static int set_texts(struct parse *p, void *target, json_t *value, struct err *e)
{
	(void)p;
	return policy_texts_set(target, value, "texts", e);
}

/* ---- roles ---- */

static const struct policy_role *find_role(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->nroles; i++)
		if (strcmp(policy->roles[i]->name, name) == 0)
			return policy->roles[i];
	return NULL;
}

static int set_rules(struct parse *p, void *target, json_t *value, struct err *e)
{
	struct policy_rules *rules = target;
	size_t nrows;
	const struct policy_rule_row *rows = policy_rule_rows(&nrows);
	const char *key;
	json_t *rule;

	rules->anything = str_eq(json_string_value(value), "any");
	if (rules->anything)
		return 0;
	if (!json_is_object(value))
		return err_set(e, -EINVAL, "expected \"any\" or an object with rules");
	json_object_foreach(value, key, rule) {
		const struct policy_rule_row *row = NULL;
		for (size_t i = 0; i < nrows && !row; i++)
			if (strcmp(rows[i].key, key) == 0)
				row = &rows[i];
		enter(p, key, 0);
		int r = row ? policy_rule_set(rules, row, rule, e) : err_set(e, -EINVAL, "there is no such rule");
		if (r < 0)
			return r;
		leave(p);
	}
	return 0;
}

/* A permission that there is not would open or close nothing, without a word. */
static int set_permissions(struct parse *p, void *target, json_t *value, struct err *e)
{
	const struct policy_texts *t = target;
	int r = policy_texts_set(target, value, "permissions", e);

	(void)p;
	for (size_t i = 0; r == 0 && i < t->n; i++)
		if (!policy_permission_exists(t->v[i]))
			return err_set(e, -EINVAL,
				       "there is no permission %s: as container.start, or container.* for all "
				       "that begin so",
				       t->v[i]);
	return r;
}

static const struct key role_keys[] = {
	{"permissions", set_permissions, offsetof(struct policy_role, permissions)},
	{"except", set_permissions, offsetof(struct policy_role, except)},
	{"own", set_bool, offsetof(struct policy_role, own)},
	{"containers", set_rules, offsetof(struct policy_role, rules)},
};

static int set_roles(struct parse *p, void *target, json_t *value, struct err *e)
{
	struct policy *policy = p->policy;
	const char *name;
	json_t *object;

	(void)target;
	if (!json_is_object(value))
		return err_set(e, -EINVAL, "expected an object: name of the role → role");
	json_object_foreach(value, name, object) {
		enter(p, name, 0);
		if (find_role(policy, name))
			return err_set(e, -EINVAL, "this role is built in: give yours another name");
		if (!*name || strlen(name) > 64 || !grammar_check(G_VOLUME_NAME, name, strlen(name)))
			return err_set(e, -EINVAL, "a role's name is [a-zA-Z0-9][a-zA-Z0-9_.-]*, up to 64 long");
		struct policy_role *role = XNEW(struct policy_role);
		role->name = xstrdup(name);
		policy_rules_default(&role->rules);
		policy->roles = xrealloc(policy->roles, policy->nroles + 1, sizeof(*policy->roles));
		policy->roles[policy->nroles++] = role;
		int r = each_key(p, role_keys, ARRAY_LEN(role_keys), role, object, e);
		if (r < 0)
			return r;
		leave(p);
	}
	return 0;
}

/* ---- bindings ---- */

static int set_role_ref(struct parse *p, void *target, json_t *value, struct err *e)
{
	const struct policy_role **role = target;
	const char *name = json_string_value(value);

	*role = name ? find_role(p->policy, name) : NULL;
	return *role ? 0 : err_set(e, -EINVAL, "expected the name of a role (%s is none)", name ? name : "this");
}

static int set_uids(struct parse *p, void *target, json_t *value, struct err *e)
{
	(void)p;
	return policy_ids_set(target, value, true, e);
}

static int set_gids(struct parse *p, void *target, json_t *value, struct err *e)
{
	(void)p;
	return policy_ids_set(target, value, false, e);
}

static int set_labels(struct parse *p, void *target, json_t *value, struct err *e)
{
	struct policy_binding *b = target;
	const char *name;
	json_t *text;

	(void)p;
	if (!json_is_object(value) || json_object_size(value) == 0)
		return err_set(e, -EINVAL, "expected an object: name of the label → its value");
	json_object_foreach(value, name, text) {
		if (!json_is_string(text))
			return err_set(e, -EINVAL, "expected a text as the value of label %s", name);
		policy_texts_add(&b->label_names, name);
		policy_texts_add(&b->label_values, json_string_value(text));
	}
	return 0;
}

static const struct key binding_keys[] = {
	{"role", set_role_ref, offsetof(struct policy_binding, role)},
	{"uids", set_uids, offsetof(struct policy_binding, uids)},
	{"gids", set_gids, offsetof(struct policy_binding, gids)},
	{"listeners", set_texts, offsetof(struct policy_binding, listeners)},
	{"certificates", set_texts, offsetof(struct policy_binding, certificates)},
	{"container-labels", set_labels, 0},
};

static bool binds_nobody(const struct policy_binding *b)
{
	return !b->uids.n && !b->gids.n && !b->listeners.n && !b->certificates.n && !b->label_names.n;
}

static int set_bindings(struct parse *p, void *target, json_t *value, struct err *e)
{
	struct policy *policy = p->policy;
	size_t i;
	json_t *object;

	(void)target;
	if (!json_is_array(value))
		return err_set(e, -EINVAL, "expected a list of bindings");
	json_array_foreach(value, i, object) {
		enter(p, NULL, i);
		policy->bindings = xrealloc(policy->bindings, policy->nbindings + 1, sizeof *policy->bindings);
		struct policy_binding *b = &policy->bindings[policy->nbindings++];
		*b = (struct policy_binding){0};
		int r = each_key(p, binding_keys, ARRAY_LEN(binding_keys), b, object, e);
		if (r < 0)
			return r;
		if (!b->role)
			return err_set(e, -EINVAL, "expected the key role");
		if (binds_nobody(b))
			return err_set(
				e, -EINVAL,
				"it binds nobody: expected uids, gids, listeners, certificates or container-labels");
		leave(p);
	}
	return 0;
}

/* ---- images ---- */

static int set_keys(struct parse *p, void *target, json_t *value, struct err *e)
{
	(void)p;
	return policy_keys_set(target, value, e);
}

static const struct key image_keys[] = {
	{"match", set_text, offsetof(struct policy_image_rule, match)},
	{"deny", set_bool, offsetof(struct policy_image_rule, deny)},
	{"require-digest", set_bool, offsetof(struct policy_image_rule, require_digest)},
	{"signed-by", set_keys, offsetof(struct policy_image_rule, signed_by)},
};

static int set_images(struct parse *p, void *target, json_t *value, struct err *e)
{
	struct policy *policy = p->policy;
	size_t i;
	json_t *object;

	(void)target;
	if (!json_is_array(value))
		return err_set(e, -EINVAL, "expected a list of rules for images");
	json_array_foreach(value, i, object) {
		enter(p, NULL, i);
		policy->images = xrealloc(policy->images, policy->nimages + 1, sizeof *policy->images);
		struct policy_image_rule *rule = &policy->images[policy->nimages++];
		*rule = (struct policy_image_rule){0};
		int r = each_key(p, image_keys, ARRAY_LEN(image_keys), rule, object, e);
		if (r < 0)
			return r;
		if (!rule->match)
			return err_set(e, -EINVAL, "expected the key match");
		leave(p);
	}
	return 0;
}

/* ---- the file ---- */

static const struct key file_keys[] = {
	{"roles", set_roles, 0},
	{"bindings", set_bindings, 0},
	{"apid_attested_ceiling", set_role_ref, offsetof(struct policy, ceiling)},
	{"images", set_images, 0},
};

static json_t *default_bindings(const struct config *config)
{
	gid_t gid = policy_socket_group(config);
	json_t *gids = json_array();

	if (gid != (gid_t)-1)
		json_array_append_new(gids, json_integer(gid));
	return json_pack("[{s:s,s:[i],s:o}]", "role", "admin", "uids", 0, "gids", gids);
}

/* Roles come first, whatever the order in the file is: bindings and the ceiling name them. */
static int set_file(struct parse *p, json_t *file, struct err *e)
{
	json_t *roles = json_object_get(file, "roles");
	int r = 0;

	if (roles) {
		enter(p, "roles", 0);
		r = set_roles(p, NULL, roles, e);
		if (r < 0)
			return located(p, e);
		leave(p);
	}
	json_auto_t *rest = json_copy(file);
	json_object_del(rest, "roles");
	r = each_key(p, file_keys, ARRAY_LEN(file_keys), p->policy, rest, e);
	return r < 0 ? located(p, e) : 0; /* here: the steps name keys of `rest` */
}

static int check_listeners(const struct policy *policy, const struct config *config, struct err *e)
{
	for (size_t i = 0; config && i < config->listeners.n; i++) {
		const char *role = config->listeners.v[i].role;
		if (role[0] && !find_role(policy, role))
			return err_set(e, -EINVAL, "listeners[%zu].role: the policy has no role %s", i, role);
	}
	return 0;
}

/* The roles that are built in, the file, and what stands for what the file leaves out (put into `file`). */
static int build(struct parse *p, json_t *file, const struct config *config, struct err *e)
{
	struct parse own = {.file = "built-in", .policy = p->policy};
	json_auto_t *roles = json_loads(policy_builtin_roles, 0, NULL);

	int r = set_roles(&own, NULL, roles, e);
	if (r < 0)
		return located(&own, e);
	if (!json_is_object(file))
		return err_set(e, -EINVAL, "%s:1: expected an object", p->file);
	if (!json_object_get(file, "bindings"))
		json_object_set_new(file, "bindings", default_bindings(config));
	if (!json_object_get(file, "apid_attested_ceiling"))
		json_object_set_new(file, "apid_attested_ceiling", json_string("operator"));
	r = set_file(p, file, e);
	return r < 0 ? r : check_listeners(p->policy, config, e);
}

static int parse(const char *file, const char *text, size_t len, const struct config *config, struct policy **out,
		 json_t **tree, struct err *e)
{
	json_auto_t *json = NULL;

	if (text) {
		int r = len > POLICY_TEXT_MAX ? err_set(e, -EFBIG, "a policy has at most 1 MiB")
					      : json_parse(text, len, &JSON_BOUNDS_DOCUMENT, &json, e);
		if (r < 0) {
			err_prefix(e, "%s", file ? file : "policy");
			return -EINVAL;
		}
	} else {
		json = json_object();
	}
	struct policy *policy = XNEW(struct policy);
	policy->references = 1;
	struct parse p = {.file = file ? file : "policy", .text = text, .len = len, .policy = policy};
	int r = build(&p, json, config, e);
	if (r < 0) {
		policy_unref(policy);
		return r;
	}
	*out = policy;
	if (tree)
		*tree = json_incref(json);
	return 0;
}

int policy_parse(const char *file, const char *text, size_t len, const struct config *config, struct policy **out,
		 struct err *e)
{
	return parse(file, text, len, config, out, NULL, e);
}

int policy_text(const char *file, const char *text, size_t len, const struct config *config, char **out,
		size_t *out_len, struct err *e)
{
	json_auto_t *tree = NULL;
	struct policy *policy = NULL;
	int r = parse(file, text, len, config, &policy, &tree, e);

	if (r < 0)
		return r;
	policy_unref(policy);
	*out = json_dumps(tree, JSON_COMPACT);
	if (!*out)
		return err_set(e, -ENOMEM, "write the policy out");
	*out_len = strlen(*out);
	return 0;
}

struct policy *policy_ref(struct policy *p)
{
	p->references++;
	return p;
}

static void binding_clean(struct policy_binding *b)
{
	free(b->uids.v);
	free(b->gids.v);
	policy_texts_clean(&b->listeners);
	policy_texts_clean(&b->certificates);
	policy_texts_clean(&b->label_names);
	policy_texts_clean(&b->label_values);
}

void policy_unref(struct policy *p)
{
	if (!p || --p->references)
		return;
	for (size_t i = 0; i < p->nroles; i++) {
		struct policy_role *role = p->roles[i];
		free(role->name);
		policy_texts_clean(&role->permissions);
		policy_texts_clean(&role->except);
		policy_rules_clean(&role->rules);
		free(role);
	}
	for (size_t i = 0; i < p->nbindings; i++)
		binding_clean(&p->bindings[i]);
	for (size_t i = 0; i < p->nimages; i++) {
		free(p->images[i].match);
		policy_texts_clean(&p->images[i].signed_by);
	}
	free(p->roles);
	free(p->bindings);
	free(p->images);
	free(p);
}
