/*
 * Every message of every table, from its own rows: what is encoded decodes to the same; and whatever is cut, flipped or
 * sent with other descriptors is refused, or is another message that would be encoded in exactly these bytes.
 * Nothing leaks a descriptor. covers S-84
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "ipc/doc.h"
#include "ipc/packet.h"
#include "tests/fuzz/sample.h"

struct wire {
	unsigned char bytes[IPC_MESSAGE_MAX];
	struct ipc_packet p;
};

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void encode_sample(const struct ipc_message *m, bool full, struct sample *s, struct wire *w)
{
	struct err e = {0};

	sample_message(m, full, s);
	w->p = (struct ipc_packet){.bytes = w->bytes};
	if (ipc_encode(m, s->msg, &w->p, &e) < 0)
		fail_msg("%s", e.text);
}

/* Decode with duplicates of the first `nfds` of the packet's descriptors and `extra` more. */
static int decode(const struct ipc_message *m, const struct wire *w, size_t len, size_t nfds, size_t extra, void *msg)
{
	struct err e = {0};
	int fds[IPC_FDS_MAX];
	size_t n = 0;

	for (; n < nfds; n++)
		fds[n] = fcntl(w->p.fds[n], F_DUPFD_CLOEXEC, 0);
	for (size_t i = 0; i < extra && n < IPC_FDS_MAX; i++)
		fds[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r = ipc_decode(m, w->bytes, len, fds, n, msg, &e);
	if (r < 0) {
		assert_int_equal(r, -EBADMSG);
		assert_true(e.text[0] != '\0');
	}
	return r;
}

static void drop(const struct ipc_message *m, void *msg)
{
	ipc_docs_release(m, msg);
	ipc_release(m, msg);
}

/* What was decoded from `len` bytes is what would be encoded in them, documents included. */
static void check_accepted(const struct ipc_message *m, const struct wire *w, size_t len, void *msg)
{
	static struct wire again;
	struct err e = {0};

	again.p = (struct ipc_packet){.bytes = again.bytes};
	if (ipc_encode(m, msg, &again.p, &e) < 0)
		fail_msg("decoded, but not encodable: %s", e.text);
	if (again.p.len != len || memcmp(again.bytes, w->bytes, len) != 0)
		fail_msg("%s: two forms of the same message", m->name);
	ipc_packet_clean(&again.p);
	if (ipc_docs_check(m, msg, &e) < 0)
		assert_true(e.text[0] != '\0');
	drop(m, msg);
}

static void check_cuts(const struct ipc_message *m, const struct wire *w, void *msg)
{
	for (size_t len = 0; len < w->p.len; len++)
		if (decode(m, w, len, w->p.nfds, 0, msg) == 0)
			fail_msg("%s: accepted %zu of %zu bytes", m->name, len, w->p.len);
}

static void check_flips(const struct ipc_message *m, struct wire *w, void *msg)
{
	static const unsigned char flips[] = {1, 2, 4, 8, 16, 32, 64, 128, 255};

	for (size_t at = 0; at < w->p.len; at++)
		for (size_t i = 0; i < sizeof flips; i++) {
			w->bytes[at] ^= flips[i];
			if (decode(m, w, w->p.len, w->p.nfds, 0, msg) == 0)
				check_accepted(m, w, w->p.len, msg);
			w->bytes[at] ^= flips[i];
		}
}

static void check_counts(const struct ipc_message *m, struct wire *w, void *msg)
{
	for (size_t n = 0; n < w->p.nfds; n++)
		assert_int_equal(decode(m, w, w->p.len, n, 0, msg), -EBADMSG);
	for (size_t extra = 1; w->p.nfds + extra <= IPC_FDS_MAX; extra++)
		assert_int_equal(decode(m, w, w->p.len, w->p.nfds, extra, msg), -EBADMSG);
	/* As many as declared, none of the kind declared. */
	for (size_t n = 0; n < w->p.nfds; n++)
		assert_int_equal(decode(m, w, w->p.len, n, w->p.nfds - n, msg), -EBADMSG);
	w->bytes[w->p.len] = 0;
	assert_int_equal(decode(m, w, w->p.len + 1, w->p.nfds, 0, msg), -EBADMSG);
}

static void each_message(void (*check)(const struct ipc_message *m, struct wire *w, void *msg))
{
	static struct wire w;
	size_t count;
	const struct ipc_message *const *all = ipc_messages(&count);

	assert_in_range(count, 10, 10000);
	for (size_t i = 0; i < count; i++)
		for (int full = 0; full < 2; full++) {
			const struct ipc_message *m = all[i];
			size_t before = open_descriptors();
			struct sample s;
			void *msg = xcalloc(1, m->size);
			encode_sample(m, full, &s, &w);
			check(m, &w, msg);
			ipc_packet_clean(&w.p);
			sample_clean(m, &s);
			free(msg);
			if (open_descriptors() != before)
				fail_msg("%s: a descriptor is left", m->name);
		}
}

static void check_same(const struct ipc_message *m, struct wire *w, void *msg)
{
	struct err e = {0};

	if (decode(m, w, w->p.len, w->p.nfds, 0, msg) < 0)
		fail_msg("%s: its own sample is refused", m->name);
	if (ipc_docs_check(m, msg, &e) < 0)
		fail_msg("%s: %s", m->name, e.text);
	ipc_docs_release(m, msg);
	check_accepted(m, w, w->p.len, msg);
}

static void test_same(void **state)
{
	(void)state;
	each_message(check_same);
}

static void cuts(const struct ipc_message *m, struct wire *w, void *msg)
{
	check_cuts(m, w, msg);
}

static void test_cuts(void **state)
{
	(void)state;
	each_message(cuts);
}

static void test_flips(void **state)
{
	(void)state;
	each_message(check_flips);
}

static void test_counts(void **state)
{
	(void)state;
	each_message(check_counts);
}

/* Bytes by memfd: unsealed, of another size, or missing. */
static void test_memfd(void **state)
{
	static struct wire w;
	const struct ipc_message *m = ipc_message(IPC_api_reply);
	AUTO_FREE char *big = xcalloc(200000, 1);
	struct api_reply reply = {.status = 200, .body = {.data = big, .len = 200000}}, got;
	struct err e = {0};

	(void)state;
	w.p = (struct ipc_packet){.bytes = w.bytes};
	assert_int_equal(ipc_encode(m, &reply, &w.p, &e), 0);
	assert_int_equal(w.p.nfds, 1);
	assert_int_equal(decode(m, &w, w.p.len, 1, 0, &got), 0);
	assert_true(got.body.mapped);
	assert_int_equal(got.body.len, 200000);
	assert_int_equal(got.body.data[200000], 0);
	drop(m, &got);
	assert_int_equal(decode(m, &w, w.p.len, 0, 0, &got), -EBADMSG);
	w.bytes[5] ^= 1; /* the length, behind status and its own first byte */
	assert_int_equal(decode(m, &w, w.p.len, 1, 0, &got), -EBADMSG);
	w.bytes[5] ^= 1;
	ipc_packet_clean(&w.p);

	w.p.fds[0] = sample_fd(FD_FILE);
	assert_int_equal(ftruncate(w.p.fds[0], 200000), 0);
	assert_int_equal(decode(m, &w, w.p.len, 1, 0, &got), -EBADMSG);
	close(w.p.fds[0]);
}

static void test_samples(void **state)
{
	(void)state;
	for (unsigned g = 0; g < G_COUNT; g++) {
		const char *text = sample_text((enum grammar)g);
		if (!grammar_check((enum grammar)g, text, strlen(text)))
			fail_msg("\"%s\" is not %s", text, grammar_words((enum grammar)g));
	}
	for (unsigned kind = 0; kind < FD_KINDS; kind++) {
		struct err e = {0};
		int fd = sample_fd((enum fd_kind)kind);
		if (fd_check(fd, (enum fd_kind)kind, &e) < 0)
			fail_msg("%s", e.text);
		close(fd);
	}
	for (unsigned id = 0; id < SCH_COUNT; id++) {
		for (int full = 0; full < 2; full++) {
			struct err e = {0};
			json_t *doc = sample_document((enum schema_id)id, full), *once, *twice;
			if (!doc)
				continue;
			if (schema_check((enum schema_id)id, &(struct schema_context){API_VERSION_LAST}, doc, &once,
					 &e) < 0)
				fail_msg("%s: %s", schema_name((enum schema_id)id), e.text);
			assert_int_equal(schema_check((enum schema_id)id, &(struct schema_context){API_VERSION_LAST},
						      once, &twice, &e),
					 0);
			assert_true(json_equal(once, twice));
			json_decref(doc);
			json_decref(once);
			json_decref(twice);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples), cmocka_unit_test(test_same),   cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_flips),	cmocka_unit_test(test_counts), cmocka_unit_test(test_memfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
