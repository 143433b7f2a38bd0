#include <stdio.h>

#include "lib/policy_private.h"
#include "lib/util.h"

/* ---- does a binding fit a caller? ---- */

static bool ids_have(const struct policy_ids *ids, uint32_t id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (ids->v[i] == id)
			return true;
	return false;
}

static bool in_groups(const struct policy_ids *gids, const struct caller *c)
{
	for (size_t i = 0; i < gids->n; i++)
		if (caller_in_group(c, gids->v[i]))
			return true;
	return false;
}

/* `attested` is "CN=x,SAN=y": does one of its names match? */
static bool certificate_fits(const struct policy_texts *patterns, const char *attested)
{
	AUTO_FREE char *names = xstrdup(attested);
	char *save = NULL;

	for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (policy_match_any(patterns, name))
			return true;
	return false;
}

static bool labels_fit(const struct policy_binding *b, const json_t *labels)
{
	for (size_t i = 0; i < b->label_names.n; i++)
		if (!str_eq(json_string_value(json_object_get(labels, b->label_names.v[i])), b->label_values.v[i]))
			return false;
	return b->label_names.n > 0;
}

static bool binding_fits(const struct policy_binding *b, const struct policy_who *who)
{
	const struct caller *c = who->caller;

	if (who->listener && policy_match_any(&b->listeners, who->listener))
		return true;
	if (who->container) /* an id in a container's range is nobody's on the host */
		return labels_fit(b, who->labels);
	if (c->local)
		return ids_have(&b->uids, c->uid) || in_groups(&b->gids, c);
	return certificate_fits(&b->certificates, c->attested);
}

/* ---- the grant ---- */

static char *principal_of(const struct policy_who *who)
{
	const struct caller *c = who->caller;

	if (who->container)
		return xasprintf("container:%s", who->container);
	if (c->local)
		return xasprintf("uid:%u", (unsigned)c->uid);
	if (!c->attested[0])
		return xstrdup("tcp");
	return xasprintf("cert:%.*s", (int)strcspn(c->attested, ","), c->attested);
}

static void add_role(struct policy_grant *g, const struct policy_role *role)
{
	for (size_t i = 0; i < g->nroles; i++)
		if (g->roles[i] == role)
			return;
	g->roles = xrealloc(g->roles, g->nroles + 1, sizeof(*g->roles));
	g->roles[g->nroles++] = role;
}

struct policy_grant *policy_grant_new(struct policy *p, const struct policy_who *who)
{
	struct policy_grant *g = XNEW(struct policy_grant);

	g->policy = policy_ref(p);
	g->principal = principal_of(who);
	g->ceiling = who->caller->local ? NULL : p->ceiling;
	if (who->listener_role && who->listener_role[0]) {
		/* A socket with a role is that role and no more, whoever connects. */
		for (size_t i = 0; i < p->nroles; i++)
			if (strcmp(p->roles[i]->name, who->listener_role) == 0)
				add_role(g, p->roles[i]);
		return g;
	}
	for (size_t i = 0; i < p->nbindings; i++)
		if (binding_fits(&p->bindings[i], who))
			add_role(g, p->bindings[i].role);
	return g;
}

void policy_grant_free(struct policy_grant *g)
{
	if (!g)
		return;
	policy_unref(g->policy);
	free(g->principal);
	free(g->roles);
	free(g);
}

const char *policy_grant_principal(const struct policy_grant *g)
{
	return g->principal;
}

char *policy_grant_roles(const struct policy_grant *g)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < g->nroles; i++) {
		char *longer = xasprintf("%s%s%s", text, i ? "," : "", g->roles[i]->name);
		free(text);
		text = longer;
	}
	return text;
}

bool policy_role_allows(const struct policy_role *role, const char *permission)
{
	return policy_match_any(&role->permissions, permission) && !policy_match_any(&role->except, permission);
}

bool policy_allows(const struct policy_grant *g, const char *permission)
{
	if (g->ceiling && !policy_role_allows(g->ceiling, permission))
		return false;
	for (size_t i = 0; i < g->nroles; i++)
		if (policy_role_allows(g->roles[i], permission))
			return true;
	return false;
}

bool policy_sees(const struct policy_grant *g, const char *permission, const char *owner)
{
	bool own = !owner || !owner[0] || strcmp(owner, g->principal) == 0;

	if (g->ceiling && (!policy_role_allows(g->ceiling, permission) || (g->ceiling->own && !own)))
		return false;
	for (size_t i = 0; i < g->nroles; i++)
		if (policy_role_allows(g->roles[i], permission) && (own || !g->roles[i]->own))
			return true;
	return false;
}
