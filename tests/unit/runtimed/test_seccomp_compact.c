/* seccomp_compact: whatever a program is asked, the shorter one gives the same answer. covers S-54 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>

#include "lib/fd.h"
#include "lib/util.h"
#include "runtimed/launch/room.h"

struct answer {
	uint32_t value;
	bool ended;
};

/* The kernel's interpreter, as far as filters of calls need it. */
static struct answer ask(const struct sock_filter *p, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t at = 0; at < n; at++) {
		const struct sock_filter *i = &p[at];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + i->k, sizeof a);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			at += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			at += a > i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return (struct answer){i->k, true};
		default:
			fail_msg("instruction %#x", i->code);
		}
	}
	return (struct answer){0};
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 16;
}

static void same_answer(const struct sock_filter *x, size_t nx, const struct sock_filter *y, size_t ny,
			const struct seccomp_data *data)
{
	const struct answer before = ask(x, nx, data), after = ask(y, ny, data);

	assert_true(before.ended && after.ended);
	if (before.value != after.value)
		fail_msg("architecture %#x, call %d: %#x, was %#x", data->arch, data->nr, after.value, before.value);
}

/* Each number of a call, and all that the program compares with, as arguments. */
static void same_program(const struct sock_filter *x, size_t nx, const struct sock_filter *y, size_t ny)
{
	static const uint32_t arches[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, UINT32_MAX};
	static const uint32_t starts[] = {0, 0x40000000, 0x7fffff00, 0xffffff00};
	uint64_t seed = 1;

	for (size_t a = 0; a < ARRAY_LEN(arches); a++)
		for (size_t s = 0; s < ARRAY_LEN(starts); s++)
			for (uint32_t i = 0; i < (s < 2 ? 1024u : 256u); i++)
				for (int round = 0; round < 16; round++) {
					struct seccomp_data data = {.nr = (int)(starts[s] + i), .arch = arches[a]};
					for (size_t n = 0; n < ARRAY_LEN(data.args); n++)
						data.args[n] =
							x[next(&seed) % nx].k | (round % 2 ? next(&seed) << 32 : 0);
					same_answer(x, nx, y, ny, &data);
				}
}

static size_t exported(scmp_filter_ctx ctx, struct sock_filter **out)
{
	AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
	char *text;
	size_t len;

	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(fd_read_file(fd, 1u << 20, &text, &len, NULL), 0);
	*out = (struct sock_filter *)text;
	return len / sizeof **out;
}

/* As profiles are: most calls are allowed; of each `of` some are not, or by their arguments. */
static scmp_filter_ctx profile(int tree, uint64_t seed, unsigned of)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(38));

	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, (uint32_t)tree);
	seccomp_arch_add(ctx, SCMP_ARCH_X86);
	seccomp_arch_add(ctx, SCMP_ARCH_X32);
	for (int call = 0; call < 440; call++) {
		const uint64_t kind = next(&seed) % of;
		AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
		if (kind < 2 || !name)
			continue;
		if (kind == 2)
			seccomp_rule_add(ctx, SCMP_ACT_ERRNO(1), call, 0);
		else if (kind == 3)
			seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1,
					 SCMP_A0(SCMP_CMP_MASKED_EQ, 0x7E020000, next(&seed) & 0x20000));
		else if (kind == 4)
			seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, SCMP_A1(SCMP_CMP_GT, next(&seed)));
		else
			seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);
	}
	return ctx;
}

static void compare(int tree, uint64_t seed, unsigned of, size_t least_gain)
{
	scmp_filter_ctx ctx = profile(tree, seed, of);
	struct sock_filter *program;
	const size_t n = exported(ctx, &program);
	struct sock_filter *shorter = xcalloc(n, sizeof *shorter);
	const size_t made = seccomp_compact(program, n, shorter);

	assert_in_range(made, 1, n / least_gain);
	same_program(program, n, shorter, made);
	free(program);
	free(shorter);
	seccomp_release(ctx);
}

static void test_profiles(void **state)
{
	(void)state;
	compare(2, 1, 40, 2);
	compare(2, 2, 60, 2);
	compare(1, 3, 40, 2);	/* no tree, but a line of comparisons */
	compare(2, 4, 1000, 2); /* all is allowed, as good as */
	compare(2, 5, 8, 1);	/* more ranges than a condition reaches over */
}

#define LOAD(what)	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define IF(op, k, t, f) BPF_JUMP(BPF_JMP | (op) | BPF_K, k, t, f)
#define RETURN(value)	BPF_STMT(BPF_RET | BPF_K, value)

/* What it does not understand it leaves alone. */
static void test_others(void **state)
{
	static const struct sock_filter arithmetic[] = {LOAD(nr), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 1),
							IF(BPF_JEQ, 1, 0, 1), RETURN(1), RETURN(2)};
	static const struct sock_filter bits[] = {LOAD(nr), IF(BPF_JSET, 4, 0, 1), RETURN(1), RETURN(2)};
	static const struct sock_filter by_arch[] = {LOAD(arch), IF(BPF_JGE, 4, 0, 1), RETURN(1), RETURN(2)};
	static const struct sock_filter endless[] = {LOAD(nr), IF(BPF_JEQ, 4, 9, 9)};
	static const struct {
		const struct sock_filter *v;
		size_t n;
	} programs[] = {{arithmetic, ARRAY_LEN(arithmetic)},
			{bits, ARRAY_LEN(bits)},
			{by_arch, ARRAY_LEN(by_arch)},
			{endless, ARRAY_LEN(endless)}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		struct sock_filter out[8];
		assert_int_equal(seccomp_compact(programs[i].v, programs[i].n, out), programs[i].n);
		assert_memory_equal(out, programs[i].v, programs[i].n * sizeof *out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_profiles), cmocka_unit_test(test_others)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
