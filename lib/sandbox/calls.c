#include "lib/sandbox/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/util.h"

/* Stands for the process's own number. */
#define SANDBOX_SELF UINT64_MAX

#define CALLS_HIGHEST 1024

struct call {
	int number; /* negative: this architecture lacks it */
	int error;  /* DENY; 0: allowed */
	unsigned nargs;
	struct scmp_arg_cmp args[2];
	const char *name, *why;
};

#define ROW_(call, ...) {.number = SCMP_SYS(call), .name = #call, __VA_ARGS__},
#define EQ_(n, v)                                                                                                      \
	{                                                                                                              \
		.arg = (n), .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(v)                                            \
	}
#define MASK_(n, m, v)                                                                                                 \
	{                                                                                                              \
		.arg = (n), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(m), .datum_b = (scmp_datum_t)(v)       \
	}

/* One array; a row without name begins each set. */
static const struct call calls[] = {
#define CALL_SET(set, doc)	 {.number = CALLS_##set, .why = doc},
#define ALLOW(call, reason)	 ROW_(call, .why = reason)
#define DENY(call, code, reason) ROW_(call, .error = (code), .why = reason)
#define DENY_MASK(call, n, m, v, code, reason)                                                                         \
	ROW_(call, .error = (code), .nargs = 1, .args = {MASK_(n, m, v)}, .why = reason)
#define ALLOW_EQ(call, n, v, reason)	  ROW_(call, .nargs = 1, .args = {EQ_(n, v)}, .why = reason)
#define ALLOW_MASK(call, n, m, v, reason) ROW_(call, .nargs = 1, .args = {MASK_(n, m, v)}, .why = reason)
#define ALLOW_EQ2(call, n1, v1, n2, v2, reason)                                                                        \
	ROW_(call, .nargs = 2, .args = {EQ_(n1, v1), EQ_(n2, v2)}, .why = reason)
#include "lib/sandbox/calls.def"
};

static const struct call *set_begin(enum call_set set)
{
	const struct call *c = calls;

	while (c->name || c->number != (int)set)
		c++;
	return c + 1;
}

const char *calls_name(enum call_set set, size_t i, const char **why)
{
	const struct call *c = set_begin(set) + i;

	if (c >= calls + ARRAY_LEN(calls) || !c->name)
		return NULL;
	if (why)
		*why = c->why;
	return c->name;
}

/* `decided`: calls that a set before this one has a rule without condition for. */
static int add_set(scmp_filter_ctx filter, enum call_set set, bool *decided, struct err *e)
{
	for (const struct call *c = set_begin(set); c < calls + ARRAY_LEN(calls) && c->name; c++) {
		struct scmp_arg_cmp args[2] = {c->args[0], c->args[1]};
		int r;

		if (c->number < 0 || c->number >= CALLS_HIGHEST || decided[c->number])
			continue;
		decided[c->number] = c->nargs == 0;
		for (unsigned i = 0; i < c->nargs; i++)
			if (args[i].datum_a == SANDBOX_SELF)
				args[i].datum_a = (scmp_datum_t)getpid();
		r = seccomp_rule_add_array(filter, c->error ? SCMP_ACT_ERRNO((uint32_t)c->error) : SCMP_ACT_ALLOW,
					   c->number, c->nargs, args);
		if (r < 0 && r != -EEXIST)
			return err_sys(e, r, "sandbox: the rule of seccomp for %s", c->name);
	}
	return 0;
}

static int make(const enum call_set *sets, scmp_filter_ctx *out, struct err *e)
{
	bool decided[CALLS_HIGHEST] = {false};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = 0;

	if (!filter)
		return err_set(e, -ENOMEM, "sandbox: seccomp");
	/* Another architecture's calls have other numbers. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (r < 0)
		err_sys(e, r, "sandbox: seccomp");
	for (; r == 0 && *sets != CALLS_END; sets++)
		r = add_set(filter, *sets, decided, e);
#ifdef POUCH_SANITIZED
	if (r == 0)
		r = add_set(filter, CALLS_sanitizer, decided, e);
#endif
	if (r < 0) {
		seccomp_release(filter);
		return r;
	}
	*out = filter;
	return 0;
}

static void release(scmp_filter_ctx filter)
{
	seccomp_release(filter);
	malloc_trim(0); /* libseccomp took some hundred KiB to make it */
}

int calls_enter(const enum call_set *sets, struct err *e)
{
	scmp_filter_ctx filter;
	int r = make(sets, &filter, e);

	if (r < 0)
		return r;
	r = seccomp_load(filter);
	if (r < 0)
		err_sys(e, r, "sandbox: load the filter of system calls");
	release(filter);
	return r;
}

int calls_program(const enum call_set *sets, struct err *e)
{
	AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	scmp_filter_ctx filter;

	if (fd < 0)
		return err_sys(e, -errno, "sandbox: memfd");
	int r = make(sets, &filter, e);
	if (r < 0)
		return r;
	r = seccomp_export_bpf(filter, fd);
	release(filter);
	if (r < 0)
		return err_sys(e, r, "sandbox: write the filter of system calls");
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_sys(e, -errno, "sandbox: seal the filter");
	return STEAL_FD(fd);
}
