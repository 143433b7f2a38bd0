#include "lib/sandbox/power.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/util.h"

/* Newer than the headers of Debian 12. */
#define MDWE_SET	   65
#define MDWE_GET	   66
#define MDWE_REFUSE	   1ul
#define MDWE_NOT_INHERITED 2ul

#define SECUREBITS                                                                                                     \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |               \
	 SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

void sandbox_missing(struct sandbox_report *report, const char *what)
{
	if (report->nmissing < SANDBOX_MISSING_MAX)
		report->missing[report->nmissing++] = what;
}

/* ---- capabilities; capset(2) by hand: libcap would be one more library in every process ---- */

struct caps {
	uint64_t effective, permitted, inheritable;
};

static int caps_set(const struct caps *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (unsigned i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(c->effective >> (32 * i));
		data[i].permitted = (uint32_t)(c->permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(c->inheritable >> (32 * i));
	}
	return (int)syscall(SYS_capset, &head, data);
}

static int caps_get(struct caps *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -1;
	c->effective = data[0].effective | (uint64_t)data[1].effective << 32;
	c->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	c->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

static int bounding_set(uint64_t keep, struct err *e)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		int in = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (in < 0)
			break; /* beyond the kernel's last */
		if (in > 0 && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_sys(e, -errno, "sandbox: bounding set");
	}
	return 0;
}

static uint64_t bounding_get(void)
{
	uint64_t set = 0;

	for (unsigned cap = 0; cap < 64; cap++) {
		int in = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (in < 0)
			break;
		set |= (uint64_t)in << cap;
	}
	return set;
}

/* ---- the drop ---- */

/* By the calls themselves: glibc's would wake threads that there are none of, and are the same otherwise. */
static int become(uid_t uid, gid_t gid, struct err *e)
{
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return err_sys(e, -errno, "sandbox: setgroups");
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		return err_sys(e, -errno, "sandbox: setresgid");
	/* The permitted set is to survive, so that it can be cut to what is kept. */
	if (uid != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "sandbox: keep capabilities");
	if (syscall(SYS_setresuid, uid, uid, uid) < 0)
		return err_sys(e, -errno, "sandbox: setresuid");
	return 0;
}

int power_reduce(uint64_t capabilities, struct sandbox_report *report, struct err *e)
{
	struct caps caps = {.effective = capabilities, .permitted = capabilities};

	if (caps_set(&caps) < 0)
		return err_sys(e, -errno, "sandbox: capset");
	report->capabilities = capabilities;
	return 0;
}

void power_mdwe(bool inherited, struct sandbox_report *report)
{
	report->mdwe = prctl(MDWE_SET, MDWE_REFUSE | (inherited ? 0 : MDWE_NOT_INHERITED), 0, 0, 0) == 0 ||
		       prctl(MDWE_GET, 0, 0, 0, 0) > 0;
	if (!report->mdwe)
		sandbox_missing(report, inherited ? "memory-deny-write-execute needs Linux 6.3"
						  : "memory-deny-write-execute that is not inherited needs Linux 6.6");
}

int power_drop(uid_t uid, gid_t gid, uint64_t capabilities, uint64_t bounding, struct sandbox_report *report,
	       struct err *e)
{
	struct caps have;
	int r;

	if (caps_get(&have) < 0)
		return err_sys(e, -errno, "sandbox: capget");
	if (capabilities & ~have.permitted)
		return err_set(e, -EPERM,
			       "sandbox: the engine was started without a capability that this process needs");
	if ((r = bounding_set(bounding, e)) < 0 || (r = become(uid, gid, e)) < 0)
		return r;
	/* SETPCAP, which securebits ask for, is effective again only now, and until the next step. */
	if (caps_set(&(struct caps){.effective = have.permitted, .permitted = have.permitted}) < 0)
		return err_sys(e, -errno, "sandbox: capset");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, -errno, "sandbox: ambient capabilities");
	if (prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) < 0)
		return err_sys(e, -errno, "sandbox: securebits");
	if ((r = power_reduce(capabilities, report, e)) < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, -errno, "sandbox: no-new-privileges");
	report->uid = uid;
	report->gid = gid;
	report->bounding = bounding;
	report->no_new_privs = true;
	power_mdwe(true, report);
	return 0;
}

/* ---- the proof ---- */

static int wrong(struct err *e, const char *what)
{
	return err_set(e, -EPERM, "sandbox: %s is not what the profile says", what);
}

int power_verify(const struct sandbox_report *report, struct err *e)
{
	uid_t u[3];
	gid_t g[3];
	struct caps caps;

	if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
		return err_sys(e, -errno, "sandbox: ids");
	for (size_t i = 0; i < 3; i++)
		if (u[i] != report->uid || g[i] != report->gid)
			return wrong(e, "an id");
	if (getgroups(0, NULL) != 0)
		return wrong(e, "the list of groups");
	if (caps_get(&caps) < 0 || caps.effective != report->capabilities || caps.permitted != report->capabilities ||
	    caps.inheritable != 0)
		return wrong(e, "the set of capabilities");
	if (bounding_get() != report->bounding)
		return wrong(e, "the bounding set");
	if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) != SECUREBITS)
		return wrong(e, "securebits");
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return wrong(e, "no-new-privileges");
	return 0;
}

int power_prove(uid_t uid_before, const struct sandbox_report *report, struct err *e)
{
	uint64_t set_ids = 1ull << CAP_SETUID | 1ull << CAP_SETGID;
	struct caps more = {.effective = report->capabilities, .permitted = report->capabilities};

	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (report->capabilities >> cap & 1)
			continue;
		more.effective = more.permitted = report->capabilities | 1ull << cap;
		if (caps_set(&more) == 0)
			return err_set(e, -EPERM, "sandbox: capability %u could be regained", cap);
	}
	if (report->capabilities & set_ids || report->uid == 0)
		return 0;
	if (setuid(0) == 0 || setreuid(uid_before, uid_before) == 0 || setresuid(-1u, 0, -1u) == 0 || seteuid(0) == 0)
		return err_set(e, -EPERM, "sandbox: the user id could be regained");
	if (setgid(0) == 0 || setregid(0, 0) == 0 || setresgid(-1u, 0, -1u) == 0)
		return err_set(e, -EPERM, "sandbox: the group id could be regained");
	if (setgroups(1, &(gid_t){0}) == 0)
		return err_set(e, -EPERM, "sandbox: a group could be regained");
	return 0;
}
