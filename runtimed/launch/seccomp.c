/*
 * seccomp: a profile in Docker's form (arches, capabilities and kernel versions decide which rules hold) made into
 * a BPF program, once for each distinct set of capabilities. An OCI runtime cannot read that form: crun takes it
 * without a word and then filters nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

#define DEFAULT_PROFILE "/usr/share/containers/seccomp.json"
#define PROFILE_MAX	(4u << 20)
#define CACHE_MAX	64

struct compiled {
	uint64_t caps;
	char *profile; /* NULL: the default's */
	char *base64;
	unsigned used;
};

struct seccomp_cache {
	json_t *profile; /* the default's */
	struct compiled v[CACHE_MAX];
	size_t n;
	unsigned clock;
};

void seccomp_cache_free(struct seccomp_cache *c)
{
	if (!c)
		return;
	json_decref(c->profile);
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].profile);
		free(c->v[i].base64);
	}
	free(c);
}

/* ---- words ---- */

static const struct {
	const char *name;
	uint32_t value;
	bool takes_errno;
} actions[] = {
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
	{"SCMP_ACT_KILL", SCMP_ACT_KILL, false},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
};

static const struct {
	const char *name;
	enum scmp_compare op;
} compares[] = {
	{"SCMP_CMP_NE", SCMP_CMP_NE},
	{"SCMP_CMP_LT", SCMP_CMP_LT},
	{"SCMP_CMP_LE", SCMP_CMP_LE},
	{"SCMP_CMP_EQ", SCMP_CMP_EQ},
	{"SCMP_CMP_GE", SCMP_CMP_GE},
	{"SCMP_CMP_GT", SCMP_CMP_GT},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

/* Names in profiles (Go's, and libseccomp's without SCMP_ARCH_). */
static const struct {
	const char *oci, *go;
	uint32_t token;
} arches[] = {
	{"SCMP_ARCH_X86_64", "amd64", SCMP_ARCH_X86_64},
	{"SCMP_ARCH_X86", "386", SCMP_ARCH_X86},
	{"SCMP_ARCH_X32", "amd64p32", SCMP_ARCH_X32},
	{"SCMP_ARCH_AARCH64", "arm64", SCMP_ARCH_AARCH64},
	{"SCMP_ARCH_ARM", "arm", SCMP_ARCH_ARM},
	{"SCMP_ARCH_S390X", "s390x", SCMP_ARCH_S390X},
	{"SCMP_ARCH_S390", "s390", SCMP_ARCH_S390},
	{"SCMP_ARCH_PPC64LE", "ppc64le", SCMP_ARCH_PPC64LE},
	{"SCMP_ARCH_RISCV64", "riscv64", SCMP_ARCH_RISCV64},
};

static int action_of(const json_t *rule, const char *key, const char *ret_key, uint32_t *out, struct err *e)
{
	const char *name = doc_text(rule, key);

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (str_eq(name, actions[i].name)) {
			int64_t value = doc_int(rule, ret_key, EPERM);
			*out = actions[i].takes_errno ? SCMP_ACT_ERRNO((uint32_t)value) : actions[i].value;
			return 0;
		}
	return err_http(e, 400, "seccomp profile: the action \"%s\" is not supported", name);
}

/* ---- which rules hold ---- */

static bool list_has(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (str_eq(json_string_value(item), text))
			return true;
	return false;
}

static const char *own_arch(void)
{
	for (size_t i = 0; i < ARRAY_LEN(arches); i++)
		if (arches[i].token == seccomp_arch_native())
			return arches[i].go;
	return "";
}

static bool caps_all(const json_t *list, uint64_t caps, bool any)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		int n = json_is_string(item) ? cap_number(json_string_value(item)) : -1;
		bool have = n >= 0 && caps & 1ull << n;
		if (any && have)
			return true;
		if (!any && !have)
			return false;
	}
	return !any;
}

static bool kernel_at_least(const char *version)
{
	struct utsname u;
	unsigned have[2] = {0}, want[2] = {0};

	uname(&u);
	sscanf(u.release, "%u.%u", &have[0], &have[1]);
	return sscanf(version, "%u.%u", &want[0], &want[1]) < 2 || have[0] > want[0] ||
	       (have[0] == want[0] && have[1] >= want[1]);
}

static bool holds(const json_t *rule, uint64_t caps)
{
	const json_t *in = json_object_get(rule, "includes"), *out = json_object_get(rule, "excludes");
	const json_t *in_arches = json_object_get(in, "arches"), *out_arches = json_object_get(out, "arches");

	if (json_array_size(in_arches) && !list_has(in_arches, own_arch()))
		return false;
	if (json_array_size(json_object_get(in, "caps")) && !caps_all(json_object_get(in, "caps"), caps, false))
		return false;
	if (*doc_text(in, "minKernel") && !kernel_at_least(doc_text(in, "minKernel")))
		return false;
	if (list_has(out_arches, own_arch()))
		return false;
	if (caps_all(json_object_get(out, "caps"), caps, true))
		return false;
	return !*doc_text(out, "minKernel") || !kernel_at_least(doc_text(out, "minKernel"));
}

/* ---- the program ---- */

static uint64_t number_of(const json_t *o, const char *key)
{
	return (uint64_t)doc_int(o, key, 0);
}

static int read_args(const json_t *rule, struct scmp_arg_cmp args[6], unsigned *n, struct err *e)
{
	json_t *item;
	size_t i;

	*n = 0;
	json_array_foreach(json_object_get(rule, "args"), i, item) {
		size_t c = 0;
		while (c < ARRAY_LEN(compares) && !str_eq(doc_text(item, "op"), compares[c].name))
			c++;
		if (c == ARRAY_LEN(compares) || doc_int(item, "index", 0) < 0 || doc_int(item, "index", 0) > 5 ||
		    *n == 6)
			return err_http(e, 400, "seccomp profile: a rule's arguments are invalid");
		args[(*n)++] = SCMP_CMP((unsigned)doc_int(item, "index", 0), compares[c].op, number_of(item, "value"),
					number_of(item, "valueTwo"));
	}
	return 0;
}

static int add_call(scmp_filter_ctx ctx, uint32_t action, const char *name, const struct scmp_arg_cmp *args, unsigned n,
		    struct err *e)
{
	int nr = seccomp_syscall_resolve_name(name), r = 0;

	if (nr == __NR_SCMP_ERROR)
		return 0; /* newer than this libseccomp: the default action holds */
	/* Two conditions on one argument cannot be in one rule: each gets its own, as every engine does. */
	unsigned seen = 0;
	bool twice = false;
	for (unsigned i = 0; i < n; i++) {
		twice = twice || (seen & 1u << args[i].arg);
		seen |= 1u << args[i].arg;
	}
	if (!twice)
		r = seccomp_rule_add_array(ctx, action, nr, n, args);
	else
		for (unsigned i = 0; i < n && r == 0; i++)
			r = seccomp_rule_add_array(ctx, action, nr, 1, &args[i]);
	return r < 0 && r != -EACCES && r != -EDOM ? err_sys(e, r, "seccomp profile: rule for %s", name) : 0;
}

static int add_rules(scmp_filter_ctx ctx, const json_t *profile, uint64_t caps, uint32_t otherwise, struct err *e)
{
	json_t *rule, *name;
	size_t i, j;

	json_array_foreach(json_object_get(profile, "syscalls"), i, rule) {
		struct scmp_arg_cmp args[6];
		uint32_t action;
		unsigned n = 0;
		if (!holds(rule, caps))
			continue;
		int r = action_of(rule, "action", "errnoRet", &action, e);
		if (r == 0)
			r = read_args(rule, args, &n, e);
		if (r < 0)
			return r;
		if (action == otherwise)
			continue;
		json_array_foreach(json_object_get(rule, "names"), j, name)
			if (r == 0 && json_is_string(name))
				r = add_call(ctx, action, json_string_value(name), args, n, e);
		/* The old form of a profile has one name a rule. */
		if (r == 0 && *doc_text(rule, "name"))
			r = add_call(ctx, action, doc_text(rule, "name"), args, n, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void add_arch(scmp_filter_ctx ctx, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(arches); i++)
		if (str_eq(arches[i].oci, name) && arches[i].token != seccomp_arch_native())
			seccomp_arch_add(ctx, arches[i].token);
}

static void add_arches(scmp_filter_ctx ctx, const json_t *profile)
{
	json_t *item, *sub;
	size_t i, j;

	json_array_foreach(json_object_get(profile, "architectures"), i, item)
		add_arch(ctx, json_string_value(item));
	json_array_foreach(json_object_get(profile, "archMap"), i, item) {
		for (size_t k = 0; k < ARRAY_LEN(arches); k++)
			if (arches[k].token == seccomp_arch_native() &&
			    str_eq(arches[k].oci, doc_text(item, "architecture")))
				json_array_foreach(json_object_get(item, "subArchitectures"), j, sub)
					add_arch(ctx, json_string_value(sub));
	}
}

static char *base64(const unsigned char *in, size_t n)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = xcalloc(n / 3 * 4 + 8, 1), *p = out;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) |
			     (i + 2 < n ? in[i + 2] : 0);
		*p++ = set[v >> 18];
		*p++ = set[v >> 12 & 63];
		*p++ = i + 1 < n ? set[v >> 6 & 63] : '=';
		*p++ = i + 2 < n ? set[v & 63] : '=';
	}
	return out;
}

static int export(scmp_filter_ctx ctx, char **out, struct err *e)
{
	AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
	char *program = NULL;
	size_t len = 0;

	if (fd < 0)
		return err_sys(e, -errno, "memfd_create");
	int r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return err_sys(e, r, "compile the seccomp profile");
	lseek(fd, 0, SEEK_SET);
	r = fd_read_file(fd, 1u << 20, &program, &len, e);
	if (r == 0) {
		const size_t n = len / sizeof(struct sock_filter);
		AUTO_FREE struct sock_filter *shorter = xcalloc(n, sizeof *shorter);
		len = seccomp_compact((struct sock_filter *)program, n, shorter) * sizeof *shorter;
		*out = base64((unsigned char *)shorter, len);
	}
	free(program);
	return r;
}

static int compile(const json_t *profile, uint64_t caps, char **out, struct err *e)
{
	uint32_t otherwise;
	const json_t *fallback = profile;

	int r = action_of(fallback, "defaultAction", "defaultErrnoRet", &otherwise, e);
	if (r < 0)
		return r;
	scmp_filter_ctx ctx = seccomp_init(otherwise);
	if (!ctx)
		return err_set(e, -ENOMEM, "seccomp_init");
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* no-new-privileges is the runtime's to set: it loads the program. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	add_arches(ctx, profile);
	r = add_rules(ctx, profile, caps, otherwise, e);
	if (r == 0)
		r = export(ctx, out, e);
	seccomp_release(ctx);
	return r;
}

/* ---- profiles and cache ---- */

static int load_default(struct launch *l, struct err *e)
{
	const char *path = l->c.seccomp_profile && *l->c.seccomp_profile ? l->c.seccomp_profile : DEFAULT_PROFILE;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_FREE char *text = NULL;
	size_t len;
	json_error_t je;

	if (fd < 0)
		return err_sys(e, -errno, "open seccomp profile %s", path);
	int r = fd_read_file(fd, PROFILE_MAX, &text, &len, e);
	if (r < 0)
		return r;
	l->seccomp->profile = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!l->seccomp->profile)
		return err_set(e, -EINVAL, "seccomp profile %s, line %d: %s", path, je.line, je.text);
	return 0;
}

static int profile_of(struct launch *l, const char *text, json_t **out, struct err *e)
{
	json_error_t je;

	if (!l->seccomp)
		l->seccomp = XNEW(struct seccomp_cache);
	if (!text) {
		int r = l->seccomp->profile ? 0 : load_default(l, e);
		*out = json_incref(l->seccomp->profile);
		return r;
	}
	if (strlen(text) > PROFILE_MAX)
		return err_http(e, 400, "the seccomp profile is larger than 4 MiB");
	*out = json_loads(text, JSON_REJECT_DUPLICATES, &je);
	return json_is_object(*out)
		       ? 0
		       : err_http(e, 400, "Decoding seccomp profile failed: line %d: %s", je.line, je.text);
}

static struct compiled *cached(struct seccomp_cache *c, const char *profile, uint64_t caps)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].caps == caps && (profile ? str_eq(c->v[i].profile, profile) : !c->v[i].profile))
			return &c->v[i];
	return NULL;
}

static struct compiled *slot(struct seccomp_cache *c)
{
	struct compiled *oldest = &c->v[0];

	if (c->n < CACHE_MAX)
		return &c->v[c->n++];
	for (size_t i = 1; i < c->n; i++)
		if (c->v[i].used < oldest->used)
			oldest = &c->v[i];
	free(oldest->profile);
	free(oldest->base64);
	return oldest;
}

int seccomp_filter(struct launch *l, const char *profile, uint64_t caps, const char **out, struct err *e)
{
	json_t *parsed = NULL;
	char *program = NULL;

	if (!l->seccomp)
		l->seccomp = XNEW(struct seccomp_cache);
	struct compiled *hit = cached(l->seccomp, profile, caps);
	if (!hit) {
		int r = profile_of(l, profile, &parsed, e);
		if (r == 0)
			r = compile(parsed, caps, &program, e);
		json_decref(parsed);
		if (r < 0)
			return r;
		hit = slot(l->seccomp);
		*hit = (struct compiled){.caps = caps, .profile = profile ? xstrdup(profile) : NULL, .base64 = program};
	}
	hit->used = ++l->seccomp->clock;
	*out = hit->base64;
	return 0;
}

/* ---- OCI's form ---- */

static json_t *oci_rule(const json_t *rule)
{
	json_t *o = json_object(), *names = json_object_get(rule, "names");

	if (json_array_size(names))
		json_object_set(o, "names", names);
	else
		json_object_set_new(o, "names", json_pack("[s]", doc_text(rule, "name")));
	json_object_set(o, "action", json_object_get(rule, "action"));
	if (json_is_integer(json_object_get(rule, "errnoRet")))
		json_object_set(o, "errnoRet", json_object_get(rule, "errnoRet"));
	if (json_array_size(json_object_get(rule, "args")))
		json_object_set(o, "args", json_object_get(rule, "args"));
	return o;
}

static int errno_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? (int)json_integer_value(v) : EPERM;
}

/* Which a rule of the same action with another error is not. */
static bool is_default(const json_t *rule, const json_t *profile)
{
	return str_eq(doc_text(rule, "action"), doc_text(profile, "defaultAction")) &&
	       errno_of(rule, "errnoRet") == errno_of(profile, "defaultErrnoRet");
}

int seccomp_oci(struct launch *l, const char *profile, uint64_t caps, json_t **out, struct err *e)
{
	json_t *parsed = NULL, *calls = json_array(), *list = json_array(), *rule, *item;
	size_t i;

	int r = profile_of(l, profile, &parsed, e);
	if (r < 0) {
		json_decref(calls);
		json_decref(list);
		return r;
	}
	json_array_foreach(json_object_get(parsed, "syscalls"), i, rule)
		if (holds(rule, caps) && !is_default(rule, parsed))
			json_array_append_new(calls, oci_rule(rule));
	json_array_foreach(json_object_get(parsed, "archMap"), i, item)
		for (size_t k = 0; k < ARRAY_LEN(arches); k++)
			if (arches[k].token == seccomp_arch_native() &&
			    str_eq(arches[k].oci, doc_text(item, "architecture"))) {
				json_array_append(list, json_object_get(item, "architecture"));
				json_array_extend(list, json_object_get(item, "subArchitectures"));
			}
	*out = json_object();
	json_object_set(*out, "defaultAction", json_object_get(parsed, "defaultAction"));
	if (json_is_integer(json_object_get(parsed, "defaultErrnoRet")))
		json_object_set(*out, "defaultErrnoRet", json_object_get(parsed, "defaultErrnoRet"));
	json_object_set_new(*out, "architectures", list);
	json_object_set_new(*out, "syscalls", calls);
	json_decref(parsed);
	return 0;
}
