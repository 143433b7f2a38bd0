/* `pouchd ctl policy`: is a policy good, and what would it decide. Needs no running engine. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ipc/schema.h"
#include "lib/config.h"
#include "lib/daemon.h"
#include "lib/fd.h"
#include "lib/json.h"
#include "lib/policy.h"
#include "lib/util.h"
#include "pouchd/ctl.h"

struct explain {
	const char *policy_file, *permission, *listener;
	struct caller caller;
	struct policy_who who;
	const char *document; /* create, update, exec, volume, network */
};

/* ---- the files ---- */

static int read_text(const char *path, size_t max, struct daemon_text *out, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	*out = (struct daemon_text){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "%s", path);
	return fd_read_file(fd, max, &out->text, &out->len, e);
}

static int load(const struct ctl *c, const char *policy_file, struct config **config, struct policy **policy,
		struct err *e)
{
	const char *config_file = c->config ? c->config : DAEMON_DEFAULT_CONFIG;
	struct daemon_text text;
	int r = read_text(config_file, CONFIG_TEXT_MAX, &text, e);

	if (r < 0)
		return r;
	struct config_source source = {.file = text.text ? config_file : NULL,
				       .text = text.text,
				       .len = text.len,
				       .root = c->root,
				       .run = c->run};
	r = config_parse(&source, config, e);
	free(text.text);
	if (r < 0)
		return r;
	const char *file = policy_file ? policy_file : (*config)->policy_path;
	r = read_text(file, POLICY_TEXT_MAX, &text, e);
	if (r == 0 && policy_file && !text.text)
		r = err_set(e, -ENOENT, "%s: there is no such file", file);
	if (r == 0)
		r = policy_parse(file, text.text, text.len, *config, policy, e);
	free(text.text);
	return r;
}

static int check(const struct ctl *c, int argc, char **argv)
{
	struct config *config = NULL;
	struct policy *policy = NULL;
	struct err e = {0};

	if (argc > 1)
		return ctl_wrong(&ctl_policy);
	int r = load(c, argc ? argv[0] : NULL, &config, &policy, &e);
	if (r == 0 && !argc && access(config->policy_path, F_OK) < 0)
		printf("there is no %s: what is built in counts\n", config->policy_path);
	else if (r == 0)
		puts("the policy is good");
	policy_unref(policy);
	config_free(config);
	return r < 0 ? ctl_fail(&e) : 0;
}

/* ---- explain ---- */

static const struct {
	const char *name, *permission;
	enum policy_document kind;
	enum schema_id schema;
} documents[] = {
	{"create", "container.create", POLICY_CREATE, SCH_CONTAINER_CREATE},
	{"update", "container.update", POLICY_UPDATE, SCH_CONTAINER_UPDATE},
	{"exec", "container.exec", POLICY_EXEC, SCH_EXEC_CREATE},
	{"volume", "volume.create", POLICY_VOLUME, SCH_VOLUME_CREATE},
	{"network", "network.create", POLICY_NETWORK, SCH_NETWORK_CREATE},
};

static int read_document(enum schema_id schema, json_t **out, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;
	int r = fd_read_file(0, IPC_DOC_MAX, &text, &len, e);

	if (r == 0 && len == 0)
		return err_set(e, -EINVAL,
			       "the standard input has no document; for an operation alone give --permission");
	return r < 0 ? r : schema_parse(schema, text, len, out, e);
}

/* As imaged writes names out: docker.io/library/busybox:latest. */
static char *full_image_name(const char *name, const struct config *config)
{
	const char *slash = strchr(name, '/'), *last = strrchr(name, '/');
	size_t first = slash ? (size_t)(slash - name) : 0;
	bool has_domain = slash && (memchr(name, '.', first) || memchr(name, ':', first) ||
				    (first == 9 && str_starts(name, "localhost")));
	const char *domain = config->images_default_registry;
	bool library = !slash && strcmp(domain, "docker.io") == 0;
	bool tagged = strchr(last ? last : name, ':') || strchr(name, '@');

	return xasprintf("%s%s%s%s%s", has_domain ? "" : domain, has_domain ? "" : "/", library ? "library/" : "", name,
			 tagged ? "" : ":latest");
}

/* The real path, as the engine finds it out on the opened descriptor. */
static int explain_bind(const struct policy_grant *g, const char *permission, const char *source, bool writable,
			struct err *e)
{
	char real[PATH_MAX];

	if (source[0] != '/')
		return 0;
	return policy_admit_bind(g, permission, realpath(source, real) ? real : source, writable, e);
}

static int explain_binds(const struct policy_grant *g, const char *permission, const json_t *doc, struct err *e)
{
	const json_t *host = json_object_get(doc, "HostConfig");
	int r = 0;
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(host, "Binds"), i, item) {
		AUTO_FREE char *text = xstrdup(json_is_string(item) ? json_string_value(item) : "");
		char *target = strchr(text, ':'), *options = target ? strchr(target + 1, ':') : NULL;
		bool read_only =
			options && (str_eq(options, ":ro") || str_starts(options, ":ro,") || strstr(options, ",ro"));
		if (target)
			*target = 0;
		if (r == 0)
			r = explain_bind(g, permission, text, !read_only, e);
	}
	json_array_foreach(json_object_get(host, "Mounts"), i, item) {
		const char *source = json_string_value(json_object_get(item, "Source"));
		if (r == 0 && source && str_eq(json_string_value(json_object_get(item, "Type")), "bind"))
			r = explain_bind(g, permission, source, !json_is_true(json_object_get(item, "ReadOnly")), e);
	}
	return r;
}

static bool parse_who(struct explain *x, const char *who)
{
	char *end;

	if (str_starts(who, "cert:")) {
		x->caller.local = false;
		return (size_t)snprintf(x->caller.attested, sizeof x->caller.attested, "%s", who + 5) <
		       sizeof x->caller.attested;
	}
	const char *number = str_starts(who, "uid:") ? who + 4 : who;
	unsigned long uid = strtoul(number, &end, 10);
	x->caller.local = true;
	x->caller.uid = (uid_t)uid;
	return *number >= '0' && *number <= '9' && *end == 0 && uid < UINT32_MAX;
}

static bool add_gid(struct explain *x, const char *text)
{
	char *end;
	unsigned long gid = strtoul(text, &end, 10);

	x->caller.groups = xrealloc(x->caller.groups, x->caller.ngroups + 1, sizeof(gid_t));
	x->caller.groups[x->caller.ngroups++] = (gid_t)gid;
	return *text >= '0' && *text <= '9' && *end == 0 && gid < UINT32_MAX;
}

static bool parse_options(struct explain *x, int argc, char **argv)
{
	static const struct option options[] = {
		{"policy", required_argument, NULL, 'p'},
		{"as", required_argument, NULL, 'a'},
		{"gid", required_argument, NULL, 'g'},
		{"listener", required_argument, NULL, 'l'},
		{"document", required_argument, NULL, 'd'},
		{"permission", required_argument, NULL, 'P'},
		{NULL, 0, NULL, 0},
	};
	bool ok = true;
	int o;

	*x = (struct explain){.document = "create", .caller = {.local = true, .gid = (gid_t)-1, .pidfd = -1}};
	optind = 0;
	argv[0] = (char[]){"pouchd ctl policy explain"}; /* getopt says it */
	while (ok && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'p')
			x->policy_file = optarg;
		else if (o == 'a')
			ok = parse_who(x, optarg);
		else if (o == 'g')
			ok = add_gid(x, optarg);
		else if (o == 'l')
			x->listener = optarg;
		else if (o == 'd')
			x->document = optarg;
		else if (o == 'P')
			x->permission = optarg;
		else
			ok = false;
	}
	return ok && optind == argc;
}

static int find_listener(struct explain *x, const struct config *config, struct err *e)
{
	x->who.caller = &x->caller;
	x->who.listener = x->listener;
	for (size_t i = 0; x->listener && i < config->listeners.n; i++)
		if (strcmp(config->listeners.v[i].name, x->listener) == 0) {
			x->who.listener_role = config->listeners.v[i].role;
			return 0;
		}
	return x->listener ? err_set(e, -EINVAL, "the config has no listener of the name %s", x->listener) : 0;
}

/* --permission alone asks for the operation; otherwise the document on stdin is looked at. */
static int decide(const struct explain *x, const struct policy_grant *g, const struct config *config, struct err *e)
{
	AUTO_JSON json_t *doc = NULL;
	struct policy_facts facts = {.config = config};

	for (size_t i = 0; !x->permission && i < ARRAY_LEN(documents); i++) {
		const char *permission = documents[i].permission;
		if (strcmp(documents[i].name, x->document) != 0)
			continue;
		int r = read_document(documents[i].schema, &doc, e);
		const char *image = json_string_value(json_object_get(doc, "Image"));
		AUTO_FREE char *full = image ? full_image_name(image, config) : NULL;
		facts.image = full;
		facts.by_digest = image && strchr(image, '@');
		if (r == 0)
			r = policy_admit(g, permission, documents[i].kind, doc, &facts, e);
		if (r == 0 && full && documents[i].kind == POLICY_CREATE)
			r = policy_admit_image(g, permission, full, facts.by_digest, e);
		return r == 0 && documents[i].kind == POLICY_CREATE ? explain_binds(g, permission, doc, e) : r;
	}
	if (!x->permission)
		return err_set(e, -EINVAL, "%s is no kind of document", x->document);
	return policy_allows(g, x->permission) ? 0 : err_http(e, 403, "no role has the permission %s", x->permission);
}

static int explain(const struct ctl *c, int argc, char **argv)
{
	struct explain x;
	struct config *config = NULL;
	struct policy *policy = NULL;
	struct err e = {0};

	if (!parse_options(&x, argc, argv))
		return ctl_wrong(&ctl_policy);
	int r = load(c, x.policy_file, &config, &policy, &e);
	if (r == 0 && x.permission && !policy_permission_exists(x.permission))
		r = err_set(&e, -EINVAL, "there is no permission %s", x.permission);
	if (r == 0)
		r = find_listener(&x, config, &e);
	if (r == 0) {
		struct policy_grant *g = policy_grant_new(policy, &x.who);
		AUTO_FREE char *roles = policy_grant_roles(g);
		printf("caller: %s\nroles: %s%s\n", policy_grant_principal(g), *roles ? roles : "none",
		       x.caller.local ? "" : " (below apid_attested_ceiling)");
		r = decide(&x, g, config, &e);
		if (r == 0 || err_status(&e) == 403)
			printf("decision: %s%s%s\n", r == 0 ? "allowed" : "denied", r == 0 ? "" : ": ",
			       r == 0 ? "" : e.text);
		policy_grant_free(g);
	}
	policy_unref(policy);
	config_free(config);
	free(x.caller.groups);
	return r == 0 ? 0 : err_status(&e) == 403 ? 3 : ctl_fail(&e);
}

/* ---- */

static int run(const struct ctl *c, int argc, char **argv)
{
	if (argc >= 1 && strcmp(argv[0], "check") == 0)
		return check(c, argc - 1, argv + 1);
	if (argc >= 1 && strcmp(argv[0], "explain") == 0)
		return explain(c, argc, argv);
	return ctl_wrong(&ctl_policy);
}

const struct ctl_command ctl_policy = {
	.name = "policy",
	.usage = "check [FILE] | explain [--policy FILE] [--as uid:N|cert:NAMES] [--gid N]… [--listener NAME] "
		 "[--document create|update|exec|volume|network] [--permission NAME] < DOCUMENT",
	.about = "is a policy good; what it would decide (exit status 3: denied)",
	.places = true,
	.run = run,
};
