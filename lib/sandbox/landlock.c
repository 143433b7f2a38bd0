#include "lib/sandbox/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sandbox/power.h"
#include "lib/util.h"

/* Newer than the headers of Debian 12; the numbers are the kernel's interface. */
#define FS_TRUNCATE	(1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV	(1ull << 15) /* ABI 5 */
#define NET_BIND_TCP	(1ull << 0)  /* ABI 4 */
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT	(1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL	(1ull << 1)

struct ruleset {
	uint64_t fs, net, scoped;
};

#define FS_READ	 (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_NODES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define FS_WRITE                                                                                                       \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |              \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                    \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)
#define FS_ALL (FS_READ | FS_WRITE | FS_NODES | LANDLOCK_ACCESS_FS_EXECUTE | FS_IOCTL_DEV)
/* What a rule on something that is no directory may say. */
#define FS_OF_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

static int add_rule(int ruleset, const struct landlock_use *use, uint64_t handled, struct err *e)
{
	struct landlock_path_beneath_attr rule = {.parent_fd = use->fd};
	struct stat st;

	if (use->use & PATH_READ)
		rule.allowed_access |= FS_READ;
	if (use->use & PATH_WRITE)
		rule.allowed_access |= FS_READ | FS_WRITE;
	if (use->use & PATH_NODES)
		rule.allowed_access |= FS_NODES;
	if (fstat(use->fd, &st) < 0)
		return err_sys(e, -errno, "sandbox: a path for Landlock");
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILE;
	rule.allowed_access &= handled;
	if (rule.allowed_access == 0)
		return 0;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(e, -errno, "sandbox: a rule of Landlock");
	return 0;
}

/* What of this the kernel's version knows. */
static struct ruleset known(struct ruleset want, int abi, struct sandbox_report *report)
{
	if (want.fs && abi < 2) {
		sandbox_missing(report, "Landlock that can rename between directories needs Linux 5.19");
		want.fs = 0;
	}
	if (abi < 3)
		want.fs &= ~FS_TRUNCATE;
	if (abi < 5)
		want.fs &= ~FS_IOCTL_DEV;
	if (want.net && abi < 4) {
		sandbox_missing(report, "Landlock that refuses TCP needs Linux 6.7");
		want.net = 0;
	}
	if (want.scoped && abi < 6) {
		sandbox_missing(report, "Landlock that refuses signals and abstract sockets needs Linux 6.12");
		want.scoped = 0;
	}
	return want;
}

int landlock_enter(const struct landlock_use *uses, size_t n, bool files, bool no_tcp, bool scope,
		   struct sandbox_report *report, struct err *e)
{
	struct ruleset want = {
		.fs = files ? FS_ALL : 0,
		.net = no_tcp ? NET_BIND_TCP | NET_CONNECT_TCP : 0,
		.scoped = scope ? SCOPE_ABSTRACT | SCOPE_SIGNAL : 0,
	};
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	AUTO_CLOSE int ruleset = -1;
	size_t size;

	if (!want.fs && !want.net && !want.scoped)
		return 0;
	if (abi < 1) {
		sandbox_missing(report, "Landlock is not in this kernel, or not switched on");
		return 0;
	}
	want = known(want, abi, report);
	if (!want.fs && !want.net && !want.scoped)
		return 0;
	size = abi < 4 ? sizeof want.fs : abi < 6 ? 2 * sizeof want.fs : sizeof want;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &want, size, 0);
	if (ruleset < 0)
		return err_sys(e, -errno, "sandbox: Landlock");
	for (size_t i = 0; want.fs && i < n; i++) {
		int r = add_rule(ruleset, &uses[i], want.fs, e);
		if (r < 0)
			return r;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(e, -errno, "sandbox: enter Landlock");
	report->landlock_abi = abi;
	return 0;
}
