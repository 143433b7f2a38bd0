/* digest: the same by a thread and without one, piece by piece; who could have no thread asks for it once. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "imaged/unpack/digest.h"
#include "lib/sha256.h"
#include "lib/util.h"

static bool refused;
static unsigned asked;

/* In the place of libc's. */
int pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	asked++;
	if (refused)
		return EAGAIN;
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(id, attributes, run, arg);
}

static const size_t pieces[] = {1, 100000, 32767, 32768, 32769, 0, 7, 65536, 250000, 12};

static void is_right(struct digest *d, const unsigned char *data)
{
	char want[SHA256_HEX], have[DIGEST_TEXT];
	struct sha256 s;

	sha256_init(&s);
	digest_begin(d);
	for (size_t i = 0, at = 0; i < ARRAY_LEN(pieces); at += pieces[i++]) {
		sha256_add(&s, data + at, pieces[i]);
		digest_add(d, data + at, pieces[i]);
	}
	sha256_hex(&s, want);
	digest_text(d, have);
	assert_memory_equal(have, "sha256:", 7);
	assert_string_equal(have + 7, want);
}

static void two_streams(bool no_thread)
{
	static unsigned char data[600000];
	AUTO_DIGEST struct digest d = {0};

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 2654435761u >> 24);
	refused = no_thread;
	asked = 0;
	is_right(&d, data);
	is_right(&d, data + 1000);
	assert_int_equal(asked, 1);
	assert_int_equal(d.alone, no_thread);
}

static void test_a_thread(void **state)
{
	(void)state;
	two_streams(false);
}

static void test_no_thread(void **state)
{
	(void)state;
	two_streams(true);
}

/* What is reused once the wait is over was hashed before. */
static void test_wait(void **state)
{
	AUTO_DIGEST struct digest d = {0};
	static unsigned char data[100000];
	char want[SHA256_HEX], have[DIGEST_TEXT];
	struct sha256 s;

	(void)state;
	refused = false;
	sha256_init(&s);
	digest_begin(&d);
	for (int i = 0; i < 50; i++) {
		memset(data, i, sizeof data);
		sha256_add(&s, data, sizeof data);
		digest_add(&d, data, sizeof data);
		digest_wait(&d);
	}
	sha256_hex(&s, want);
	digest_text(&d, have);
	assert_string_equal(have + 7, want);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_thread),
		cmocka_unit_test(test_no_thread),
		cmocka_unit_test(test_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
