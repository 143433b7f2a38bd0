/* Documents of clients: the strict front, the tables, the canonical form, and what errors say. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "ipc/fingerprint.h"
#include "ipc/schema.h"
#include "lib/json.h"
#include "lib/util.h"

/* The canonical form as text, "!" and the error when it is refused; the caller frees. */
static char *canonical(enum schema_id id, unsigned version, const char *text)
{
	struct err e = {0};
	json_t *doc;
	int r = schema_parse_as(id, &(struct schema_context){version}, text, strlen(text), &doc, &e);

	if (r < 0) {
		assert_int_equal(r, -EINVAL);
		assert_null(doc);
		assert_int_equal(err_status(&e), 400);
		return xasprintf("!%s", e.text);
	}
	char *out = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	json_decref(doc);
	return out;
}

static void expect(enum schema_id id, const char *in, const char *out)
{
	AUTO_FREE char *got = canonical(id, API_VERSION_LAST, in);
	assert_string_equal(got, out);
}

/* What is canonical stays as it is. */
static void expect_same(enum schema_id id, const char *text)
{
	expect(id, text, text);
}

static void test_canonical_form(void **state)
{
	(void)state;
	enum schema_id create = SCH_CONTAINER_CREATE;

	expect(create, "{\"Image\":\"a\",\"Cmd\":\"true\"}", "{\"Cmd\":[\"true\"],\"Image\":\"a\"}");
	expect(create, "{\"image\":\"a\",\"HOSTCONFIG\":{\"memory\":7}}",
	       "{\"HostConfig\":{\"Memory\":7},\"Image\":\"a\"}");
	expect(create, "{\"Image\":null,\"Hostname\":\"\",\"Env\":null}", "{}");
	expect(create, "{\"StopSignal\":15}", "{\"StopSignal\":\"15\"}");
	expect(create, "{\"Entrypoint\":[]}", "{\"Entrypoint\":[]}");
	expect(create, "{\"Entrypoint\":[\"\"]}", "{\"Entrypoint\":[\"\"]}");
	expect(create, "{\"ExposedPorts\":{\"80/tcp\":null}}", "{\"ExposedPorts\":{\"80/tcp\":{}}}");
	expect(create, "{\"Labels\":{\"a\":null,\"b\":\"\"}}", "{\"Labels\":{\"a\":\"\",\"b\":\"\"}}");
	expect(create, "{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":null}}}",
	       "{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[]}}}");
	expect(create, "{\"HostConfig\":{\"MemorySwappiness\":-1,\"Isolation\":\"\"}}", "{\"HostConfig\":{}}");
	expect(create,
	       "{\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{\"IPAddress\":\"1.2.3.4\",\"Aliases\":[\"x\"]}}}}",
	       "{\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{\"Aliases\":[\"x\"]}}}}");
	expect(SCH_EXEC_CREATE, "{\"Container\":\"c\",\"Cmd\":[\"a\"]}", "{\"Cmd\":[\"a\"]}");
	expect(SCH_AUTH_CONFIG, "{\"Username\":\"u\",\"ServerAddress\":\"r\"}",
	       "{\"serveraddress\":\"r\",\"username\":\"u\"}");
	expect(SCH_EMPTY, "", "{}");
	expect(SCH_EMPTY, "null", "{}");
	expect(SCH_EMPTY, "{}", "{}");
	expect(SCH_CONTAINER_FILTERS, "{\"label\":{\"a\":true,\"b\":false},\"id\":[\"1\"]}",
	       "{\"id\":[\"1\"],\"label\":[\"a\"]}");
	expect_same(SCH_CONTAINER_FILTERS, "{\"label!\":[\"a=b\"]}");
	expect_same(SCH_ANY, "[1,2.5,null,{\"a\":[]}]");
}

/* What docker run of 20.10 writes, whole: the zero values of another system's fields ask for nothing. */
static void test_docker_cli(void **state)
{
	static const char text[] =
		"{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,\"AttachStdout\":true,"
		"\"AttachStderr\":true,\"Tty\":false,\"OpenStdin\":false,\"StdinOnce\":false,\"Env\":null,\"Cmd\":["
		"\"echo\",\"hi\"],"
		"\"Image\":\"busybox\",\"Volumes\":{},\"WorkingDir\":\"\",\"Entrypoint\":null,\"OnBuild\":null,"
		"\"Labels\":{},"
		"\"HostConfig\":{\"Binds\":null,\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"\",\"Config\":{}},"
		"\"NetworkMode\":\"default\",\"PortBindings\":{},\"RestartPolicy\":{\"Name\":\"no\","
		"\"MaximumRetryCount\":0},"
		"\"AutoRemove\":true,\"VolumeDriver\":\"\",\"VolumesFrom\":null,\"CapAdd\":null,\"CapDrop\":null,"
		"\"CgroupnsMode\":\"\",\"Dns\":[],\"DnsOptions\":[],\"DnsSearch\":[],\"ExtraHosts\":null,\"GroupAdd\":"
		"null,"
		"\"IpcMode\":\"\",\"Cgroup\":\"\",\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":"
		"false,"
		"\"PublishAllPorts\":false,\"ReadonlyRootfs\":false,\"SecurityOpt\":null,\"UTSMode\":\"\","
		"\"UsernsMode\":\"\","
		"\"ShmSize\":0,\"ConsoleSize\":[0,0],\"Isolation\":\"\",\"CpuShares\":0,\"Memory\":0,\"NanoCpus\":0,"
		"\"CgroupParent\":\"\",\"BlkioWeight\":0,\"BlkioWeightDevice\":[],\"BlkioDeviceReadBps\":null,"
		"\"BlkioDeviceWriteBps\":null,\"BlkioDeviceReadIOps\":null,\"BlkioDeviceWriteIOps\":null,\"CpuPeriod\":"
		"0,"
		"\"CpuQuota\":0,\"CpuRealtimePeriod\":0,\"CpuRealtimeRuntime\":0,\"CpusetCpus\":\"\",\"CpusetMems\":"
		"\"\","
		"\"Devices\":[],\"DeviceCgroupRules\":null,\"DeviceRequests\":null,\"KernelMemory\":0,"
		"\"KernelMemoryTCP\":0,"
		"\"MemoryReservation\":0,\"MemorySwap\":0,\"MemorySwappiness\":-1,\"OomKillDisable\":false,"
		"\"PidsLimit\":0,"
		"\"Ulimits\":null,\"CpuCount\":0,\"CpuPercent\":0,\"IOMaximumIOps\":0,\"IOMaximumBandwidth\":0,"
		"\"MaskedPaths\":null,\"ReadonlyPaths\":null},\"NetworkingConfig\":{\"EndpointsConfig\":{}}}";

	(void)state;
	for (unsigned version = API_VERSION_FIRST; version <= API_VERSION_LAST; version++) {
		AUTO_FREE char *once = canonical(SCH_CONTAINER_CREATE, version, text);
		assert_int_equal(once[0], '{');
		expect_same(SCH_CONTAINER_CREATE, once);
		assert_null(strstr(once, "KernelMemory"));
		assert_null(strstr(once, "Swappiness"));
		assert_non_null(strstr(once, "\"Cmd\":[\"echo\",\"hi\"]"));
	}
}

/* covers D-7: a field that no table knows is refused by name. */
static void test_refusals(void **state)
{
	static const struct {
		enum schema_id id;
		unsigned version;
		const char *in, *error;
	} cases[] = {
		{SCH_CONTAINER_CREATE, 47, "{\"Imag\":\"a\"}", "!unknown field Imag (line 1, column 9)"},
		{SCH_CONTAINER_CREATE, 47, "{\n \"HostConfig\": {\"Priv\": true}}",
		 "!unknown field HostConfig.Priv (line 2, column 25)"},
		{SCH_CONTAINER_CREATE, 47,
		 "{\"HostConfig\":{\"Mounts\":[{\"Type\":\"bind\",\"Target\":\"/a\",\"Source\":7}]}}",
		 "!HostConfig.Mounts[0].Source: expected a path without NUL of at most 4095 bytes, not an integer "
		 "(line 1, column 64)"},
		{SCH_CONTAINER_CREATE, 47, "{\"HostConfig\":{\"Memory\":\"1g\"}}",
		 "!HostConfig.Memory: expected an integer, at least 0, not text (line 1, column 25)"},
		{SCH_CONTAINER_CREATE, 47, "{\"HostConfig\":{\"Memory\":1.0}}",
		 "!HostConfig.Memory: expected an integer, at least 0, not a fraction (line 1, column 25)"},
		{SCH_CONTAINER_CREATE, 47, "{\"HostConfig\":{\"OomScoreAdj\":1001}}",
		 "!HostConfig.OomScoreAdj: expected an integer from -1000 to 1000, not 1001 (line 1, column 30)"},
		{SCH_CONTAINER_CREATE, 47, "{\"HostConfig\":{\"CpuPercent\":1}}",
		 "!field HostConfig.CpuPercent is only for Windows (line 1, column 29)"},
		{SCH_CONTAINER_CREATE, 47, "{\"HostConfig\":{\"Isolation\":\"hyperv\"}}",
		 "!HostConfig.Isolation: expected one of \"default\" (line 1, column 28)"},
		{SCH_CONTAINER_CREATE, 47, "{\"Runtime\":\"runc\"}",
		 "!field Runtime belongs into HostConfig (line 1, column 12)"},
		{SCH_CONTAINER_CREATE, 40, "{\"HostConfig\":{\"CgroupnsMode\":\"host\"}}",
		 "!field HostConfig.CgroupnsMode needs API version 1.41 (line 1, column 31)"},
		{SCH_CONTAINER_CREATE, 47, "{\"Image\":\"a\",\"image\":\"b\"}",
		 "!field image is given twice, in different spellings (line 1, column 22)"},
		{SCH_CONTAINER_CREATE, 47, "{\"ExposedPorts\":{\"http\":{}}}",
		 "!ExposedPorts.http: the name is not port[-port][/tcp|/udp|/sctp] (line 1, column 25)"},
		{SCH_CONTAINER_CREATE, 47, "{\"HostConfig\":{\"Annotations\":{\"run.oci.hooks\":\"x\"}}}",
		 "!HostConfig.Annotations[\"run.oci.hooks\"]: the name is not a name that users may set "
		 "(not run.oci.* or org.systemd.property.*) (line 1, column 47)"},
		{SCH_CONTAINER_CREATE, 47, "[]", "!the document: expected an object, not a list (line 1, column 1)"},
		{SCH_CONTAINER_CREATE, 47, "7", "!the document: expected an object, not an integer (line 1, column 1)"},
		{SCH_NETWORK_CONNECT, 47, "{}",
		 "!the document: \"Container\" is missing: a container's name, id or id prefix of at most 256 bytes "
		 "(line 1, column 1)"},
		{SCH_NETWORK_CONNECT, 47, "null",
		 "!the document: \"Container\" is missing: a container's name, id or id prefix of at most 256 bytes "
		 "(line 1, column 1)"},
		{SCH_CONTAINER_FILTERS, 47, "{\"color\":[\"red\"]}", "!invalid filter 'color' (line 1, column 10)"},
		{SCH_CONTAINER_FILTERS, 47, "{\"label\":\"a\"}",
		 "!label: expected a list of texts, or an object of booleans, not text (line 1, column 10)"},
		{SCH_EMPTY, 47, "{\"a\":1}", "!unknown field a (line 1, column 6)"},
		{SCH_CONTAINER_CREATE, 47, "{\"a\\u00fc\\u0022\":1}", "!unknown field [\"a???\"] (line 1, column 18)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *got = canonical(cases[i].id, cases[i].version, cases[i].in);
		assert_string_equal(got, cases[i].error);
	}
}

static void test_not_json(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *error;
	} cases[] = {
		{"", 0, "'[' or '{' expected"},
		{"{\"a\":1,\"a\":2}", 13, "duplicate object key (line 1, column 10)"},
		{"{\"a\":\"\\u0000\"}", 14, "\\u0000 is not allowed"},
		{"{\"a\":\"\0\"}", 9, "control character 0x0"},
		{"{\"a\":1}\0", 8, "a NUL byte (line 1, column 8)"},
		{"{\"a\":\"\xc3\x28\"}", 10, "unable to decode byte 0xc3"},
		{"{\"a\":\"\xed\xa0\x80\"}", 11, "unable to decode byte 0xed"},
		{"{\"a\":\"\\ud800\"}", 14, "invalid Unicode"},
		{"{\"a\":9223372036854775808}", 25, "too big integer"},
		{"{\"a\":1e999}", 11, "real number overflow"},
		{"{\"a\":1}}", 8, "end of file expected"},
		{"{\"a\":1} x", 9, "end of file expected"},
		{"{'a':1}", 7, "string or '}' expected"},
		{"{\"a\":01}", 8, "invalid token"},
		{"\xef\xbb\xbf{}", 5, "unable to decode byte 0xef"},
		{"{\"password\":\"hunter2", 20, "premature end of input"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = {0};
		json_t *doc;
		assert_int_equal(schema_parse(SCH_ANY, cases[i].text, cases[i].len, &doc, &e), -EINVAL);
		assert_null(doc);
		assert_true(str_starts(e.text, "invalid JSON: "));
		if (!strstr(e.text, cases[i].error) && i && i != 14)
			fail_msg("case %zu: %s", i, e.text);
		assert_non_null(strstr(e.text, "(line "));
		assert_null(strstr(e.text, "hunter2")); /* covers S-5 */
	}
}

static enum schema_id id_by_name(const char *name)
{
	unsigned id = 0;

	while (id < SCH_COUNT && strcmp(schema_name((enum schema_id)id), name) != 0)
		id++;
	return (enum schema_id)id;
}

/* What real clients wrote passes, and is canonical for the owner then. Run from the top of the checkout. */
static void test_clients(void **state)
{
	FILE *in = fopen("tests/unit/data/clients.txt", "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0, count = 0;

	(void)state;
	assert_non_null(in);
	while (getline(&line, &room, in) > 0) {
		char name[64];
		unsigned version;
		int at = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%63s %u %n", name, &version, &at) < 2)
			continue;
		AUTO_FREE char *got = canonical(id_by_name(name), version, line + at);
		if (got[0] == '!')
			fail_msg("%s: %s", name, got);
		expect_same(id_by_name(name), got);
		count++;
	}
	fclose(in);
	assert_in_range(count, 50, 1000);
}

/* covers S-6: what only asks for memory gets none. */
static void test_bounds(void **state)
{
	size_t n = 1000000, len = 0;
	AUTO_FREE char *text = xcalloc(n + 1, 16);
	struct err e = {0};
	json_t *doc;

	(void)state;
	memset(text, '[', 10000);
	size_t before = mallinfo2().uordblks;
	assert_int_equal(schema_parse(SCH_ANY, text, 10000, &doc, &e), -EINVAL);
	assert_string_equal(e.text, "invalid JSON: nested too deeply (line 1, column 65)");
	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%c\"k%zu\":1", i ? ',' : '{', i);
	text[len++] = '}';
	assert_int_equal(schema_parse(SCH_ANY, text, len, &doc, &e), -EINVAL);
	assert_true(str_starts(e.text, "invalid JSON: too many values"));
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
#ifndef POUCH_SANITIZED
	struct mallinfo2 high = mallinfo2();
	assert_in_range(high.arena, 0, 1 << 20);
#endif
}

static void test_places(void **state)
{
	static const char text[] = "{ \"a\" : [1, {\"x\\\"y\": \"],}\",\n \"b\\u0041\": tru}], \"c\":-1.5e3}";
	struct json_step element[] = {{.key = "a"}, {.index = 1}};
	struct json_step escaped[] = {{.key = "a"}, {.index = 1}, {.key = "bA"}};
	struct json_step last[] = {{.key = "c"}};
	struct json_step missing[] = {{.key = "a"}, {.index = 2}};
	struct json_place place;

	(void)state;
	assert_true(json_locate(text, strlen(text), element, 2, &place));
	assert_int_equal(place.line * 100 + place.column, 113);
	assert_true(json_locate(text, strlen(text), escaped, 3, &place));
	assert_int_equal(place.line * 100 + place.column, 213);
	assert_true(json_locate(text, strlen(text), last, 1, &place));
	assert_int_equal(place.line, 2);
	assert_false(json_locate(text, strlen(text), missing, 2, &place));
	assert_false(json_locate("{", 1, last, 1, &place));
}

/* covers S-56: the longest argument passes whole, one byte more is refused. */
static void test_lengths(void **state)
{
	static const size_t lengths[] = {65535, 65536, 65537, 131071, 131072};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		AUTO_FREE char *value = xcalloc(lengths[i] + 1, 1);
		memset(value, 'v', lengths[i]);
		AUTO_FREE char *text = xasprintf("{\"Cmd\":[\"%s\"]}", value);
		AUTO_FREE char *got = canonical(SCH_CONTAINER_CREATE, 47, text);
		if (lengths[i] <= 131071)
			assert_string_equal(got, text);
		else
			assert_string_equal(got, "!Cmd[0]: longer than 131071 bytes (line 1, column 9)");
	}
}

static void test_grammars(void **state)
{
	static const struct {
		enum grammar g;
		const char *good[4], *bad[5];
	} cases[] = {
		{G_PORT, {"80", "80/tcp", "80-90/udp", "65535/sctp"}, {"65536", "80/", "80/TCP", "-80", "80-/tcp"}},
		{G_DEVICE_RULE,
		 {"c 1:3 rwm", "a *:* r", "b 8:* m"},
		 {"c 1:3", "d 1:3 r", "c 1:3 rwmr", "c 1: r", "c  1:3 r"}},
		{G_CIDR,
		 {"10.0.0.0/8", "fd00::/64", "0.0.0.0/0"},
		 {"10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "/8"}},
		{G_MAC,
		 {"02:42:ac:11:00:02", "02-42-AC-11-00-02"},
		 {"02:42:ac:11:00", "02:42:ac:11:00:0g", "0242:ac:11:00:02x"}},
		{G_IP, {"1.2.3.4", "::1"}, {"1.2.3", "1.2.3.4.5", "::g", "1.2.3.256", "host"}},
		{G_ANNOTATION, {"org.example"}, {"run.oci.x", "run.oci.", "org.systemd.property.x"}},
		{G_SYSCTL, {"net.ipv4.ip_forward", "kernel.msgmax"}, {"../x", "a b", "."}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < 4 && cases[i].good[k]; k++)
			if (!grammar_check(cases[i].g, cases[i].good[k], strlen(cases[i].good[k])))
				fail_msg("refused: %s", cases[i].good[k]);
		for (size_t k = 0; k < 5 && cases[i].bad[k]; k++)
			if (grammar_check(cases[i].g, cases[i].bad[k], strlen(cases[i].bad[k])))
				fail_msg("accepted: %s", cases[i].bad[k]);
	}
}

/* Every row of every table: complete, and found by its own name alone. */
static void check_rows(const struct schema_field *f, unsigned depth);

static void check_object_rows(const struct schema_object *o, unsigned depth)
{
	assert_non_null(o->name);
	for (const struct schema_field *f = o->fields; f->name; f++) {
		assert_non_null(f->doc);
		assert_ptr_equal(schema_field(o, f->name), f);
		assert_true(f->type != S_TEXT || f->max > 0);
		assert_true(f->type != S_INT || f->min < 0 || (uint64_t)f->min < f->max);
		check_rows(f, depth + 1);
	}
	for (size_t i = 0; i < 3 && o->parts[i]; i++) {
		for (const struct schema_field *f = o->fields; f->name; f++)
			assert_null(schema_field(o->parts[i], f->name));
		check_object_rows(o->parts[i], depth);
	}
}

static void check_rows(const struct schema_field *f, unsigned depth)
{
	assert_in_range(depth, 0, 20);
	if (f->type == S_OBJECT)
		check_object_rows(f->object, depth);
	else if (f->type == S_LIST || f->type == S_MAP)
		check_rows(f->of, depth + 1);
	else if (f->type == S_WORDS)
		assert_non_null(f->words[0]);
}

static void test_tables(void **state)
{
	(void)state;
	for (unsigned id = 0; id < SCH_COUNT; id++)
		check_rows(schema_root((enum schema_id)id), 0);
	assert_null(schema_root(SCH_COUNT));
	assert_string_equal(schema_name(SCH_COUNT), "?");
}

static uint64_t print_of(const struct schema_field *f)
{
	return fingerprint_field(FINGERPRINT_START, f);
}

#define CHANGED(member, value)                                                                                         \
	do {                                                                                                           \
		struct schema_field other = row;                                                                       \
		other.member = (value);                                                                                \
		assert_int_not_equal(print_of(&row), print_of(&other));                                                \
	} while (0)

/* What a row says changes the fingerprint, also below an element or an object; its doc text does not. */
static void test_fingerprint(void **state)
{
	static const char *const some[] = {"a", "b", NULL}, *const others[] = {"a", "c", NULL};
	static const struct schema_field text = {.type = S_TEXT, .rule = G_TEXT, .max = 10},
					 longer = {.type = S_TEXT, .rule = G_TEXT, .max = 11};
	static const struct schema_field fields[] = {{.name = "x", .type = S_BOOL}, {0}},
					 renamed[] = {{.name = "y", .type = S_BOOL}, {0}};
	static const struct schema_object object = {.name = "o", .fields = fields},
					  other_object = {.name = "o", .fields = renamed},
					  whole = {.name = "o", .fields = fields, .parts = {&other_object}};
	const struct schema_field row = {
		.name = "n", .type = S_LIST, .words = some, .of = &text, .object = &object, .doc = "words"};
	struct schema_field same = row;

	(void)state;
	same.doc = "other words";
	assert_int_equal(print_of(&row), print_of(&same));
	CHANGED(name, "m");
	CHANGED(type, S_MAP);
	CHANGED(class, C_SECRET);
	CHANGED(rule, G_BYTES);
	CHANGED(min, -1);
	CHANGED(max, 1);
	CHANGED(words, others);
	CHANGED(of, &longer);
	CHANGED(object, &other_object);
	CHANGED(object, &whole);
	CHANGED(since, 30);
	CHANGED(until, 40);
	CHANGED(required, true);
	CHANGED(text_too, true);
	CHANGED(unset, -1);
	assert_int_not_equal(fingerprint_documents(FINGERPRINT_START), FINGERPRINT_START);
	assert_int_not_equal(fingerprint_documents(1), fingerprint_documents(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_form), cmocka_unit_test(test_docker_cli),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_bounds),	       cmocka_unit_test(test_places),
		cmocka_unit_test(test_clients),	       cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_grammars),       cmocka_unit_test(test_tables),
		cmocka_unit_test(test_fingerprint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
