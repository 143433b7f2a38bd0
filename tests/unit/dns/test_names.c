/* netd/dns: questions taken apart, names found, answers put together. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "netd/dns/answer.h"

/* "web" A IN, id 0x0102, recursion wanted */
static const uint8_t web[] = {1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'W', 'e', 'b', 0, 0, 1, 0, 1};

static void test_parse(void **state)
{
	struct packet_query q;
	uint8_t bytes[sizeof web];

	(void)state;
	assert_int_equal(packet_parse(web, sizeof web, &q), RCODE_OK);
	assert_string_equal(q.name, "web");
	assert_int_equal(q.type, TYPE_A);
	assert_int_equal(q.end, sizeof web);
	for (size_t len = 0; len < sizeof web; len++)
		assert_int_equal(packet_parse(web, len, &q), len < PACKET_HEADER ? -EBADMSG : RCODE_FORMAT);
	memcpy(bytes, web, sizeof web);
	bytes[2] |= 0x80; /* an answer */
	assert_int_equal(packet_parse(bytes, sizeof bytes, &q), -EBADMSG);
	bytes[2] = 0x10; /* a status request */
	assert_int_equal(packet_parse(bytes, sizeof bytes, &q), RCODE_NOT_IMPLEMENTED);
	memcpy(bytes, web, sizeof web);
	bytes[12] = 0xc0; /* a compressed name with nothing in front of it */
	assert_int_equal(packet_parse(bytes, sizeof bytes, &q), RCODE_FORMAT);
	memcpy(bytes, web, sizeof web);
	bytes[14] = '.'; /* is no name of ours, and not "w.b" */
	assert_int_equal(packet_parse(bytes, sizeof bytes, &q), RCODE_OK);
	assert_string_equal(q.name, "");
}

static void test_longest_name(void **state)
{
	/* 4 labels of 63 are one byte more than a name may have; with the last one a byte shorter they are not. */
	for (uint8_t last = 61; last <= 62; last++) {
		uint8_t bytes[300] = {0, 0, 1, 0, 0, 1};
		size_t n = PACKET_HEADER;
		struct packet_query q;

		(void)state;
		for (int i = 0; i < 4; i++) {
			bytes[n++] = i < 3 ? 63 : last;
			memset(bytes + n, 'a', i < 3 ? 63 : last);
			n += i < 3 ? 63 : last;
		}
		assert_int_equal(packet_parse(bytes, n + 5, &q), last == 61 ? RCODE_OK : RCODE_FORMAT);
	}
}

static void test_answers(void **state)
{
	struct packet_query q;
	uint8_t answer[sizeof web];

	(void)state;
	packet_parse(web, sizeof web, &q);
	memcpy(answer, web, sizeof web);
	assert_false(packet_answers(&q, 0x0102, answer, sizeof answer)); /* it is a question */
	answer[2] |= 0x80;
	assert_true(packet_answers(&q, 0x0102, answer, sizeof answer));
	answer[13] = 'w';
	assert_true(packet_answers(&q, 0x0102, answer, sizeof answer));
	assert_false(packet_answers(&q, 0x0103, answer, sizeof answer));
	assert_false(packet_answers(&q, 0x0102, answer, sizeof answer - 1));
	answer[sizeof answer - 3] = 0x21; /* another type */
	assert_false(packet_answers(&q, 0x0102, answer, sizeof answer));
}

static void test_reverse(void **state)
{
	static const char *const bad[] = {"1.2.3.in-addr.arpa",	   "256.1.1.1.in-addr.arpa", "1.2.3.4",	  "",
					  "-1.2.3.4.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "1.ip6.arpa"};
	uint8_t out[16];
	sa_family_t family;

	(void)state;
	assert_true(packet_reverse("4.3.2.1.in-addr.arpa", &family, out));
	assert_int_equal(family, AF_INET);
	assert_memory_equal(out, ((uint8_t[]){1, 2, 3, 4}), 4);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(packet_reverse(bad[i], &family, out));
	assert_true(packet_reverse("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", &family,
				   out));
	assert_int_equal(family, AF_INET6);
	assert_int_equal(out[0], 0xfd);
	assert_int_equal(out[15], 1);
}

static struct name_view enter(struct names *n, const char *text)
{
	json_t *doc = json_loads(text, 0, NULL);
	struct name_view v;

	assert_non_null(doc);
	names_enter(n, &v, doc);
	json_decref(doc);
	return v;
}

static void test_names(void **state)
{
	struct names *n = names_new();
	struct name_view a =
		enter(n, "{\"Endpoints\": [{\"Network\": \"11\", \"NetworkName\": \"Net\", \"Name\": \"one\", "
			 "\"Addresses\": [\"10.0.0.1\"], \"Names\": [\"one\", \"Both\", \"both\"], "
			 "\"Links\": {\"Db\": \"two\"}}]}");
	struct name_view b =
		enter(n, "{\"Endpoints\": [{\"Network\": \"11\", \"NetworkName\": \"Net\", \"Name\": \"two\", "
			 "\"Addresses\": [\"10.0.0.2\", \"fd00::2\"], \"Names\": [\"two\", \"both\"]}, "
			 "{\"Network\": \"22\", \"NetworkName\": \"far\", \"Name\": \"two\", "
			 "\"Addresses\": [\"10.2.0.2\"], \"Names\": [\"two\", \"other\"]}]}");
	struct name_found found;

	(void)state;
	assert_true(names_find(n, &a, "both", &found));
	assert_int_equal(found.n, 2);
	assert_true(names_find(n, &a, "two.net", &found) && found.n == 1);
	assert_true(names_find(n, &a, "db", &found) && found.list[0] == &b.endpoints[0]);
	assert_false(names_find(n, &b, "db", &found)); /* a's own */
	assert_false(names_find(n, &a, "other", &found));
	assert_true(names_find(n, &b, "other", &found));
	assert_false(names_find(n, &b, "other.net", &found));
	assert_false(names_find(n, &a, "", &found));
	assert_true(names_find_address(n, &b, AF_INET, (const uint8_t[]){10, 0, 0, 1}, &found));
	assert_false(names_find_address(n, &a, AF_INET, (const uint8_t[]){10, 2, 0, 2}, &found));
	names_leave(n, &b);
	assert_true(names_find(n, &a, "both", &found) && found.n == 1);
	assert_false(names_find(n, &a, "two", &found));
	names_leave(n, &a);
	names_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_longest_name), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_reverse), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
