/* The policy: strict parsing, who gets which role, what a request may ask for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "ipc/message.h"
#include "lib/config.h"
#include "lib/policy.h"
#include "lib/sha256.h"
#include "lib/util.h"

#define FILE_NAME "/etc/pouch/policy.json"

/* ---- parsing ---- */

static struct policy *parse(const char *text)
{
	struct policy *p = NULL;
	struct err e = {0};

	if (policy_parse(FILE_NAME, text, text ? strlen(text) : 0, NULL, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *text, *expected;
	} bad[] = {
		{"{", ": "},
		{"[]", FILE_NAME ":1: "},
		{"{\"role\": {}}", ":1: role: there is no such key"},
		{"{\n \"roles\": {\n  \"ci\": {\"permission\": []}}}", ":3: roles.ci.permission: there is no such key"},
		{"{\"roles\":{\"ci\":{\"permissions\":\"x\"}}}", "roles.ci.permissions: expected a list"},
		{"{\"roles\":{\"ci\":{\"permissions\":[\"a*b\"]}}}",
		 "roles.ci.permissions: there is no permission a*b"},
		{"{\"roles\":{\"ci\":{\"permissions\":[\"container.*\"],\n\"except\":[\"container.remov\"]}}}",
		 ":2: roles.ci.except: there is no permission container.remov: "},
		{"{\"roles\":{\"ci\":{\"permissions\":[\"containers.*\"]}}}", "there is no permission containers.*"},
		{"{\"roles\":{\"ci\":{\"permissions\":[\"\"]}}}", "element 0"},
		{"{\"roles\":{\"admin\":{}}}", "roles.admin: this role is built in"},
		{"{\"roles\":{\"ci\":{\"own\":1}}}", "roles.ci.own: expected true or false"},
		{"{\"roles\":{\"a b\":{}}}", "a role's name is"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"privilege\":true}}}}", "privilege: there is no such rule"},
		{"{\"roles\":{\"ci\":{\"containers\":{\n\"binds\":[\"/srv/../etc\"]}}}}",
		 ":2: roles.ci.containers.binds: expected a list of absolute paths"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"binds\":[\"/srv/\"]}}}}", "element 0"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"binds\":[{\"path\":\"/a\",\"ro\":true}]}}}}", "element 0"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"max-memory\":-2}}}}", "expected a whole number"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"ports\":[\"80\"]}}}}", "expected a port or a range"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"ports\":[\"9-8\"]}}}}", "expected a port or a range"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"ports\":[70000]}}}}", "expected a port or a range"},
		{"{\"roles\":{\"ci\":{\"containers\":{\"join\":true}}}}", "\"none\", \"own\" or \"any\""},
		{"{\"roles\":{\"ci\":{\"containers\":\"all\"}}}", "expected \"any\" or an object"},
		{"{\"bindings\":[{\"uids\":[0]}]}", "bindings[0]: expected the key role"},
		{"{\"bindings\":[{\"role\":\"admin\"}]}",
		 "bindings[0]: it binds nobody: expected uids, gids, listeners"},
		{"{\"bindings\":[{\"role\":\"nobody\"}]}", "bindings[0].role: expected the name of a role"},
		{"{\"bindings\":[{\"role\":\"admin\",\"uids\":[-1]}]}", "bindings[0].uids: expected a list of users"},
		{"{\"bindings\":[{\"role\":\"admin\",\"uids\":[\"no-such-user\"]}]}",
		 "no user of the name no-such-user"},
		{"{\"bindings\":[{\"role\":\"admin\",\"gids\":[4294967295]}]}", "bindings[0].gids"},
		{"{\"bindings\":[{\"role\":\"admin\",\"container-labels\":{}}]}",
		 "container-labels: expected an object"},
		{"{\"apid_attested_ceiling\":\"root\"}", "apid_attested_ceiling: expected the name of a role"},
		{"{\"images\":[{\"deny\":true}]}", "images[0]: expected the key match"},
		{"{\"images\":[],\"images\":[]}", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct policy *p = NULL;
		struct err e = {0};
		assert_int_equal(policy_parse(FILE_NAME, bad[i].text, strlen(bad[i].text), NULL, &p, &e), -EINVAL);
		if (!strstr(e.text, bad[i].expected) || !str_starts(e.text, FILE_NAME))
			fail_msg("%s\n  says: %s", bad[i].text, e.text);
	}
}

static void test_text_has_numbers(void **state)
{
	static const char text[] = "{\"bindings\":[{\"role\":\"viewer\",\"uids\":[\"root\",\"7\"],"
				   "\"gids\":[\"root\"]}]}";
	AUTO_FREE char *out = NULL;
	struct policy *p = NULL;
	size_t len;
	struct err e;

	(void)state;
	assert_int_equal(policy_text(FILE_NAME, text, strlen(text), NULL, &out, &len, &e), 0);
	assert_non_null(strstr(out, "\"uids\":[0,7],\"gids\":[0]"));
	assert_int_equal(policy_parse(FILE_NAME, out, len, NULL, &p, &e), 0);
	policy_unref(p);
}

static void test_listener_needs_its_role(void **state)
{
	static const char text[] = "{\"listeners\":[{\"role\":\"ci\"}]}";
	struct config_source source = {
		.file = "pouch.json", .text = text, .len = strlen(text), .root = "/r", .run = "/u"};
	struct config *config = NULL;
	struct policy *p = NULL;
	struct err e = {0};

	(void)state;
	if (config_parse(&source, &config, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(policy_parse(FILE_NAME, NULL, 0, config, &p, &e), -EINVAL);
	assert_non_null(strstr(e.text, "listeners[0].role: the policy has no role ci"));
	config_free(config);
}

/* ---- who ---- */

static struct caller local(uid_t uid, gid_t gid)
{
	return (struct caller){.local = true, .uid = uid, .gid = gid, .pidfd = -1};
}

static struct caller remote(const char *names)
{
	struct caller c = {.uid = (uid_t)-1, .gid = (gid_t)-1, .pidfd = -1};

	snprintf(c.attested, sizeof c.attested, "%s", names);
	return c;
}

static struct policy_grant *grant(const char *text, const struct caller *c)
{
	struct policy *p = parse(text);
	struct policy_who who = {.caller = c};
	struct policy_grant *g = policy_grant_new(p, &who);

	policy_unref(p);
	return g;
}

static void expect_roles(struct policy_grant *g, const char *roles)
{
	AUTO_FREE char *have = policy_grant_roles(g);

	assert_string_equal(have, roles);
	policy_grant_free(g);
}

/* covers D-5 */
static void test_bindings(void **state)
{
	static const char text[] = "{\"bindings\":[{\"role\":\"operator\",\"uids\":[1000],\"gids\":[50]},"
				   "{\"role\":\"viewer\",\"certificates\":[\"CN=watch*\",\"SAN=ops.example.org\"]},"
				   "{\"role\":\"admin\",\"listeners\":[\"inner\"]}]}";
	gid_t groups[] = {40, 50};
	struct caller c = local(1000, 1000);

	(void)state;
	expect_roles(grant(text, &c), "operator");
	c = local(1001, 1001);
	expect_roles(grant(text, &c), "");
	c.groups = groups;
	c.ngroups = 2;
	expect_roles(grant(text, &c), "operator");
	c = local(0, 0);
	expect_roles(grant(text, &c), ""); /* the file says who; root is not more than it says */
	c = remote("CN=watcher,SAN=x");
	expect_roles(grant(text, &c), "viewer");
	c = remote("CN=x,SAN=ops.example.org");
	expect_roles(grant(text, &c), "viewer");
	c = remote("CN=xwatch");
	expect_roles(grant(text, &c), "");
	c = remote(""); /* plain TCP */
	expect_roles(grant(text, &c), "");
}

static void test_builtin_policy(void **state)
{
	struct caller c = local(0, 5);

	(void)state;
	expect_roles(grant(NULL, &c), "admin");
	c = local(1000, 1000);
	expect_roles(grant(NULL, &c), "");
	c = remote("CN=root");
	expect_roles(grant(NULL, &c), "");
}

/* covers D-1: a socket with a role gives that role and no more, to root too. */
static void test_socket_with_role(void **state)
{
	struct policy *p = parse(NULL);
	struct caller c = local(0, 0);
	struct policy_who who = {.caller = &c, .listener = "metrics", .listener_role = "viewer"};

	(void)state;
	expect_roles(policy_grant_new(p, &who), "viewer");
	policy_unref(p);
}

static void test_container_by_label(void **state)
{
	static const char text[] = "{\"bindings\":[{\"role\":\"viewer\",\"container-labels\":{\"role\":\"proxy\"},"
				   "\"uids\":[700000]}]}";
	struct policy *p = parse(text);
	struct caller c = local(700000, 700000);
	json_auto_t *labels = json_pack("{s:s,s:s}", "role", "proxy", "x", "y");
	json_auto_t *others = json_pack("{s:s}", "role", "db");
	struct policy_who who = {.caller = &c, .container = "4f2a", .labels = labels};

	(void)state;
	struct policy_grant *g = policy_grant_new(p, &who);
	assert_string_equal(policy_grant_principal(g), "container:4f2a");
	expect_roles(g, "viewer");
	who.labels = others;
	expect_roles(policy_grant_new(p, &who), ""); /* its uid on the host counts for nothing */
	policy_unref(p);
}

/* covers S-82 */
static void test_attested_ceiling(void **state)
{
	static const char text[] = "{\"bindings\":[{\"role\":\"admin\",\"certificates\":[\"CN=root\"]}]}";
	static const char low[] = "{\"apid_attested_ceiling\":\"viewer\",\"bindings\":[{\"role\":\"admin\","
				  "\"certificates\":[\"CN=root\"]}]}";
	struct caller c = remote("CN=root");
	json_auto_t *privileged = json_pack("{s:s,s:{s:b}}", "Image", "x", "HostConfig", "Privileged", true);
	struct err e;

	(void)state;
	struct policy_grant *g = grant(text, &c);
	assert_true(policy_allows(g, "container.create"));
	assert_int_equal(policy_admit(g, "container.create", POLICY_CREATE, privileged, NULL, &e), -EPERM);
	assert_non_null(strstr(e.text, "role operator"));
	assert_int_equal(policy_admit_bind(g, "container.create", "/etc", false, &e), -EPERM);
	policy_grant_free(g);
	g = grant(low, &c);
	assert_false(policy_allows(g, "container.create"));
	assert_true(policy_allows(g, "container.list"));
	policy_grant_free(g);
}

/* ---- permissions ---- */

/* covers D-2, D-4: the viewer has no operation that changes or reveals anything. */
static void test_viewer_reads_only(void **state)
{
	static const char text[] = "{\"bindings\":[{\"role\":\"viewer\",\"uids\":[1]}]}";
	struct caller c = local(1, 1);
	struct policy_grant *g = grant(text, &c);
	size_t n, reads = 0;
	const struct ipc_message *const *m = ipc_messages(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		if (!m[i]->op)
			continue;
		if (m[i]->op->effect != SAFE && policy_allows(g, m[i]->op->permission))
			fail_msg("viewer may %s", m[i]->name);
		reads += m[i]->op->effect == SAFE && policy_allows(g, m[i]->op->permission);
	}
	assert_true(reads >= 5);
	assert_false(policy_allows(g, "container.inspect.env"));
	assert_false(policy_allows(g, "container.exec"));
	policy_grant_free(g);
}

static void test_permission_patterns(void **state)
{
	static const char text[] = "{\"roles\":{\"ci\":{\"permissions\":[\"container.*\",\"image.pull\"],"
				   "\"except\":[\"container.exec\",\"container.archive.*\"]}},"
				   "\"bindings\":[{\"role\":\"ci\",\"uids\":[1]}]}";
	struct caller c = local(1, 1);
	struct policy_grant *g = grant(text, &c);

	(void)state;
	assert_true(policy_allows(g, "container.start"));
	assert_false(policy_allows(g, "container.exec"));
	assert_false(policy_allows(g, "container.archive.read"));
	assert_true(policy_allows(g, "image.pull"));
	assert_false(policy_allows(g, "image.pull.x"));
	assert_false(policy_allows(g, "containers"));
	policy_grant_free(g);
}

/* covers D-6 */
static void test_own_objects(void **state)
{
	static const char text[] = "{\"roles\":{\"dev\":{\"permissions\":[\"container.*\"],\"own\":true}},"
				   "\"bindings\":["
				   "{\"role\":\"dev\",\"uids\":[1,2]},{\"role\":\"viewer\",\"uids\":[2]}]}";
	struct caller one = local(1, 1), two = local(2, 2);
	struct policy_grant *g = grant(text, &one);

	(void)state;
	assert_true(policy_sees(g, "container.stop", "uid:1"));
	assert_false(policy_sees(g, "container.stop", "uid:2"));
	assert_true(policy_sees(g, "container.list", NULL));
	policy_grant_free(g);
	g = grant(text, &two);
	assert_true(policy_sees(g, "container.list", "uid:1")); /* by viewer */
	assert_false(policy_sees(g, "container.stop", "uid:1"));
	policy_grant_free(g);
}

/* ---- admission ---- */

#define ROLE(rules)                                                                                                    \
	"{\"roles\":{\"ci\":{\"permissions\":[\"*\"],\"containers\":" rules                                            \
	"}},\"bindings\":[{\"role\":\"ci\",\"uids\":[1]}]}"

static const char *owner(void *arg, const char *ref)
{
	(void)arg;
	return strcmp(ref, "mine") == 0 ? "uid:1" : strcmp(ref, "theirs") == 0 ? "uid:2" : NULL;
}

static int admit(const char *rules, enum policy_document kind, const char *doc, struct err *e)
{
	struct caller c = local(1, 1);
	AUTO_FREE char *text = xasprintf("{\"roles\":{\"ci\":{\"permissions\":[\"*\"],\"containers\":%s}},"
					 "\"bindings\":[{\"role\":\"ci\",\"uids\":[1]}]}",
					 rules);
	struct policy_grant *g = grant(text, &c);
	struct config_source source = {.root = "/r", .run = "/u"};
	struct config *config = NULL;
	json_error_t where;
	json_auto_t *json = json_loads(doc, 0, &where);

	if (!json)
		fail_msg("%s: %s", doc, where.text);
	if (config_parse(&source, &config, e) < 0)
		fail_msg("%s", e->text);
	struct policy_facts facts = {
		.container_owner = owner, .config = config, .image = "docker.io/library/busybox:latest"};
	int r = policy_admit(g, "x", kind, json, &facts, e);
	policy_grant_free(g);
	config_free(config);
	return r;
}

/* Each asks for one thing: denied by default with field and rule in the text, admitted by `rules`. */
static const struct {
	const char *doc, *field, *rule, *rules;
} asks[] = {
	{"{\"Privileged\":true}", "Privileged: true", "privileged",
	 "{\"privileged\":true,\"host-namespaces\":[\"user\"]}"},
	{"{\"CapAdd\":[\"CAP_SYS_ADMIN\"]}", "CapAdd: CAP_SYS_ADMIN", "capabilities",
	 "{\"capabilities\":[\"SYS_ADMIN\"]}"},
	{"{\"CapAdd\":[\"all\"]}", "CapAdd: all", "capabilities", "{\"capabilities\":[\"*\"]}"},
	{"{\"NetworkMode\":\"host\"}", "NetworkMode: host", "host-namespaces (net)", "{\"host-namespaces\":[\"net\"]}"},
	{"{\"PidMode\":\"host\"}", "PidMode: host", "host-namespaces (pid)",
	 "{\"host-namespaces\":[\"pid\",\"user\"]}"},
	{"{\"IpcMode\":\"host\"}", "IpcMode: host", "host-namespaces (ipc)",
	 "{\"host-namespaces\":[\"ipc\",\"user\"]}"},
	{"{\"UTSMode\":\"host\"}", "UTSMode: host", "host-namespaces (uts)", "{\"host-namespaces\":[\"uts\"]}"},
	{"{\"UsernsMode\":\"host\"}", "UsernsMode: host", "host-namespaces (user)", "{\"host-namespaces\":[\"user\"]}"},
	{"{\"CgroupnsMode\":\"host\"}", "CgroupnsMode: host", "host-namespaces (cgroup)",
	 "{\"host-namespaces\":[\"*\"]}"},
	{"{\"PidMode\":\"container:theirs\"}", "PidMode: container:theirs", "join", "{\"join\":\"any\"}"},
	{"{\"NetworkMode\":\"container:theirs\"}", "NetworkMode", "join", "{\"join\":\"any\"}"},
	{"{\"VolumesFrom\":[\"theirs:ro\"]}", "VolumesFrom: theirs:ro", "join", "{\"join\":\"any\"}"},
	{"{\"Links\":[\"theirs:db\"]}", "Links: theirs:db", "join", "{\"join\":\"any\"}"},
	{"{\"Binds\":[\"/etc:/x\"]}", "Binds: /etc:/x", "binds", "{\"binds\":[\"/etc\"]}"},
	{"{\"Binds\":[\"v:/x:rshared\"]}", "Binds: rshared", "propagation", "{\"propagation\":true}"},
	{"{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/etc\",\"Target\":\"/x\"}]}", "Mounts[0].Source: /etc", "binds",
	 "{\"binds\":[\"/etc\"]}"},
	{"{\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/x\",\"VolumeOptions\":{\"DriverConfig\":{\"Options\":"
	 "{\"type\":\"none\"}}}}]}",
	 "Mounts[0].VolumeOptions: type=none", "volume-options", "{\"volume-options\":[\"type=*\"]}"},
	{"{\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/x\",\"VolumeOptions\":{\"DriverConfig\":{\"Options\":"
	 "{\"o\":\"size=1m,exec,uid=0\"}}}}]}",
	 "Mounts[0].VolumeOptions: o=size=1m", "volume-options",
	 "{\"volume-options\":[\"o=size=*\",\"o=exec\",\"o=uid=0\"]}"},
	{"{\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/x\","
	 "\"VolumeOptions\":{\"DriverConfig\":{\"Name\":\"nfs\"}}}]}",
	 "Mounts[0].VolumeOptions: nfs", "volume-drivers", "{\"volume-drivers\":[\"nfs\"]}"},
	{"{\"VolumeDriver\":\"nfs\"}", "VolumeDriver: nfs", "volume-drivers", "{\"volume-drivers\":[\"*\"]}"},
	{"{\"Devices\":[{\"PathOnHost\":\"/dev/sda\"}]}", "Devices: /dev/sda", "devices",
	 "{\"devices\":[\"/dev/sd*\"]}"},
	{"{\"DeviceCgroupRules\":[\"a *:* rwm\"]}", "DeviceCgroupRules", "device-cgroup-rules",
	 "{\"device-cgroup-rules\":true}"},
	{"{\"DeviceRequests\":[{\"Count\":-1}]}", "DeviceRequests", "device-requests", "{\"device-requests\":true}"},
	{"{\"Sysctls\":{\"kernel.panic\":\"1\"}}", "Sysctls: kernel.panic", "sysctls", "{\"sysctls\":[\"kernel.*\"]}"},
	{"{\"SecurityOpt\":[\"seccomp:unconfined\"]}", "SecurityOpt: seccomp=unconfined", "security-options",
	 "{\"security-options\":[\"seccomp=unconfined\"]}"},
	{"{\"SecurityOpt\":[\"no-new-privileges=false\"]}", "SecurityOpt: no-new-privileges=false", "security-options",
	 "{\"security-options\":[\"*\"]}"},
	{"{\"SecurityOpt\":[\"apparmor=unconfined\"]}", "SecurityOpt", "security-options",
	 "{\"security-options\":[\"apparmor=*\"]}"},
	{"{\"MaskedPaths\":[]}", "MaskedPaths: []", "masked-paths", "{\"masked-paths\":true}"},
	{"{\"ReadonlyPaths\":[\"/x\"]}", "ReadonlyPaths", "masked-paths", "{\"masked-paths\":true}"},
	{"{\"Runtime\":\"runc\"}", "Runtime: runc", "runtimes", "{\"runtimes\":[\"runc\"]}"},
	{"{\"CgroupParent\":\"/\"}", "CgroupParent: /", "cgroup-parents", "{\"cgroup-parents\":[\"/*\"]}"},
	{"{\"OomKillDisable\":true}", "OomKillDisable", "oom", "{\"oom\":true}"},
	{"{\"OomScoreAdj\":-500}", "OomScoreAdj: -500", "oom", "{\"oom\":true}"},
	{"{\"CpuRealtimeRuntime\":1}", "CpuRealtimeRuntime: 1", "realtime", "{\"realtime\":true}"},
	{"{\"Ulimits\":[{\"Name\":\"rtprio\",\"Soft\":9,\"Hard\":9}]}", "Ulimits", "realtime", "{\"realtime\":true}"},
	{"{\"LogConfig\":{\"Type\":\"syslog\"}}", "LogConfig: syslog", "log-drivers", "{\"log-drivers\":[\"syslog\"]}"},
	{"{\"Annotations\":{\"a\":\"b\"}}", "Annotations: a", "annotations", "{\"annotations\":[\"a\"]}"},
	{"{\"NewThing\":\"x\"}", "NewThing: \"x\"", "without a rule", "\"any\""},
	{"{\"IpcMode\":\"odd\"}", "IpcMode: odd", "not known", "\"any\""},
};

/* covers D-7 */
static void test_admission_of_host_config(void **state)
{
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		AUTO_FREE char *doc = xasprintf("{\"HostConfig\":%s}", asks[i].doc);
		if (admit("{}", POLICY_CREATE, doc, &e) != -EPERM)
			fail_msg("%s is admitted", asks[i].doc);
		assert_int_equal(e.status, 403);
		if (!strstr(e.text, asks[i].field) || !strstr(e.text, asks[i].rule) || !strstr(e.text, "HostConfig."))
			fail_msg("%s: %s", asks[i].doc, e.text);
		if (admit(asks[i].rules, POLICY_CREATE, doc, &e) != 0)
			fail_msg("%s with %s: %s", asks[i].doc, asks[i].rules, e.text);
	}
}

/* Half of what it takes is not enough. covers D-7 */
static void test_admission_near_misses(void **state)
{
	static const struct {
		const char *rules, *host, *text;
	} near[] = {
		{"{\"privileged\":true}", "{\"Privileged\":true}", "host-namespaces (user)"},
		{"{\"host-namespaces\":[\"pid\"]}", "{\"PidMode\":\"host\"}", "host-namespaces (user)"},
		{"{\"host-namespaces\":[\"ipc\"]}", "{\"IpcMode\":\"host\"}", "host-namespaces (user)"},
		{"{\"devices\":[\"/dev/net/*\"]}", "{\"Devices\":[{\"PathOnHost\":\"/dev/net/../sda\"}]}", "devices"},
		{"{\"capabilities\":[\"A*\"]}", "{\"CapAdd\":[\"ALL\"]}", "capabilities"},
		{"{\"security-options\":[\"apparmor=*\"]}", "{\"SecurityOpt\":[\"seccomp=unconfined\"]}", "seccomp"},
		{"{\"join\":\"none\"}", "{\"PidMode\":\"container:mine\"}", "join"},
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(near); i++) {
		AUTO_FREE char *doc = xasprintf("{\"HostConfig\":%s}", near[i].host);
		if (admit(near[i].rules, POLICY_CREATE, doc, &e) != -EPERM)
			fail_msg("%s is admitted with %s", near[i].host, near[i].rules);
		assert_non_null(strstr(e.text, near[i].text));
	}
}

/* Sysctls are sysctls, also where a network's endpoint asks for them. */
static void test_endpoint_options(void **state)
{
	static const struct {
		const char *rules, *options, *text;
	} bad[] = {
		{"{\"sysctls\":[]}", "{\"com.docker.network.endpoint.sysctls\":\"net.ipv4.conf.IFNAME.forwarding=1\"}",
		 "net.ipv4.conf.IFNAME.forwarding"},
		{"{\"sysctls\":[\"net.ipv4.*\"]}",
		 "{\"com.docker.network.endpoint.sysctls\":"
		 "\"net.ipv4.conf.IFNAME.forwarding=1,net.ipv6.conf.IFNAME.mtu=9\"}",
		 "net.ipv6.conf.IFNAME.mtu"},
		{"{}", "{\"colour\":\"red\"}", "colour"},
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *doc = xasprintf(
			"{\"NetworkingConfig\":{\"EndpointsConfig\":{\"blue\":{\"DriverOpts\":%s}}}}", bad[i].options);
		if (admit(bad[i].rules, POLICY_CREATE, doc, &e) != -EPERM)
			fail_msg("%s is admitted with %s", bad[i].options, bad[i].rules);
		assert_non_null(strstr(e.text, bad[i].text));
	}
}

/* What an ordinary client sends passes without any rule. */
static void test_ordinary_requests(void **state)
{
	static const char *const docs[] = {
		"{\"Image\":\"busybox\",\"Cmd\":[\"sh\"],\"Env\":[\"A=b\"],\"HostConfig\":{\"NetworkMode\":\"default\","
		"\"Privileged\":false,\"CapAdd\":[],\"Binds\":[\"data:/data:ro\"],\"LogConfig\":{\"Type\":\"\","
		"\"Config\":{}},"
		"\"RestartPolicy\":{\"Name\":\"no\"},\"CapDrop\":[\"ALL\"],\"SecurityOpt\":[\"no-new-privileges\"],"
		"\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]},\"Memory\":1048576}}",
		"{\"HostConfig\":{\"CapAdd\":[\"CHOWN\",\"CAP_KILL\"],\"Runtime\":\"crun\","
		"\"PidMode\":\"container:mine\","
		"\"OomScoreAdj\":500,\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":9,\"Hard\":9}]}}",
		"{\"NetworkingConfig\":{\"EndpointsConfig\":{\"blue\":{\"Aliases\":[\"db\"],\"IPAMConfig\":{}}}}}",
		"{\"NetworkingConfig\":{\"EndpointsConfig\":{\"blue\":{\"DriverOpts\":{"
		"\"com.docker.network.endpoint.ifname\":\"wan0\",\"com.docker.network.endpoint.sysctls\":"
		"\"net.ipv4.conf.IFNAME.forwarding=1,net.ipv6.conf.IFNAME.hop_limit=9\"}}}}}",
		"{\"HostConfig\":{\"Mounts\":[{\"Type\":\"tmpfs\",\"Target\":\"/t\"},{\"Type\":\"volume\","
		"\"Target\":\"/v\"}]}}",
		"{\"HostConfig\":{\"PidMode\":\"container:nobody-of-that-name\"}}",
	};
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		if (admit("{}", POLICY_CREATE, docs[i], &e) != 0)
			fail_msg("%s: %s", docs[i], e.text);
}

static void test_ceilings(void **state)
{
	static const char rules[] = "{\"max-memory\":1000,\"max-nano-cpus\":1500000000,\"max-pids\":100,"
				    "\"max-shm\":64}";
	static const char *const bad[] = {
		"{}",
		"{\"Memory\":1001,\"NanoCpus\":1,\"PidsLimit\":1}",
		"{\"Memory\":1000,\"PidsLimit\":1}",
		"{\"Memory\":1000,\"NanoCpus\":1500000001,\"PidsLimit\":1}",
		"{\"Memory\":1000,\"CpuQuota\":200000,\"PidsLimit\":1}",
		"{\"Memory\":1000,\"NanoCpus\":1}",
		"{\"Memory\":1000,\"NanoCpus\":1,\"PidsLimit\":-1}",
		"{\"Memory\":1000,\"MemorySwap\":-1,\"NanoCpus\":1,\"PidsLimit\":1}",
		"{\"Memory\":1000,\"NanoCpus\":1,\"PidsLimit\":1,\"ShmSize\":65}",
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *doc = xasprintf("{\"HostConfig\":%s}", bad[i]);
		if (admit(rules, POLICY_CREATE, doc, &e) == 0)
			fail_msg("%s is admitted", bad[i]);
		assert_non_null(strstr(e.text, "max-"));
	}
	assert_int_equal(admit(rules, POLICY_CREATE,
			       "{\"HostConfig\":{\"Memory\":1000,\"MemorySwap\":2000,\"CpuQuota\":150000,"
			       "\"CpuPeriod\":100000,"
			       "\"PidsLimit\":100,\"ShmSize\":64}}",
			       &e),
			 0);
	assert_int_equal(admit(rules, POLICY_UPDATE, "{\"CpuShares\":5}", &e), 0);
	assert_int_equal(admit(rules, POLICY_UPDATE, "{\"Memory\":1001}", &e), -EPERM);
	assert_int_equal(admit(rules, POLICY_UPDATE, "{\"PidsLimit\":-1}", &e), -EPERM);
}

static void test_ports(void **state)
{
	static const char rules[] = "{\"publish\":[\"127.0.0.1\",\"::1\"],\"ports\":[0,\"8000-8999\"]}";
	static const char *const bad[] = {
		"{\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"8080\"}]}}",
		"{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"80\"}]}}",
		"{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8990-9000\"}]}}",
		"{\"PublishAllPorts\":true}",
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *doc = xasprintf("{\"HostConfig\":%s}", bad[i]);
		if (admit(rules, POLICY_CREATE, doc, &e) == 0)
			fail_msg("%s is admitted", bad[i]);
	}
	assert_int_equal(admit(rules, POLICY_CREATE,
			       "{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\","
			       "\"HostPort\":\"\"}]}}}",
			       &e),
			 0);
}

static void test_labels(void **state)
{
	static const char text[] = "{\"roles\":{\"ci\":{\"permissions\":[\"*\"]}},"
				   "\"bindings\":[{\"role\":\"ci\",\"uids\":[1]},"
				   "{\"role\":\"admin\",\"container-labels\":{\"org.example.role\":\"manager\"}}]}";
	struct caller c = local(1, 1);
	struct policy_grant *g = grant(text, &c);
	json_auto_t *role = json_pack("{s:{s:s}}", "Labels", "org.example.role", "manager");
	json_auto_t *engine = json_pack("{s:{s:s}}", "Labels", "io.pouch.owner", "uid:0");
	json_auto_t *plain = json_pack("{s:{s:s}}", "Labels", "org.example.other", "x");
	struct caller root = local(0, 0);
	struct policy_grant *admin = grant(NULL, &root);
	struct err e;

	(void)state;
	assert_int_equal(policy_admit(g, "x", POLICY_CREATE, role, NULL, &e), -EPERM);
	assert_non_null(strstr(e.text, "role-labels"));
	assert_int_equal(policy_admit(g, "x", POLICY_CREATE, plain, NULL, &e), 0);
	assert_int_equal(policy_admit(admin, "x", POLICY_CREATE, role, NULL, &e), 0);
	assert_int_equal(policy_admit(admin, "x", POLICY_CREATE, engine, NULL, &e), -EPERM);
	policy_grant_free(g);
	policy_grant_free(admin);
}

/* covers D-8: the decision is on the real path of what was opened. */
static void test_binds(void **state)
{
	static const char text[] = ROLE("{\"binds\":[\"/srv\",{\"path\":\"/usr/share\",\"read-only\":true}]}");
	struct caller c = local(1, 1);
	struct policy_grant *g = grant(text, &c);
	struct err e;

	(void)state;
	assert_int_equal(policy_admit_bind(g, "x", "/srv", true, &e), 0);
	assert_int_equal(policy_admit_bind(g, "x", "/srv/a/b", true, &e), 0);
	assert_int_equal(policy_admit_bind(g, "x", "/srvx", true, &e), -EPERM);
	assert_int_equal(policy_admit_bind(g, "x", "/", false, &e), -EPERM);
	assert_int_equal(policy_admit_bind(g, "x", "/usr/share/doc", false, &e), 0);
	assert_int_equal(policy_admit_bind(g, "x", "/usr/share/doc", true, &e), -EPERM);
	assert_non_null(strstr(e.text, "binds (read-only)"));
	policy_grant_free(g);
}

static void test_other_documents(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(admit("{}", POLICY_EXEC, "{\"Cmd\":[\"sh\"],\"User\":\"0\"}", &e), 0);
	assert_int_equal(admit("{}", POLICY_EXEC, "{\"Privileged\":true}", &e), -EPERM);
	assert_int_equal(admit("{\"privileged\":true}", POLICY_EXEC, "{\"Privileged\":true}", &e), 0);
	assert_int_equal(admit("{}", POLICY_VOLUME, "{\"Name\":\"v\",\"Driver\":\"local\"}", &e), 0);
	assert_int_equal(admit("{}", POLICY_VOLUME,
			       "{\"DriverOpts\":{\"type\":\"none\",\"device\":\"/\","
			       "\"o\":\"bind\"}}",
			       &e),
			 -EPERM);
	assert_int_equal(admit("{}", POLICY_NETWORK, "{\"Name\":\"n\",\"Driver\":\"bridge\"}", &e), 0);
	assert_int_equal(admit("{}", POLICY_NETWORK, "{\"Name\":\"n\",\"Driver\":\"macvlan\"}", &e), -EPERM);
	assert_int_equal(admit("{}", POLICY_NETWORK,
			       "{\"Name\":\"n\","
			       "\"Options\":{\"com.docker.network.bridge.name\":\"br0\"}}",
			       &e),
			 -EPERM);
}

/* covers D-14 */
static void test_images(void **state)
{
	static const char text[] =
		"{\"roles\":{\"ci\":{\"permissions\":[\"*\"],\"containers\":{\"images\":[\"docker.io/*\","
		"\"reg.example/*\"]}}},"
		"\"bindings\":[{\"role\":\"ci\",\"uids\":[1]},{\"role\":\"admin\",\"uids\":[0]}],\"images\":["
		"{\"match\":\"docker.io/library/*\"},{\"match\":\"docker.io/*\",\"require-digest\":true},"
		"{\"match\":\"evil.example/*\",\"deny\":true}]}";
	struct caller c = local(1, 1), root = local(0, 0);
	struct policy_grant *g = grant(text, &c), *admin = grant(text, &root);
	struct err e;

	(void)state;
	assert_int_equal(policy_admit_image(g, "x", "docker.io/library/busybox:latest", false, &e), 0);
	assert_int_equal(policy_admit_image(g, "x", "docker.io/else/busybox:latest", false, &e), -EPERM);
	assert_non_null(strstr(e.text, "images[1]"));
	assert_int_equal(policy_admit_image(g, "x", "docker.io/else/busybox@sha256:00", true, &e), 0);
	assert_int_equal(policy_admit_image(g, "x", "quay.io/a/b:1", false, &e), -EPERM);
	assert_int_equal(policy_admit_image(admin, "x", "quay.io/a/b:1", false, &e), 0);
	assert_int_equal(policy_admit_image(admin, "x", "evil.example/a:1", false, &e), -EPERM);
	/* and containers of what lies here already */
	json_auto_t *doc = json_pack("{s:s}", "Image", "x");
	struct policy_facts facts = {.image = "evil.example/a:1"};
	assert_int_equal(policy_admit(admin, "x", POLICY_CREATE, doc, &facts, &e), -EPERM);
	facts.image = "docker.io/library/busybox:latest";
	assert_int_equal(policy_admit(admin, "x", POLICY_CREATE, doc, &facts, &e), 0);
	policy_grant_free(g);
	policy_grant_free(admin);
}

/* ---- the digest ---- */

static void expect_digest(const char *text, size_t times, const char *expected)
{
	struct sha256 s;
	char hex[SHA256_HEX];

	sha256_init(&s);
	for (size_t i = 0; i < times; i++)
		sha256_add(&s, text, strlen(text));
	sha256_hex(&s, hex);
	assert_string_equal(hex, expected);
}

/* FIPS 180-4's examples, and NIST's long one in pieces that do not fit the block. */
static void test_sha256(void **state)
{
	(void)state;
	expect_digest("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	expect_digest("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	expect_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	expect_digest("aaaaaaaaaaaaaaaaaaaa", 50000,
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_text_has_numbers),
		cmocka_unit_test(test_listener_needs_its_role),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_builtin_policy),
		cmocka_unit_test(test_socket_with_role),
		cmocka_unit_test(test_container_by_label),
		cmocka_unit_test(test_attested_ceiling),
		cmocka_unit_test(test_viewer_reads_only),
		cmocka_unit_test(test_permission_patterns),
		cmocka_unit_test(test_own_objects),
		cmocka_unit_test(test_admission_of_host_config),
		cmocka_unit_test(test_admission_near_misses),
		cmocka_unit_test(test_endpoint_options),
		cmocka_unit_test(test_ordinary_requests),
		cmocka_unit_test(test_ceilings),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_binds),
		cmocka_unit_test(test_other_documents),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_sha256),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
