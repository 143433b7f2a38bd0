/* lib/config: pouch.json, its defaults, --set, and what its complaints say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/config.h"
#include "lib/config_parse.h"
#include "lib/daemon.h"
#include "lib/util.h"

static struct config_source source(const char *text, const char *const *sets, size_t nsets)
{
	return (struct config_source){.file = text ? "t.json" : NULL,
				      .text = text,
				      .len = text ? strlen(text) : 0,
				      .root = "/tmp/engine",
				      .run = "/tmp/engine/run",
				      .sets = sets,
				      .nsets = nsets};
}

static struct config *good(const char *text)
{
	const struct config_source s = source(text, NULL, 0);
	struct config *c = NULL;
	struct err e = {0};

	if (config_parse(&s, &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

/* Whether `text` is refused with exactly this complaint. */
static void refused(const char *text, const char *complaint)
{
	const struct config_source s = source(text, NULL, 0);
	struct config *c = NULL;
	struct err e = {0};

	assert_int_equal(config_parse(&s, &c, &e), -EINVAL);
	assert_null(c);
	assert_string_equal(e.text, complaint);
}

static void test_every_default_is_good(void **state)
{
	struct config *c = good(NULL);

	(void)state;
	assert_int_equal(c->limits_head_bytes, 32768);
	assert_int_equal(c->limits_head_timeout, 10000);
	assert_int_equal(c->listeners.n, 1);
	assert_int_equal(c->listeners.v[0].mode, 0660);
	assert_string_equal(c->listeners.v[0].path, "/tmp/engine/run/pouchd.sock");
	assert_string_equal(config_api_socket(c), c->listeners.v[0].path);
	assert_true(config_runtime(c, "crun")->bpf_annotation);
	assert_null(config_runtime(c, "runc"));
	assert_int_equal(c->network_pools.n, 5);
	assert_string_equal(c->containers_capabilities.v[10], "SYS_CHROOT");
	config_free(c);
}

static void test_values(void **state)
{
	struct config *c =
		good("{\"limits\": {\"json-body\": \"1m\", \"head-timeout\": 2.5, \"idle-timeout\": \"1500ms\"},\n"
		     "\"images\": {\"registries\": {\"localhost:5000\": {\"insecure\": true,"
		     "\"mirrors\": [\"https://a\", \"http://b:80/x\"]}}}, \"log\": {\"level\": \"debug\"},"
		     "\"listeners\": [{\"mode\": \"0600\"}, {\"type\": \"tcp\", \"plain-text\": true}]}");

	(void)state;
	assert_int_equal(c->limits_json_body, 1 << 20);
	assert_int_equal(c->limits_head_timeout, 2500);
	assert_int_equal(c->limits_idle_timeout, 1500);
	assert_int_equal(c->log_level, 3);
	assert_int_equal(c->listeners.v[0].mode, 0600);
	assert_int_equal(c->listeners.v[1].type, LISTENER_TCP);
	assert_int_equal(c->listeners.v[1].port, 2376);
	const struct config_registry *r = config_registry(c, "localhost:5000");
	assert_non_null(r);
	assert_true(r->insecure);
	assert_int_equal(r->mirrors.n, 2);
	assert_string_equal(r->mirrors.v[1], "http://b:80/x");
	assert_null(config_registry(c, "localhost"));
	config_free(c);
}

static void test_complaints(void **state)
{
	(void)state;
	refused("{\n\"limits\": {\n \"head-bites\": 1}}", "t.json:3: limits.head-bites: there is no such setting");
	refused("{\n\n\"limit\": {}}", "t.json:3: limit: there is no such setting");
	refused("{\"limits.requests\": 16}", "t.json:1: limits.requests: there is no such setting");
	refused("{\"limits\":\n3}", "t.json:1: limits: an object is expected");
	refused("{\"limits\": {\n\"requests\": \"16\"}}", "t.json:2: limits.requests: a whole number is expected");
	refused("{\"limits\": {\"requests\": 15}}", "t.json:1: limits.requests: 15 is not between 16 and 65536");
	refused("{\"limits\": {\"json-body\": \"1x\"}}", "t.json:1: limits.json-body: a size: bytes, or a text such as "
							 "\"64k\", \"10m\", \"2g\", \"1t\" is expected");
	refused("{\"limits\": {\"json-body\": \"99999999999999999999t\"}}",
		"t.json:1: limits.json-body: a size: bytes, or a text such as \"64k\", \"10m\", \"2g\", \"1t\" is "
		"expected");
	refused("{\"userns\": {\"enabled\": 1}}", "t.json:1: userns.enabled: true or false is expected");
	refused("{\"log\": {\"level\": \"loud\"}}",
		"t.json:1: log.level: one of \"error\", \"warn\", \"info\", \"debug\" is expected");
	refused("{\"a\": 1,\n\"a\": 2}", "t.json:2: duplicate object key near '\"a\"'");
	refused("{\n\"labels\": [\"a=b\",\n\n\"c\"]}", "t.json:4: labels[1]: \"c\" is not key=value");
	refused("{\"policy\": \"x\"}", "t.json:1: policy: \"x\" is not an absolute path");
	refused("[]", "t.json:1: an object is expected");
	refused("{\"log-driver\": {\"default\": \"paper\"}}",
		"t.json:1: log-driver.default: \"paper\" is not the name of a log driver");
	refused("{\"runtime\": {\"runtimes\": {\"runc\": {}}}}", "t.json:1: runtime.runtimes.runc.path: must be given");
	refused("{\"runtime\": {\"runtimes\": {\"runc\": {\"path\": \"/r\"}}}}",
		"t.json:1: runtime.default: runtime.runtimes has no \"crun\"");
	refused("{\"listeners\": [{},\n{\"mode\": \"0999\"}]}",
		"t.json:2: listeners[1].mode: a mode as octal text, such as \"0660\", is expected");
}

static void test_settings_that_must_fit(void **state)
{
	(void)state;
	refused("{\"listeners\": [{}, {}]}", "t.json:1: listeners[1]: is the same socket as listeners[0]");
	refused("{\"listeners\": []}", "t.json:1: listeners: has 0 elements, not 1 to 64");
	refused("{\"listeners\": [{\"type\": \"tcp\"}]}", "t.json:1: listeners[0].plain-text: must be true for type "
							  "tcp: anyone who can connect is served in plain text");
	refused("{\"listeners\": [\n{\"type\": \"tcp\",\n\"plain-text\": true,\n\"address\": \"0.0.0.0\"}]}",
		"t.json:4: listeners[0].address: 0.0.0.0 is not a loopback address, which type tcp demands; use type "
		"tls");
	refused("{\"listeners\": [{\"type\": \"tls\", \"tls-cert\": \"/c\"}]}",
		"t.json:1: listeners[0].tls-key: must be given for type tls");
	refused("{\"ids\": {\"base\": 200000, \"containers\": {\"base\": 131072, \"count\": 2}}}",
		"t.json:1: ids.base: 200000 to 200015 lies in the containers' ranges, 131072 to 262143");
	refused("{\"ids\": {\"containers\": {\"base\": 4294836224, \"count\": 3}}}",
		"t.json:1: ids.containers.count: the ranges end at 4295032832, beyond the last user id");
	refused("{\"network\": {\"bridge\": {\"subnet\": \"10.9.0.0/16\", \"gateway\": \"10.8.0.1\"}}}",
		"t.json:1: network.bridge.gateway: 10.8.0.1 is no address of a host in 10.9.0.0/16");
	refused("{\"network\": {\"bridge\": {\"subnet\": \"10.9.1.0/16\"}}}",
		"t.json:1: network.bridge.subnet: \"10.9.1.0/16\" is not an IPv4 subnet such as 10.1.0.0/16");
}

static void test_set(void **state)
{
	static const char *const sets[] = {"limits.requests=17", "dns.servers=1.1.1.1,9.9.9.9", "log.level=warn",
					   "limits.idle-timeout=5", "listeners=[{\"mode\":\"0666\"}]"};
	const struct config_source s = source("{\"limits\": {\"requests\": 16, \"head-bytes\": 4096}}", sets, 5);
	struct config *c = NULL;
	struct err e = {0};

	(void)state;
	assert_int_equal(config_parse(&s, &c, &e), 0);
	assert_int_equal(c->limits_requests, 17);
	assert_int_equal(c->limits_head_bytes, 4096);
	assert_int_equal(c->limits_idle_timeout, 5000);
	assert_int_equal(c->dns_servers.n, 2);
	assert_int_equal(c->listeners.v[0].mode, 0666);
	config_free(c);
}

static void test_set_complaints(void **state)
{
	static const struct {
		const char *set, *complaint;
	} bad[] = {
		{"limits.request=1", "--set limits.request: there is no such setting"},
		{"limits", "--set limits: KEY=VALUE is expected"},
		{"limits.requests=x", "--set limits.requests: a whole number is expected"},
		{"listeners=[", "--set listeners: JSON is expected"},
		{"listeners=[{\"mode\":\"9\"}]",
		 "--set listeners[0].mode: a mode as octal text, such as \"0660\", is expected"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct config_source s = source("{}", &bad[i].set, 1);
		struct config *c = NULL;
		struct err e = {0};
		assert_int_equal(config_parse(&s, &c, &e), -EINVAL);
		assert_string_equal(e.text, bad[i].complaint);
	}
}

/* What the supervisor hands its children says the same as the file and --set together. */
static void test_text(void **state)
{
	static const char *const sets[] = {"limits.requests=17"};
	const struct config_source s = source("{\"log\": {\"level\": \"debug\"}}", sets, 1);
	struct config *c = NULL;
	struct err e = {0};
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(config_text(&s, &text, &len, &e), 0);
	assert_int_equal(len, strlen(text));
	assert_null(strchr(text, '\n'));
	c = good(text);
	assert_int_equal(c->limits_requests, 17);
	assert_int_equal(c->log_level, 3);
	config_free(c);
	free(text);
}

static void test_fixed_difference(void **state)
{
	struct config *a = good("{}"), *b = good("{\"limits\": {\"requests\": 99}}");
	struct config *c = good("{\"network\": {\"bridge\": {\"name\": \"other0\"}}}");
	struct config *d = good("{\"log-driver\": {\"files\": [\"/etc/ca.pem\"]}}");

	(void)state;
	assert_null(config_fixed_difference(a, b));
	assert_string_equal(config_fixed_difference(a, c), "network.bridge.name");
	assert_string_equal(config_fixed_difference(a, d), "log-driver.files");
	config_free(d);
	config_free(a);
	config_free(b);
	config_free(c);
}

/* A fixed setting of a kind that config_fixed_difference() does not compare would be lost silently. */
static void test_fixed_rows_can_be_compared(void **state)
{
	(void)state;
	for (const struct config_row *row = config_rows()->rows; row->key; row++)
		if (row->when == START)
			assert_true(row->type <= CONFIG_TEXTS);
}

/* Engines on one machine must not share what comes from the root's path. */
static void test_engines_differ(void **state)
{
	struct config_source s = source(NULL, NULL, 0);
	struct config *a = NULL, *b = NULL, *c = NULL;
	struct err e;

	(void)state;
	assert_int_equal(config_parse(&s, &a, &e), 0);
	s.root = "/tmp/engine2";
	assert_int_equal(config_parse(&s, &b, &e), 0);
	s.root = DAEMON_DEFAULT_ROOT;
	assert_int_equal(config_parse(&s, &c, &e), 0);
	assert_int_not_equal(a->ids_base, b->ids_base);
	assert_string_not_equal(a->network_bridge, b->network_bridge);
	assert_string_not_equal(a->network_nft_table, b->network_nft_table);
	assert_string_not_equal(a->cgroup_parent, b->cgroup_parent);
	assert_string_equal(c->network_bridge, "pouch0");
	assert_string_equal(c->policy_path, "/etc/pouch/policy.json");
	config_free(a);
	config_free(b);
	config_free(c);
}

/* Every truncation of a file is refused, and none crashes. */
static void test_truncations(void **state)
{
	static const char text[] =
		"{\"images\": {\"registries\": {\"a\\\"b\": {}, \"r.io\": {\"mirrors\": [\"https://m\", 3]}}},"
		" \"limits\": {\"requests\": 17, \"nope\": [{\"x\": \"}\"}]}}";

	(void)state;
	for (size_t n = 0; n < sizeof text; n++) {
		AUTO_FREE char *cut = xstrndup(text, n);
		const struct config_source s = source(cut, NULL, 0);
		struct config *c = NULL;
		struct err e = {0};
		assert_int_equal(config_parse(&s, &c, &e), -EINVAL);
		assert_true(strncmp(e.text, "t.json:", 7) == 0);
	}
}

/* The file that an installation begins with. */
static void test_example(void **state)
{
	const struct config_source s = {
		.file = "dist/pouch.json", .root = DAEMON_DEFAULT_ROOT, .run = DAEMON_DEFAULT_RUN};
	struct config *c = NULL;
	struct err e = {0};

	(void)state;
	if (config_load(&s, &c, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(config_api_socket(c), "/run/pouch/pouchd.sock");
	config_free(c);
}

static void test_line_of_a_way(void **state)
{
	static const char text[] = "{\n\"a\": \"}{\\\"\",\n\"b\": [1,\n[2,\n3], {\"c\":\n {\"d\": 1}}]}";
	const struct config_at b = {.key = "b", .dotted = true};
	const struct config_at b1 = {.up = &b, .index = 1}, b11 = {.up = &b1, .index = 1};
	const struct config_at b2 = {.up = &b, .index = 2}, d = {.up = &b2, .key = "c.d", .dotted = true};
	const struct config_at missing = {.up = &b2, .key = "x"};

	(void)state;
	assert_int_equal(config_line(text, NULL), 1);
	assert_int_equal(config_line(text, &b), 3);
	assert_int_equal(config_line(text, &b1), 4);
	assert_int_equal(config_line(text, &b11), 5);
	assert_int_equal(config_line(text, &d), 6);
	assert_int_equal(config_line(text, &missing), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_default_is_good),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_complaints),
		cmocka_unit_test(test_settings_that_must_fit),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_complaints),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_fixed_difference),
		cmocka_unit_test(test_fixed_rows_can_be_compared),
		cmocka_unit_test(test_engines_differ),
		cmocka_unit_test(test_truncations),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_line_of_a_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
