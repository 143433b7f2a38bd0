/* netd/address and netd/pool: arithmetic, and the property that no address is given twice. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netd/pool.h"

static struct subnet net(const char *text)
{
	struct subnet s;

	assert_true(subnet_parse(text, &s));
	return s;
}

static const struct subnet whole;

static void test_address(void **state)
{
	char text[ADDRESS_TEXT];
	struct subnet s;
	struct address a;
	static const char *const bad[] = {"",	       "10.0.0.0",    "10.0.0.0/",  "10.0.0.0/33", "10.0.0.0/-1",
					  "10.0.0/8",  "10.0.0.0/8x", "fd00::/129", "10.0.0.0/ 8", "::1/",
					  "01.2.3.4/8"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(subnet_parse(bad[i], &s));
	s = net("10.1.2.3/20");
	a = subnet_base(&s);
	assert_string_equal(address_text(&a, text), "10.1.0.0");
	a = subnet_at(&s, 0x101);
	assert_string_equal(address_text(&a, text), "10.1.1.1");
	assert_int_equal(subnet_offset(&s, &a), 0x101);
	s = net("fd00:0:0:1::/64");
	a = subnet_at(&s, UINT64_C(0xffffffffffffffff));
	assert_string_equal(address_text(&a, text), "fd00::1:ffff:ffff:ffff:ffff");
	s = net("10.0.0.0/8");
	const struct subnet inner = net("10.200.0.0/16"), outer = net("11.0.0.0/8"), six = net("::/0");
	assert_true(subnet_overlaps(&s, &inner) && subnet_overlaps(&inner, &s));
	assert_false(subnet_overlaps(&s, &outer) || subnet_overlaps(&s, &six));
}

static void test_carry(void **state)
{
	const struct subnet s = net("10.0.255.0/8");
	char text[ADDRESS_TEXT];

	(void)state;
	for (uint64_t n = 0; n < 70000; n += 77) {
		const struct address a = subnet_at(&s, n);

		assert_int_equal(subnet_offset(&s, &a), n);
	}
	const struct subnet t = net("10.0.0.255/24");
	const struct address a = subnet_at(&t, 255);
	assert_string_equal(address_text(&a, text), "10.0.0.255");
}

static void test_exhaustion(void **state)
{
	const struct subnet s = net("10.0.0.0/29"), range = net("10.0.0.4/30");
	struct pool *p = pool_new(&s, &whole);
	struct address a;
	struct err e = {0};

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_int_equal(pool_next(p, &a, &e), 0);
	assert_true(pool_next(p, &a, &e) < 0);
	assert_int_equal(e.status, 503);
	pool_give_back(p, &a);
	assert_int_equal(pool_next(p, &a, &e), 0);
	pool_free(p);
	p = pool_new(&s, &range);
	for (int i = 0; i < 3; i++) { /* .4 .5 .6; .7 is the broadcast address */
		assert_int_equal(pool_next(p, &a, &e), 0);
		assert_int_equal(subnet_offset(&s, &a), 4 + i);
	}
	assert_true(pool_next(p, &a, &e) < 0);
	const struct subnet one = net("10.0.0.1/32");
	assert_int_equal(pool_take(p, &one.address, &e), 0);
	assert_true(pool_take(p, &one.address, &e) < 0);
	pool_free(p);
}

/* Property: over random takes and returns, what is out is out once. */
static void test_never_twice(void **state)
{
	const struct subnet s = net("fd00::/122");
	struct pool *p = pool_new(&s, &whole);
	struct err e = {0};
	bool out[64] = {false};

	(void)state;
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		const uint64_t n = (uint64_t)random() % 64;
		struct address a = subnet_at(&s, n);

		if (random() % 2) {
			if (out[n])
				pool_give_back(p, &a);
			out[n] = false;
		} else if (random() % 2) {
			assert_int_equal(pool_take(p, &a, &e) == 0, n != 0 && !out[n]);
			out[n] = n != 0;
		} else if (pool_next(p, &a, &e) == 0) {
			assert_false(out[subnet_offset(&s, &a)]);
			out[subnet_offset(&s, &a)] = true;
		} else {
			for (int j = 1; j < 64; j++)
				assert_true(out[j]);
		}
	}
	pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_carry),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_never_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
